"""What all rules share: their common settings, and what they say to `episodes.RuleRunner`.

A rule is stateless: `matches` says what holds *now*. For how long is `dwell.py`'s, and what becomes an event is
`episodes.py`'s, for all rules alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from smartbox import geometry
from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone
from smartbox.schedule import Schedule
from smartbox.settings import Duration, Settings
from smartbox.types import Box, EventClass, Fault, Match, Point, Scene, Severity, Static, Track

ZoneKind = Literal["polygon", "line", "slots"]
Anchor = Literal["bottom_center", "center", "overlap"]

STILL_SURE = 0.8
"""Share of `min_score` that an object of an open episode must keep: its score wavers."""
STANDS_S = 2.0
"""A vehicle that has not moved for so long (s) stands, as the tracker has it; before, it may be driving through."""

HIDES: frozenset[Fault] = frozenset({"dark", "bright", "blurred", "moved"})
"""Faults of a picture in which what is watched may be there and not be found, or elsewhere than the zone says."""

GROUPS: Mapping[str, frozenset[str]] = {"vehicle": frozenset({"car", "bus", "truck"})}
"""Labels that a rule takes for one: detectors confuse them from frame to frame."""


def expand(labels: Iterable[str]) -> frozenset[str]:
    """Group names replaced by their members."""
    return frozenset(member for label in labels for member in GROUPS.get(label, (label,)))


def group(label: str) -> str:
    """The group that a label belongs to, or itself."""
    return next((name for name, members in GROUPS.items() if label in members), label)


class RuleSettings(Settings, ABC):
    """Common settings. Subclasses add their own, and set what is special about them in the class variables."""

    zone_kind: ClassVar[ZoneKind | None] = "polygon"
    """What each zone must have; None: the rule has no place."""
    hears: ClassVar[bool] = False
    """It judges scenes of sounds; else scenes of pictures."""
    instant: ClassVar[bool] = False
    """Its matches are moments without duration."""
    forgives: ClassVar[bool] = False
    """A track that one inference missed, and that the tracker still lists, counts as found."""
    hidden_s: ClassVar[float] = 0.0
    """So long (s) a track that stood counts though it is not found, unless another one is found at its place."""
    every_frame: ClassVar[bool] = False
    """It is asked at frames without inference too; else what held at the last inference stands."""
    needs_model: ClassVar[bool] = True
    """Without a model on its source it can say nothing."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Common settings that would do nothing here and are refused."""

    zones: tuple[str, ...] = ()
    """Ids of the zones it watches."""
    cameras: tuple[str, ...] = ()
    """Ids of the sources it watches; empty: those of its zones. Each is an instance of its own."""
    schedule: Schedule | None = None
    """When it is on; without one, always."""
    min_score: float = Field(0.5, ge=0, le=1)
    """Detections below this score (0–1) are not looked at."""
    anchor: Anchor = "bottom_center"
    """Which point of a box must lie in the zone; `overlap`: `min_overlap` of its area."""
    min_overlap: float = Field(0.3, gt=0, le=1)
    """Share of the box's area inside the zone, with `anchor: overlap`."""
    min_size: float = Field(0.02, ge=0, le=1)
    """Boxes whose longer side is shorter than this share of the picture are not looked at."""
    window: Duration = Field(10.0, ge=0.5, le=300)
    """Seconds over which the two ratios are taken."""
    enter_ratio: float = Field(0.6, gt=0, le=1)
    """Share of the window in which the condition must hold to begin: some frames may miss the object."""
    exit_ratio: float = Field(0.2, gt=0, le=1)
    """Below this share of the window the condition is given up: one false box does not keep it alive."""
    cooldown: Duration = Field(300.0, ge=0, le=86400)
    """Seconds after an end in which the same subject does not begin again, as long as it stays in sight."""
    severity: Severity = "medium"
    """How bad it is: info, low, medium, high or critical."""
    evidence_count: int = Field(3, ge=0, le=3)
    """Pictures of each event: 1 of the alarm, 2 also of the start, 3 also of half the time between; 0: none."""
    update: Duration = Field(60.0, ge=1, le=86400)
    """Seconds between updates of an open episode."""
    max_duration: Duration = Field(86400.0, ge=60, le=7 * 86400)
    """Seconds after which an episode ends in any case."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        """`zone: x` for one zone, and durations with their unit in the name (`dwell_s: 5`), are understood too."""
        if not isinstance(data, Mapping):
            return data
        names = {field.alias or name for name, field in cls.model_fields.items()}
        out = dict(data)
        for key in data:
            short = {"zone": "zones", "s": "dwell"}.get(str(key), str(key).removesuffix("_s"))
            if key not in names and short in names and short not in data:
                value = out.pop(key)
                out[short] = [value] if key == "zone" and isinstance(value, str) else value
        for key in cls.unused:
            if key in out:
                raise ValueError(f"{key} does nothing in this rule; leave it out")
        return out

    @model_validator(mode="after")
    def _consistent(self) -> "RuleSettings":
        if self.exit_ratio >= self.enter_ratio:
            raise ValueError(f"exit_ratio {self.exit_ratio:g} must be below enter_ratio {self.enter_ratio:g}")
        if self.zone_kind and not self.zones:
            raise ValueError(f"zones is missing: name at least one zone with a {self.zone_kind}")
        return self

    @abstractmethod
    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """What holds now. `active`: subjects that have begun, so that enter and exit lines may differ."""

    @abstractmethod
    def dwell_spec(self, subject: str) -> DwellSpec:
        """Times of a subject."""

    def event_class(self, match: Match) -> EventClass:
        """Alarm, unless the rule is less sure."""
        return "alarm"

    def severity_at(self, match: Match, elapsed: float) -> Severity:
        """How bad it is after `elapsed` s since the first match."""
        return self.severity

    def announce(self, subject: str) -> float | None:
        """Seconds since the first match after which a subject that has begun becomes an event; None: never."""
        return 0.0

    def armed(self, subject: str, active: frozenset[str], watched: float) -> bool:
        """Whether it may begin, `watched` s after the start of the schedule's window (or of the rule)."""
        return True

    def clear_of_lines(self, point: Point, zones: Sequence[Zone]) -> bool:
        """Of an instant rule: whether a point is far enough from every line to say on which side it is."""
        return True

    def joins(self, subject: str) -> float:
        """How long (s) who waits for his dwell may be seen elsewhere and go on with it when he is back."""
        return 0.0

    def wants_static(self) -> bool:
        """Whether it looks at `scene.static`: what no model knows costs time to be found."""
        return False

    def closeup(self) -> tuple[Literal["slots", "people"], str] | None:
        """What a classifier is to be shown for it, and which of `models:` that is."""
        return None

    def blind(self, scene: Scene) -> bool:
        """Whether nothing can be said from this scene: it counts as if no frame had come."""
        return False

    def problems(self, zones: Sequence[Zone]) -> list[str]:
        """What is wrong with the zones it was given, beyond their kind."""
        return []

    def alarm_after(self, subject: str) -> float:
        """Seconds from the first match to the event's begin."""
        return max(self.dwell_spec(subject).dwell, self.announce(subject) or 0.0)

    def needs_labels(self) -> tuple[str, ...]:
        """Labels or groups of labels that the source's model must have."""
        return ()

    def missing_labels(self, known: Collection[str]) -> list[str]:
        """Those of `needs_labels` that a model with these labels cannot see or hear."""
        return [label for label in self.needs_labels() if not expand([label]) & set(known)]

    def _spec(self, dwell: float, end: float) -> DwellSpec:
        return DwellSpec(dwell, end, self.window, self.enter_ratio, self.exit_ratio)

    def _eligible(self, scene: Scene, labels: Iterable[str], active: frozenset[str] = frozenset()) -> list[Track]:
        """Tracks of these labels that are sure and large enough; what has begun may be a little less sure."""
        wanted = expand(labels)
        return [
            t
            for t in scene.tracks
            if t.label in wanted
            and t.score >= self.min_score * (STILL_SURE if f"track:{t.id}" in active else 1)
            and longer_side(t.xyxy) >= self.min_size
        ]

    def _lying(self, scene: Scene, zones: Sequence[Zone], *, mistaken: bool = False) -> list[Match]:
        """What was put down in a zone and has no label, large enough; with `mistaken` also what was given one late."""
        nameless = [s for s in scene.static if mistaken or not s.mistaken]
        large = [s for s in nameless if longer_side(s.xyxy) >= self.min_size]
        return [static_match(s, zone) for s in large if (zone := self._zone_of(s, zones))]

    def _located(self, tracks: Iterable[Track], zones: Sequence[Zone]) -> list[Match]:
        """Those of `tracks` that are in a zone."""
        return [track_match(t, zone) for t in tracks if (zone := self._zone_of(t, zones))]

    def _zone_of(self, thing: Track | Static, zones: Sequence[Zone]) -> Zone | None:
        """The first zone that it is in."""
        return next((zone for zone in zones if self._inside(thing.xyxy, zone)), None)

    def _inside(self, box: Box, zone: Zone) -> bool:
        if self.anchor == "overlap":
            return geometry.overlap(zone.polygon, box) >= self.min_overlap
        return geometry.contains(zone.polygon, anchor_point(box, self.anchor))


def anchor_point(box: Box, anchor: Anchor) -> Point:
    return geometry.bottom_center(box) if anchor == "bottom_center" else geometry.center(box)


def longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def track_match(track: Track, zone: Zone, **detail: Any) -> Match:
    """A match of a track in a zone."""
    return Match(f"track:{track.id}", track.label, track.score, track.xyxy, zone.id, detail)


def static_match(thing: Static, zone: Zone) -> Match:
    """A match of something without a name, that came to rest before it could be told from what passes."""
    return Match(f"object:{thing.id}", "object", thing.score, thing.xyxy, zone.id, since=thing.since)


def stands(track: Track, time: float) -> bool:
    return time - track.moved_at >= STANDS_S - 1e-6
