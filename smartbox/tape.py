"""The last seconds of a camera as they came: encoded packets, of which a clip is cut without encoding anything again.

One thread puts, another cuts. Bounded in seconds and in bytes; the oldest packets go first.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

LIMIT = 24 * 2**20
SPARE_S = 20.0
"""Kept beyond what clips need: a camera's key frames are seconds apart, and who cuts may be late."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One encoded picture. time: monotonic s of its arrival; key: it can be decoded without those before it."""

    time: float
    key: bool
    pts: int
    dts: int
    time_base: Fraction
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Packets of one connection, a key frame first; template: the stream that they are of."""

    template: Any
    pieces: tuple[Piece, ...]

    @property
    def start(self) -> float:
        return self.pieces[0].time

    @property
    def end(self) -> float:
        return self.pieces[-1].time


class Tape:
    """Those of one source."""

    def __init__(self, seconds: float, limit: int = LIMIT) -> None:
        self._seconds, self._limit = seconds + SPARE_S, limit
        self._lock = threading.Lock()
        self._template: Any = None
        self._pieces: deque[Piece] = deque()
        self.bytes = 0

    def begin(self, template: Any) -> None:
        """A new connection: its timestamps have nothing to do with those before."""
        with self._lock:
            self._template, self.bytes = template, 0
            self._pieces.clear()

    def put(self, piece: Piece) -> None:
        with self._lock:
            self._pieces.append(piece)
            self.bytes += len(piece.data)
            while self._pieces and (self.bytes > self._limit or self._pieces[0].time < piece.time - self._seconds):
                self.bytes -= len(self._pieces.popleft().data)

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first and the last packet came of what can be cut (monotonic s)."""
        with self._lock:
            first = next(_keys(self._pieces), None)
            return None if first is None else (self._pieces[first].time, self._pieces[-1].time)

    def cut(self, start: float, end: float) -> Cut | None:
        """From the last key frame at or before `start`, else from the first one after it, to `end`; None: nothing."""
        with self._lock:
            pieces = [piece for piece in self._pieces if piece.time <= end]
            template = self._template
        first = max((i for i in _keys(pieces) if pieces[i].time <= start), default=next(_keys(pieces), None))
        return None if first is None else Cut(template, tuple(pieces[first:]))


def _keys(pieces: Iterable[Piece]) -> Iterator[int]:
    return (i for i, piece in enumerate(pieces) if piece.key)
