"""Something was put down and left: a bag, a box, a pallet. It needs no name."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import HIDES, RuleSettings, longer_side, stands
from smartbox.settings import Duration
from smartbox.types import Match, Scene


class Plugin(RuleSettings):
    """Begins for each object of its own; ends when it has been gone for `clear`.

    An object is what stays where there was nothing before, and is neither a person nor anything that the model knows:
    a bag that it takes for a car only after a while, and is not sure of, is an object.
    While somebody stands beside it, its time does not begin.
    """

    every_frame: ClassVar[bool] = True  # what was put down is found without the model

    left: Duration = Field(60.0, ge=5, le=3600)
    """Seconds for which it must lie there."""
    clear: Duration = Field(10.0, ge=0.5, le=600)
    """Seconds for which it must be gone before the episode ends."""
    max_size: float = Field(0.4, gt=0, le=1)
    """What has a side longer than this share of the picture is nothing that a person leaves."""
    labels: tuple[str, ...] = ()
    """Labels of the model that are objects all the same when they stand still: suitcase, backpack, bicycle."""

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        known = [t for t in self._eligible(scene, self.labels, active) if stands(t, scene.time)]
        found = self._located(known, zones)
        lying = self._lying(scene, zones, mistaken=True)  # a bag that the model now and then takes for a car
        return [m for m in (*lying, *found) if m.xyxy and longer_side(m.xyxy) <= self.max_size]

    def blind(self, scene: Scene) -> bool:
        """A picture that shows nothing does not show that the object is gone."""
        return bool(scene.picture & HIDES)

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.left, self.clear)

    def wants_static(self) -> bool:
        return True

    def needs_labels(self) -> tuple[str, ...]:
        """Persons must be known to be told from objects."""
        return ("person", *self.labels)
