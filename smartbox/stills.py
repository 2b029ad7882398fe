"""Pictures of the start and of the middle, kept for candidates until it is known whether an alarm comes of them.

Bounded: in the long run a source makes one JPEG a second, and BURST at once, so that the picture of the start is that
of the very frame; where more begin, one that is up to a second later is shared. At most LIMIT are kept, the oldest go
first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np

from smartbox.types import Frame, Image, Match

Moment = Literal["start", "half"]

EVERY_S = 1.0
BURST = 4
LIMIT = 32
_WIDTH = 1280
_QUALITY = 85


class Candidate(Protocol):
    """What a rule follows and may yet tell. number: its own; share: of its time to the alarm, 0–1.

    started_at: monotonic s of its first match; later than before where its time began anew.
    """

    @property
    def number(self) -> int: ...
    @property
    def match(self) -> Match: ...
    @property
    def started_at(self) -> float: ...
    @property
    def share(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Still:
    """A picture without anything drawn on it, and where the object was."""

    moment: Moment
    utc: float
    jpeg: bytes
    match: Match

    @property
    def image(self) -> Image:
        """H x W x 3 uint8, BGR."""
        return np.asarray(cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


class Stills:
    """Those of one source."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], list[Still]] = {}
        self._started: dict[tuple[str, int], float] = {}
        self._made_at: float | None = None
        self._made = b""
        self._credit, self._time = float(BURST), 0.0

    def look(self, rule: str, waiting: Iterable[Candidate], frame: Frame, count: int) -> None:
        """Take what is due of one rule's candidates, forget those that are gone. count: of pictures an event has."""
        known = {candidate.number: candidate for candidate in waiting} if count > 1 else {}
        for key in [key for key in self._kept if key[0] == rule and not self._holds(key, known)]:
            self._kept.pop(key)
            self._started.pop(key, None)
        due = [(c, moment) for c in known.values() if (moment := self._due(rule, c, count))]
        if due and self._may(frame.time):
            jpeg = self._jpeg_of(frame)
            for candidate, moment in due:
                self._keep(rule, candidate, Still(moment, frame.utc, jpeg, candidate.match))

    def take(self, rule: str, number: int | None) -> tuple[Still, ...]:
        """Those of a candidate of which an event has come, in order of time; they are forgotten here."""
        if number is None:
            return ()
        self._started.pop((rule, number), None)
        return tuple(self._kept.pop((rule, number), ()))

    def _holds(self, key: tuple[str, int], known: Mapping[int, Candidate]) -> bool:
        """Whether the candidate is still there, and its time has not begun anew."""
        candidate = known.get(key[1])
        return candidate is not None and candidate.started_at <= self._started.get(key, candidate.started_at) + 1e-6

    def _may(self, time: float) -> bool:
        """Whether one more picture may be made; that of this very frame costs nothing more."""
        passed, self._time = abs(time - self._time), time
        self._credit = min(float(BURST), self._credit + passed / EVERY_S)
        return time == self._made_at or self._credit >= 1

    def _jpeg_of(self, frame: Frame) -> bytes:
        if frame.time != self._made_at:
            self._made_at, self._made = frame.time, _jpeg(frame.image)
            self._credit -= 1
        return self._made

    def _due(self, rule: str, candidate: Candidate, count: int) -> Moment | None:
        have = self._kept.get((rule, candidate.number), [])
        if not have:
            return "start" if candidate.share < 0.5 else None
        return "half" if count > 2 and len(have) == 1 and candidate.share >= 0.5 else None

    def _keep(self, rule: str, candidate: Candidate, still: Still) -> None:
        if sum(map(len, self._kept.values())) >= LIMIT:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._started.pop(oldest, None)
        key = (rule, candidate.number)
        self._kept.setdefault(key, []).append(still)
        self._started.setdefault(key, candidate.started_at)


def _jpeg(image: Image) -> bytes:
    height, width = image.shape[:2]
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done  # of an 8-bit BGR picture in memory
    return content.tobytes()
