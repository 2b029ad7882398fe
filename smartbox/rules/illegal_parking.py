"""A vehicle parks where it must not."""

from collections.abc import Sequence

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import Anchor, RuleSettings, expand, stands
from smartbox.settings import Duration
from smartbox.types import Match, Scene


class Plugin(RuleSettings):
    """Begins for each vehicle that stood for `confirm` and then for `grace` more; ends when it is gone for `clear`."""

    anchor: Anchor = "overlap"
    labels: tuple[str, ...] = Field(("vehicle",), min_length=1)
    """What must not park there; `vehicle` stands for car, bus and truck."""
    ignore: tuple[str, ...] = ()
    """Labels among them that may: `bus` at a bus stop."""
    confirm: Duration = Field(15.0, ge=0, le=600)
    """Seconds without movement after which it counts as parked, and not as waiting in traffic."""
    grace: Duration = Field(300.0, ge=0, le=3600)
    """Seconds that it may then stay: to load, or to let somebody out."""
    clear: Duration = Field(30.0, ge=1, le=3600)
    """Seconds for which it must be gone before the episode ends."""

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Vehicles that stand; one that is reported already may shuffle."""
        vehicles = self._eligible(scene, expand(self.labels) - expand(self.ignore), active)
        stay = [t for t in vehicles if stands(t, scene.time) or f"track:{t.id}" in active]
        return self._located(stay, zones)

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.confirm + self.grace, self.clear)

    def needs_labels(self) -> tuple[str, ...]:
        return self.labels
