"""A third party's backend that goes wrong once, when told to: what a driver's bug looks like.

It is onnxruntime until `trigger` exists. That file is deleted first, so that the next process is well again.
"""

import ctypes
from pathlib import Path
from typing import Literal

from smartbox.backends import onnxruntime
from smartbox.backends._base import Session
from smartbox.bundle import Bundle

LEAK = 4_000_000_000
PIECE = 4_000_000


class Plugin(onnxruntime.Plugin):
    trigger: Path
    """The file whose appearance makes the next run go wrong."""
    how: Literal["hang", "hang-with-lock", "leak"] = "hang"
    """hang: a native call never returns; with-lock: it keeps Python's lock, so that no thread moves; leak: memory."""

    def open(self, bundle: Bundle) -> Session:
        return faulty(super().open(bundle), self)


def faulty(session: Session, settings: Plugin) -> Session:
    run = session._run

    def once(inputs):
        if settings.trigger.exists():
            settings.trigger.unlink()
            GOES_WRONG[settings.how]()
        return run(inputs)

    session._run = once
    return session


def leak() -> None:
    kept = []
    while len(kept) * PIECE < LEAK:
        kept.append(b"x" * PIECE)


GOES_WRONG = {
    "hang": lambda: ctypes.CDLL(None).sleep(3600),
    "hang-with-lock": lambda: ctypes.PyDLL(None).sleep(3600),
    "leak": leak,
}
