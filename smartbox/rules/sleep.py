"""A person in the post's zone is asleep: head on the desk or lying down, by a posture model; or only still for long.

What rests on stillness alone is a notice: a guard who reads is still too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import STILL_SURE, RuleSettings, track_match
from smartbox.settings import Duration
from smartbox.types import EventClass, Match, Scene, Severity, Track

ASLEEP = ("head-down", "lying")  # labels of a posture model; its others are `upright` and `unsure`
AWAKE = 0.6
"""Score of `upright` from which stillness is no sleep."""


class Plugin(RuleSettings):
    """Begins when one person slept for `sleep`; ends after `wake` of clear motion, upright, or when he leaves."""

    every_frame: ClassVar[bool] = True

    sleep: Duration = Field(120.0, ge=1, le=1800)
    """Seconds asleep."""
    wake: Duration = Field(5.0, ge=0.5, le=600)
    """Seconds of clear motion, of an upright posture, or of absence, before the episode ends."""
    model: str | None = None
    """A posture model among `models:`, such as `muffnet-posture`. Without one, stillness decides."""
    posture_score: float = Field(0.85, gt=0, le=1)
    """With `model`: head-down and lying together must reach this score; 0.8 of it once the episode is open."""
    still_eps: float = Field(0.02, gt=0, le=1)
    """Below this share of changed pixels in the person's box per second the person is still."""
    wake_eps: float = Field(0.15, gt=0, le=1)
    """From this share of changed pixels on the person moves clearly, and is awake in any posture."""
    still_only: bool | None = None
    """Who is only still counts as well, as a notice. Default: where there is no `model`."""
    exit_ratio: float = Field(0.5, gt=0, le=1)
    """Higher than elsewhere: who works keeps still in between, and is awake all the same."""
    severity: Severity = "medium"
    """How bad it is: info, low, medium, high or critical. Not set: low for what rests on stillness alone."""

    @model_validator(mode="after")
    def _some_basis(self) -> "Plugin":
        if self.model is None and "posture_score" in self.model_fields_set:
            raise ValueError("posture_score needs a posture model; name one with `model:`, or leave it out")
        if self.still_only is False and self.model is None:
            raise ValueError("still_only: false needs a posture model; name one with `model:`, or leave it out")
        if self.wake_eps < self.still_eps:
            raise ValueError(f"wake_eps {self.wake_eps:g} must not be below still_eps {self.still_eps:g}")
        return self

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        found = []
        for track in self._eligible(scene, ["person"], active):
            zone, basis = self._zone_of(track, zones), self._basis(scene, track, f"track:{track.id}" in active)
            if zone and basis:
                found.append(track_match(track, zone, **basis))
        return found

    def _basis(self, scene: Scene, track: Track, begun: bool) -> Mapping[str, Any] | None:
        """Why this person is taken to be asleep; None: awake, or nobody can tell.

        To be sure is asked of the begin: one who bends low over a book looks a little asleep again and again.
        """
        rate = scene.motion.within(track.xyxy) if scene.motion else self.wake_eps
        if rate >= self.wake_eps:
            return None
        said = scene.postures.get(track.id, {}) if self.model else {}
        down = sum(said.get(label, 0.0) for label in ASLEEP)
        if said and down >= self.posture_score * (STILL_SURE if begun else 1):
            likely = max(ASLEEP, key=lambda label: said.get(label, 0.0))
            return {"basis": "posture", "posture": likely, "posture_score": round(down, 3)}
        awake = said.get("upright", 0.0) >= AWAKE
        still = self.still_only if self.still_only is not None else self.model is None
        return {"basis": "still"} if still and rate < self.still_eps and not awake else None

    def blind(self, scene: Scene) -> bool:
        """A frozen picture is still, and a dark one hides motion: neither says anything of the person."""
        return scene.motion is None or bool(scene.picture & {"frozen", "dark"})

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(self.sleep, self.wake)

    def event_class(self, match: Match) -> EventClass:
        return "notice" if match.detail.get("basis") == "still" else "alarm"

    def severity_at(self, match: Match, elapsed: float) -> Severity:
        unsaid = "severity" not in self.model_fields_set
        return "low" if unsaid and match.detail.get("basis") == "still" else self.severity

    def closeup(self) -> tuple[Literal["slots", "people"], str] | None:
        return ("people", self.model) if self.model else None

    def needs_labels(self) -> tuple[str, ...]:
        return ("person",)
