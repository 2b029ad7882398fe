"""A third party's backend that hangs once, in native code, when told to: what a driver's bug looks like.

It is onnxruntime until `trigger` exists. That file is deleted first, so that the next process does not hang again.
"""

import ctypes
from pathlib import Path

from smartbox.backends import onnxruntime
from smartbox.backends._base import Session
from smartbox.bundle import Bundle


class Plugin(onnxruntime.Plugin):
    trigger: Path
    """The file whose appearance makes the next run hang."""
    hold_gil: bool = False
    """Keep Python's lock as well: then not even the main thread moves."""

    def open(self, bundle: Bundle) -> Session:
        return hanging(super().open(bundle), self)


def hanging(session: Session, settings: Plugin) -> Session:
    run = session._run

    def hang_once(inputs):
        if settings.trigger.exists():
            settings.trigger.unlink()
            (ctypes.PyDLL if settings.hold_gil else ctypes.CDLL)(None).sleep(3600)
        return run(inputs)

    session._run = hang_once
    return session
