"""Numbers on disk that never go back: the event sequence and the session."""

import re
from collections.abc import Callable
from pathlib import Path

from smartbox.durable import write_durably
from smartbox.errors import StorageError


class Counter:
    """Counts up; its file holds a number that is not yet given out, up to one and a half `block` ahead.

    Whoever keeps the numbers elsewhere (the outbox' rows) says so at `open`; without that the file decides.
    """

    def __init__(self, path: Path, block: int, utc: Callable[[], float]) -> None:
        self._path = path
        self._block = block
        self._utc = utc
        self._last = 0
        self._reserved = 0

    def open(self, known: int | None = None) -> None:
        """Go on after `known`; None: nothing is known, go on after the file's number."""
        stored = self._read()
        self._reserved = stored
        self._last = stored if known is None else known

    def _read(self) -> int:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        except OSError:
            text = b""
        # A torn file: the milliseconds of the epoch are far beyond any count and never come again.
        return int(text) if re.fullmatch(rb"\d{1,18}\n", text) else int(self._utc() * 1000)

    @property
    def last(self) -> int:
        """The number given last."""
        return self._last

    def next(self) -> int:
        """The next number; once per block it waits for the disk. StorageError when none is reserved any more."""
        if self._last + self._block // 2 >= self._reserved:
            self._reserve()
        self._last += 1
        return self._last

    def _reserve(self) -> None:
        top = self._last + self._block + self._block // 2
        try:
            write_durably(self._path, b"%d\n" % top)
        except StorageError:
            if self._last >= self._reserved:
                raise
        else:
            self._reserved = top

    def jump(self) -> int:
        """A number without the disk: from the milliseconds of the epoch, so that no later start gives it again."""
        self._last = max(self._last + 1, int(self._utc() * 1000))
        return self._last
