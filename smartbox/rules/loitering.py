"""Somebody hangs about in the zone."""

from collections.abc import Sequence

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings
from smartbox.settings import Duration
from smartbox.types import Match, Scene


class Plugin(RuleSettings):
    """Begins when the same person was in the zone for `loiter`, short steps outside included; ends `clear` after it."""

    labels: tuple[str, ...] = Field(("person",), min_length=1)
    """Who must not hang about; `vehicle` stands for car, bus and truck."""
    loiter: Duration = Field(60.0, ge=1, le=1800)
    """Seconds that somebody may be there."""
    clear: Duration = Field(10.0, ge=0.5, le=600)
    """Seconds outside that do not interrupt the stay as long as the person is in sight, and after which it is over."""

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        return self._located(self._eligible(scene, self.labels, active), zones)

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.loiter, self.clear)

    def joins(self, subject: str) -> float:
        return self.clear

    def needs_labels(self) -> tuple[str, ...]:
        return self.labels
