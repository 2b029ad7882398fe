"""Somebody or something took the camera's view: dark, dazzled, out of focus or covered, frozen, or turned away."""

from collections.abc import Sequence
from typing import ClassVar, get_args

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings, ZoneKind
from smartbox.settings import Duration
from smartbox.types import Fault, Match, Scene, Severity


class Plugin(RuleSettings):
    """Begins for each fault of its own when it lasted for `dwell`; ends when the picture was normal for `clear`."""

    zone_kind: ClassVar[ZoneKind | None] = None
    every_frame: ClassVar[bool] = True
    needs_model: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("zones", "min_score", "anchor", "min_overlap", "min_size")

    faults: tuple[Fault, ...] = Field(get_args(Fault), min_length=1)
    """What is reported: dark, bright, blurred (also covered or painted over), frozen, moved."""
    dwell: Duration = Field(10.0, ge=0, le=600)
    """Seconds for which the picture must be faulty. Less than it takes to be sure, 3 s, frozen 10 s, is no sooner."""
    clear: Duration = Field(10.0, ge=0.5, le=600)
    """Seconds of a normal picture before the episode ends."""
    severity: Severity = "high"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Per fault `picture:…`."""
        found = [fault for fault in self.faults if fault in scene.picture]
        return [Match(f"picture:{fault}", fault, 1.0, since=scene.faulty_since.get(fault)) for fault in found]

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.dwell, self.clear)
