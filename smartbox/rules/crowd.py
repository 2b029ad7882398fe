"""Too many people in one place."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings
from smartbox.settings import Duration
from smartbox.types import Match, Scene

DISPERSED = 0.8
"""The share of `n` below which a crowd is none any more."""


class Plugin(RuleSettings):
    """Begins when at least `n` persons were in a zone for `dwell`; ends when fewer than 0.8 n were for `clear`."""

    forgives: ClassVar[bool] = True
    hidden_s: ClassVar[float] = 3.0  # in a crowd somebody is always behind somebody

    n: int = Field(10, ge=2, le=1000)
    """Persons that make a crowd."""
    dwell: Duration = Field(10.0, ge=0, le=3600)
    """Seconds for which they must be there."""
    clear: Duration = Field(10.0, ge=0.5, le=600)
    """Seconds with fewer than 0.8 n before the episode ends."""

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Per zone `crowd:…`, with how many there are."""
        people = self._eligible(scene, ["person"])
        found = []
        for zone in zones:
            subject, there = f"crowd:{zone.id}", [t for t in people if self._inside(t.xyxy, zone)]
            if there and len(there) >= self.n * (DISPERSED if subject in active else 1) - 1e-9:
                score = sum(t.score for t in there) / len(there)
                found.append(Match(subject, "person", score, None, zone.id, {"people": len(there), "n": self.n}))
        return found

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.dwell, self.clear)

    def needs_labels(self) -> tuple[str, ...]:
        return ("person",)
