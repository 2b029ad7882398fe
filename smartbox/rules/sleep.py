"""A person in the post's zone keeps still for long: perhaps asleep. Rests on stillness alone: a notice."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, field_validator

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings, track_match
from smartbox.settings import Duration
from smartbox.types import EventClass, Match, Scene, Severity


class Plugin(RuleSettings):
    """Begins when one person was still for `sleep`; ends after `wake` of clear motion, or when the person leaves."""

    every_frame: ClassVar[bool] = True

    sleep: Duration = Field(120.0, ge=1, le=1800)
    """Seconds without motion."""
    wake: Duration = Field(5.0, ge=0.5, le=600)
    """Seconds of clear motion, or of absence, before the episode ends."""
    still_eps: float = Field(0.02, gt=0, le=1)
    """Below this share of changed pixels in the person's box per second the person is still."""
    still_only: bool = True
    """Judge by stillness alone; the only way as long as no posture model is configured."""
    exit_ratio: float = Field(0.5, gt=0, le=1)
    """Higher than elsewhere: who works keeps still in between, and is awake all the same."""
    severity: Severity = "low"

    @field_validator("still_only")
    @classmethod
    def _no_posture_yet(cls, value: bool) -> bool:
        if not value:
            raise ValueError("false needs a posture model, which this version does not have; leave it out")
        return value

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        motion = scene.motion
        if motion is None:
            return []
        still = [t for t in self._eligible(scene, ["person"], active) if motion.within(t.xyxy) < self.still_eps]
        return [track_match(t, zone, basis="still") for t in still if (zone := self._zone_of(t, zones))]

    def blind(self, scene: Scene) -> bool:
        """A frozen picture is still, and a dark one hides motion: neither says anything of the person."""
        return scene.motion is None or bool(scene.picture & {"frozen", "dark"})

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.sleep, self.wake)

    def event_class(self, match: Match) -> EventClass:
        return "notice" if match.detail.get("basis") == "still" else "alarm"

    def needs_labels(self) -> tuple[str, ...]:
        return ("person",)
