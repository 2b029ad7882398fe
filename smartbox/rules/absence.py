"""A post that should be manned is not."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import HIDES, RuleSettings
from smartbox.settings import Duration
from smartbox.types import Match, Scene, Severity

MANNED_S = 10.0


class Plugin(RuleSettings):
    """Begins when fewer than `min_people` were there for `leave`; ends when they are back for `return`.

    It is armed once the post was manned for 10 s, or after `arm_unmanned`.
    """

    forgives: ClassVar[bool] = True  # one missed guard is no absence, and must not make it begin too early

    min_people: int = Field(1, ge=1, le=100)
    """Persons who must be in the zone."""
    leave: Duration = Field(180.0, ge=1, le=1800)
    """Seconds that the post may be left."""
    return_: Duration = Field(5.0, ge=0.5, le=600, alias="return")
    """Seconds that they must be back before the episode ends."""
    arm_unmanned: Duration = Field(300.0, ge=0, le=86400)
    """Seconds from the start of the schedule's window (or of the box) for a guard to arrive."""
    severity: Severity = "high"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Per zone either `post:…`, which is left, or `manned:…`, which only arms."""
        people = self._eligible(scene, ["person"])
        found = []
        for zone in zones:
            there = sum(self._inside(t.xyxy, zone) for t in people)
            kind = "post" if there < self.min_people else "manned"
            detail = {"people": there, "min_people": self.min_people}
            found.append(Match(f"{kind}:{zone.id}", "person", 1.0, None, zone.id, detail))
        return found

    def blind(self, scene: Scene) -> bool:
        """Who is not found in a covered or dark picture may be there; who is found shows that it will do."""
        return bool(scene.picture & HIDES) and len(self._eligible(scene, ["person"])) < self.min_people

    def dwell_spec(self, subject: str) -> DwellSpec:
        if subject.startswith("manned:"):
            return self._spec(MANNED_S, math.inf)
        return self._spec(self.leave, self.return_)

    def announce(self, subject: str) -> float | None:
        return None if subject.startswith("manned:") else 0.0

    def armed(self, subject: str, active: frozenset[str], watched: float) -> bool:
        return watched >= self.arm_unmanned or subject.replace("post:", "manned:", 1) in active or "manned:" in subject

    def needs_labels(self) -> tuple[str, ...]:
        return ("person",)
