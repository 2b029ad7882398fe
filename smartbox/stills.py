"""Pictures of the start and of the middle, kept for candidates until it is known whether an alarm comes of them.

Bounded: one JPEG a second and a source is made at most, whoever else began within that second shares it; at most
LIMIT are kept, the oldest go first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np

from smartbox.types import Frame, Image, Match

Moment = Literal["start", "half"]

EVERY_S = 1.0
LIMIT = 32
_WIDTH = 1280
_QUALITY = 85


class Candidate(Protocol):
    """What a rule follows and may yet tell. number: its own; share: of its time to the alarm, 0–1."""

    @property
    def number(self) -> int: ...
    @property
    def match(self) -> Match: ...
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
        self._made_at: float | None = None

    def look(self, rule: str, waiting: Iterable[Candidate], frame: Frame, count: int) -> None:
        """Take what is due of one rule's candidates, forget those that are gone. count: of pictures an event has."""
        known = {candidate.number: candidate for candidate in waiting} if count > 1 else {}
        for key in [key for key in self._kept if key[0] == rule and key[1] not in known]:
            del self._kept[key]
        due = [(c, moment) for c in known.values() if (moment := self._due(rule, c, count))]
        free = self._made_at is None or not 0 <= frame.time - self._made_at < EVERY_S
        if due and (free or frame.time == self._made_at):
            self._made_at, jpeg = frame.time, _jpeg(frame.image)
            for candidate, moment in due:
                self._keep(rule, candidate.number, Still(moment, frame.utc, jpeg, candidate.match))

    def take(self, rule: str, number: int | None) -> tuple[Still, ...]:
        """Those of a candidate of which an event has come, in order of time; they are forgotten here."""
        return tuple(self._kept.pop((rule, number), ())) if number is not None else ()

    def _due(self, rule: str, candidate: Candidate, count: int) -> Moment | None:
        have = self._kept.get((rule, candidate.number), [])
        if not have:
            return "start" if candidate.share < 0.5 else None
        return "half" if count > 2 and len(have) == 1 and candidate.share >= 0.5 else None

    def _keep(self, rule: str, number: int, still: Still) -> None:
        if sum(map(len, self._kept.values())) >= LIMIT:
            del self._kept[next(iter(self._kept))]
        self._kept.setdefault((rule, number), []).append(still)


def _jpeg(image: Image) -> bytes:
    height, width = image.shape[:2]
    if width > _WIDTH:
        size = (_WIDTH, max(1, round(height * _WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done  # of an 8-bit BGR picture in memory
    return content.tobytes()
