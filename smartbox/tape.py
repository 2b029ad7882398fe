"""The last seconds of a camera as they came: encoded packets, of which a clip is cut.

One thread puts, another cuts. Bounded in seconds and in bytes; the oldest packets go first.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
_DECODED_S = 1.0  # a picture is decoded, and its rotation known, so much after it came at most


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

    masks: what of the pictures nobody is to see. turns: the quarter turns, counter-clockwise, by which its pictures
    become upright, as masks are drawn; more than one where that changes, empty: not known.
    """

    template: Any
    pieces: tuple[Piece, ...]
    heard: Heard | None = None
    sound: tuple[Piece, ...] = ()
    masks: Masks = ()
    turns: frozenset[int] = frozenset()

    @property
    def start(self) -> float:
        return self.pieces[0].time

    @property
    def end(self) -> float:
        return self.pieces[-1].time


class _Stretch:
    """What came over one connection, oldest first. turns: since when (monotonic s) which quarter turns hold."""

    def __init__(self, template: Any = None, heard: Heard | None = None) -> None:
        self.template, self.heard = template, heard
        self.pieces: deque[Piece] = deque()
        self.turns: list[tuple[float, int]] = []

    def forget(self) -> int:
        """Drop the oldest packet; how many bytes it had."""
        gone = self.pieces.popleft()
        while len(self.turns) > 1 and self.turns[1][0] <= gone.time:
            del self.turns[0]
        return len(gone.data)

    @property
    def span(self) -> tuple[float, float] | None:
        first = next((p.time for p in self.pieces if p.key and not p.sound), None)
        return None if first is None else (first, self.pieces[-1].time)

    def covers(self, start: float, end: float) -> bool:
        """Whether some of that time can be cut out of it."""
        span = self.span
        return span is not None and span[0] <= end and span[1] >= start

    def cut(self, start: float, end: float, masks: Masks) -> Cut:
        """It must cover some of that time."""
        pictures = [p for p in self.pieces if not p.sound and p.time <= end]
        keys = [i for i, p in enumerate(pictures) if p.key]
        first = max((i for i in keys if pictures[i].time <= start), default=keys[0])
        begin = pictures[first].time
        sound = tuple(p for p in self.pieces if p.sound and begin - EARLY_S <= p.time <= end)
        before = [turns for time, turns in self.turns if time <= begin]
        turns = frozenset(before[-1:] + [turns for time, turns in self.turns if begin < time <= end + _DECODED_S])
        return Cut(self.template, tuple(pictures[first:]), self.heard, sound, masks, turns)


class Tape:
    """Those of one source. A connection that is lost stays on it as long as its packets would have."""

    def __init__(self, seconds: float, limit: int = LIMIT, *, sound: bool = False, masks: Masks = ()) -> None:
        """sound: it is to be recorded as well."""
        self.sound, self._masks = sound, masks
        self._seconds, self._limit = seconds + SPARE_S, limit
        self._lock = threading.Lock()
        self._stretches = deque([_Stretch()])
        self._held: list[float] = []
        self.bytes = 0

    def begin(self, template: Any, heard: Heard | None = None) -> None:
        """A new connection: its timestamps have nothing to do with those before."""
        with self._lock:
            if not self._stretches[-1].pieces:
                self._stretches.pop()
            self._stretches.append(_Stretch(template, heard))

    def put(self, piece: Piece) -> None:
        with self._lock:
            self._stretches[-1].pieces.append(piece)
            self.bytes += len(piece.data)
            self._prune(min([piece.time - self._seconds, *self._held]))

    def _prune(self, oldest: float) -> None:
        while pieces := self._stretches[0].pieces:
            if self.bytes <= self._limit and pieces[0].time >= oldest:
                return
            self.bytes -= self._stretches[0].forget()
            if not pieces and len(self._stretches) > 1:
                self._stretches.popleft()

    def turned(self, time: float, turns: int) -> None:
        """The picture that was decoded at `time` (monotonic s) becomes upright by so many quarter turns."""
        with self._lock:
            known = self._stretches[-1].turns
            if not known or known[-1][1] != turns:
                known.append((time, turns))

    @contextmanager
    def held(self, start: float) -> Iterator[None]:
        """Meanwhile what came since `start` (monotonic s) is kept, as far as the bytes go: somebody waits for it."""
        since = start - SPARE_S  # with the key frame before it
        with self._lock:
            self._held.append(since)
        try:
            yield
        finally:
            with self._lock:
                self._held.remove(since)

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first and the last packet came of what can be cut (monotonic s)."""
        with self._lock:
            spans = [span for stretch in self._stretches if (span := stretch.span)]
            return (spans[0][0], spans[-1][1]) if spans else None

    def cut(self, start: float, end: float, moment: float | None = None) -> Cut | None:
        """From the last key frame at or before `start`, else from the first one after it, to `end`; None: nothing.

        Of several connections it is the last that began by `moment` (None: by `start`), else the first after it.
        """
        by = start if moment is None else moment
        with self._lock:
            there = [stretch for stretch in self._stretches if stretch.covers(start, end)]
            begun = [stretch for stretch in there if stretch.covers(start, by)]
            chosen = begun[-1] if begun else next(iter(there), None)
            return chosen.cut(start, end, self._masks) if chosen else None
