"""What a classifier is shown of one source, and when: the slots of a car park all at once, people a few at a time.

Cost is bounded: one batch every `every` s, of all slots, or of at most PEOPLE people, those first who waited longest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from smartbox import crops
from smartbox.geometry import Polygon, Zone, bottom_center, contains
from smartbox.manifest import InputSpec
from smartbox.types import Frame, Track

Kind = Literal["slots", "people"]
Scores = Mapping[str, float]  # label -> 0–1

EVERY: Mapping[Kind, float] = {"slots": 2.0, "people": 1.0}
"""Seconds between two looks."""
LABELS: Mapping[Kind, tuple[str, ...]] = {"slots": ("free", "occupied"), "people": ("upright", "head-down", "lying")}
"""What its model must know."""
PEOPLE = 8
"""At most so many people a look."""
SMALLEST = 24
"""Pixels of the longer side of a person's box below which nobody can tell a posture."""
STALE = 5.0
"""What was said so many looks ago says nothing any more."""


@dataclass(frozen=True, slots=True)
class Closeup:
    """Which model is shown what. zones: of slots, or those in which people are looked at (in any of several)."""

    kind: Kind
    model: str
    spec: InputSpec
    zones: tuple[Zone, ...]

    @property
    def every(self) -> float:
        return EVERY[self.kind]

    @property
    def most(self) -> int:
        """Crops in one look, at most."""
        return sum(len(zone.slots) for zone in self.zones) if self.kind == "slots" else PEOPLE


class Looking:
    """One closeup over time: what is due, and what was last said about each subject (`P3`, `17`)."""

    def __init__(self, closeup: Closeup) -> None:
        self.closeup = closeup
        self._slots: dict[str, Polygon] = {name: p for zone in closeup.zones for name, p in zone.slots.items()}
        self._asked: float | None = None
        self._said: dict[str, tuple[float, Scores]] = {}

    def wanted(self, frame: Frame, tracks: Sequence[Track]) -> dict[str, NDArray[Any]]:
        """Subject -> tensor of what is to be asked about this frame; empty when nothing is due.

        tracks: those of the last frame; who is new is looked at a frame later.
        """
        if self._asked is not None and 0 <= frame.time - self._asked < self.closeup.every - 1e-3:
            return {}
        spec = self.closeup.spec
        if self.closeup.kind == "slots":
            self._asked = frame.time
            return {name: crops.slot(frame, polygon, spec) for name, polygon in self._slots.items()}
        people = self._people(frame, tracks)
        if people:
            self._asked = frame.time
        return {str(track.id): crops.person(frame, track.xyxy, spec) for track in people}

    def _people(self, frame: Frame, tracks: Sequence[Track]) -> list[Track]:
        found = [t for t in tracks if t.label == "person" and t.seen and self._here(t) and _large(t, frame)]
        waiting = sorted(found, key=lambda t: self._said.get(str(t.id), (float("-inf"), {}))[0])
        return waiting[:PEOPLE]

    def _here(self, track: Track) -> bool:
        return any(contains(zone.polygon, bottom_center(track.xyxy)) for zone in self.closeup.zones)

    def take(self, subject: str, time: float, scores: Scores) -> None:
        """An answer about a subject in the frame of `time`."""
        self._said[subject] = time, scores

    def said(self, time: float) -> dict[str, Scores]:
        """What is known at `time`."""
        limit = STALE * self.closeup.every
        self._said = {s: entry for s, entry in self._said.items() if 0 <= time - entry[0] <= limit}
        return {subject: scores for subject, (_, scores) in self._said.items()}


def _large(track: Track, frame: Frame) -> bool:
    x0, y0, x1, y1 = track.xyxy
    return max((x1 - x0) * frame.width, (y1 - y0) * frame.height) >= SMALLEST
