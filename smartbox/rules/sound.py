"""A sound is heard: siren, smoke alarm, gunshot, explosion, a keyword: whatever the model knows."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings, ZoneKind
from smartbox.settings import Duration
from smartbox.types import Match, Scene, Severity

SHORT: Mapping[str, float] = {
    "smoke_alarm": 0.75,  # the four beeps of T4 are over after 0.7 s and pause for 5 s
    **dict.fromkeys(("gunshot", "explosion"), 0.0),
    **dict.fromkeys(("yes", "no", "stop", "go", "on", "off"), 0.0),
}
"""Labels whose sound may be over before the usual `dwell` is: seconds that it must be heard where none is given."""
SURE: Mapping[str, float] = {"gunshot": 0.9, "explosion": 0.9, "siren": 0.85, "smoke_alarm": 0.85}
"""Labels that doors, falling things, music and beeps sound like: the score that they need where none is given."""


class Plugin(RuleSettings):
    """Begins for each label of its own; ends after `silence`. Only label and score leave the box."""

    zone_kind: ClassVar[ZoneKind | None] = None
    hears: ClassVar[bool] = True
    unused: ClassVar[tuple[str, ...]] = ("zones", "min_score", "anchor", "min_overlap", "min_size")

    labels: tuple[str, ...] = Field(min_length=1)
    """Sounds to report, as the model names them."""
    score: float = Field(0.7, gt=0, le=1)
    """Heard when the model's score (0–1) is at least this. Where it is not given, 0.9 for a gunshot or an
    explosion, 0.85 for a siren or a smoke alarm: doors bang, music wails, and much else beeps."""
    dwell: Duration = Field(1.0, ge=0, le=120)
    """Seconds that it must be heard. Where this is not given, less for what is over sooner: 0.75 s for `smoke_alarm`
    (some beep for 0.7 s only), once for a word, a gunshot or an explosion."""
    silence: Duration = Field(5.0, ge=0.5, le=600)
    """Seconds without it before the episode ends."""
    acknowledges: tuple[str, ...] = ()
    """Ids of rules whose open alarms are acknowledged when this one begins: a word (`go`, `yes`) by who is on site."""
    severity: Severity = "high"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        if scene.sounds is None:
            return []
        heard = {label: scene.sounds.of(label) for label in self.labels if label in scene.sounds.labels}
        return [Match(f"sound:{label}", label, score) for label, score in heard.items() if score >= self.least(label)]

    def least(self, label: str) -> float:
        """The score from which on this label is heard."""
        return self.score if "score" in self.model_fields_set else SURE.get(label, self.score)

    def dwell_spec(self, subject: str) -> DwellSpec:
        usual = SHORT.get(subject.removeprefix("sound:"), self.dwell)
        return self._spec(self.dwell if "dwell" in self.model_fields_set else min(usual, self.dwell), self.silence)

    def needs_labels(self) -> tuple[str, ...]:
        return self.labels
