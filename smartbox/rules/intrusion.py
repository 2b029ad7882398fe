"""A person or a vehicle is in the zone for `dwell`."""

from collections.abc import Sequence

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings
from smartbox.settings import Duration
from smartbox.types import Match, Scene, Severity


class Plugin(RuleSettings):
    """Begins for each subject of its own; ends 5 s after it left."""

    labels: tuple[str, ...] = Field(("person", "vehicle"), min_length=1)
    """Who must not be there; `vehicle` stands for car, bus and truck."""
    dwell: Duration = Field(5.0, ge=0, le=120)
    """Seconds in the zone before it is an alarm; 0: at once."""
    clear: Duration = Field(5.0, ge=0.5, le=600)
    """Seconds out of the zone before the episode ends."""
    severity: Severity = "high"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        return self._located(self._eligible(scene, self.labels, active), zones)

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.dwell, self.clear)

    def needs_labels(self) -> tuple[str, ...]:
        return self.labels
