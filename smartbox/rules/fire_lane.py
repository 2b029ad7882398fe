"""Something stays in a lane that must be free: a vehicle, or a thing without a name."""

from collections.abc import Sequence
from typing import ClassVar, get_args

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import Anchor, RuleSettings, expand, stands
from smartbox.settings import Duration
from smartbox.types import Match, Scene, Severity

LEVELS: tuple[Severity, ...] = get_args(Severity)


class Plugin(RuleSettings):
    """Begins for each vehicle and each object of its own; ends when it has been gone for `clear`."""

    every_frame: ClassVar[bool] = True  # objects are found without the model

    anchor: Anchor = "overlap"
    vehicle: Duration = Field(60.0, ge=10, le=3600)
    """Seconds that a vehicle may stay in the lane."""
    object: Duration | None = Field(120.0, ge=10, le=3600)
    """Seconds that anything else may lie there: a pallet, a bin, what no model knows. null: it is not looked for."""
    clear: Duration = Field(30.0, ge=1, le=3600)
    """Seconds that the lane must be free of it before the episode ends."""
    ignore: tuple[str, ...] = ()
    """Labels that may stay there, of car, bus and truck."""
    escalate: Duration = Field(300.0, ge=10, le=86400)
    """Seconds after its arrival at which the severity rises by one level."""
    severity: Severity = "high"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Vehicles that stand in the lane, one that is reported already may move in it; and what was put down there."""
        vehicles = self._eligible(scene, expand(["vehicle"]) - expand(self.ignore), active)
        stay = [t for t in vehicles if stands(t, scene.time) or f"track:{t.id}" in active]
        found = self._located(stay, zones)
        return found if self.object is None else [*found, *self._lying(scene, zones)]

    def dwell_spec(self, subject: str) -> DwellSpec:
        stay = self.object if self.object and subject.startswith("object") else self.vehicle
        return self._spec(stay, self.clear)

    def wants_static(self) -> bool:
        return self.object is not None

    def severity_at(self, match: Match, elapsed: float) -> Severity:
        rise = elapsed >= self.escalate
        return LEVELS[min(LEVELS.index(self.severity) + rise, len(LEVELS) - 1)]

    def needs_labels(self) -> tuple[str, ...]:
        return ("vehicle",)
