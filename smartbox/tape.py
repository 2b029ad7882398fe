"""The last seconds of a camera as they came: encoded packets, of which a clip is cut.

One thread puts, another cuts. Bounded in seconds and in bytes; the oldest packets go first.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from smartbox.types import Point

Masks = Sequence[Sequence[Point]]

LIMIT = 24 * 2**20
SPARE_S = 20.0
"""Kept beyond what clips need: a camera's key frames are seconds apart, and who cuts may be late."""
EARLY_S = 1.0
"""Sound may come so much before its picture."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One encoded picture, or some encoded sound. time: monotonic s of its arrival.

    key: of a picture: it can be decoded without those before it.
    """

    time: float
    key: bool
    pts: int
    dts: int
    time_base: Fraction
    data: bytes
    sound: bool = False


@dataclass(frozen=True, slots=True)
class Heard:
    """How a camera sends its sound, by FFmpeg's names. template: None where an MP4 cannot hold it as it is."""

    codec: str
    rate: int
    layout: str
    template: Any = None


@dataclass(frozen=True, slots=True)
class Cut:
    """Packets of one connection, a key frame first; template: the stream that they are of. sound: what came with it.

    masks: what of the pictures nobody is to see.
    """

    template: Any
    pieces: tuple[Piece, ...]
    heard: Heard | None = None
    sound: tuple[Piece, ...] = ()
    masks: Masks = ()

    @property
    def start(self) -> float:
        return self.pieces[0].time

    @property
    def end(self) -> float:
        return self.pieces[-1].time


class Tape:
    """Those of one source."""

    def __init__(self, seconds: float, limit: int = LIMIT, *, sound: bool = False, masks: Masks = ()) -> None:
        """sound: it is to be recorded as well."""
        self.sound, self._masks = sound, masks
        self._seconds, self._limit = seconds + SPARE_S, limit
        self._lock = threading.Lock()
        self._template: Any = None
        self._heard: Heard | None = None
        self._pieces: deque[Piece] = deque()
        self.bytes = 0

    def begin(self, template: Any, heard: Heard | None = None) -> None:
        """A new connection: its timestamps have nothing to do with those before."""
        with self._lock:
            self._template, self._heard, self.bytes = template, heard, 0
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
            template, heard = self._template, self._heard
        first = max((i for i in _keys(pieces) if pieces[i].time <= start), default=next(_keys(pieces), None))
        if first is None:
            return None
        sound = tuple(p for p in pieces if p.sound and p.time >= pieces[first].time - EARLY_S)
        return Cut(template, tuple(p for p in pieces[first:] if not p.sound), heard, sound, self._masks)


def _keys(pieces: Iterable[Piece]) -> Iterator[int]:
    return (i for i, piece in enumerate(pieces) if piece.key and not piece.sound)
