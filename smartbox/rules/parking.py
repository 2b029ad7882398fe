"""Parking slots: free, occupied or unknown; events when the lot is full and when somebody overstays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from smartbox.dwell import DwellSpec
from smartbox.geometry import Polygon, Zone, covered
from smartbox.rules._base import RuleSettings, ZoneKind, stands
from smartbox.settings import Duration
from smartbox.types import Box, Match, Point, Scene, Severity

LOT_CLEAR_S = 60.0
OCCUPIED = "occupied"  # the label of a classifier of slots; its other one is `free`
GROUND = 0.35  # height of a car's footprint's centre in its box, from below: between a flat view and one from above


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot's outline, the box round it and its middle."""

    name: str
    zone: str
    polygon: Polygon
    extent: Box
    middle: Point

    @classmethod
    def of(cls, name: str, zone: str, polygon: Polygon) -> "Slot":
        xs, ys = [p[0] for p in polygon], [p[1] for p in polygon]
        return cls(name, zone, polygon, (min(xs), min(ys), max(xs), max(ys)), (sum(xs) / len(xs), sum(ys) / len(ys)))

    def touches(self, box: Box) -> bool:
        x0, y0, x1, y1 = self.extent
        return box[0] < x1 and box[2] > x0 and box[1] < y1 and box[3] > y0


class Plugin(RuleSettings):
    """A slot changes its state after `hold`; by a classifier of slots, else by the boxes of vehicles that stand."""

    zone_kind: ClassVar[ZoneKind | None] = "slots"
    every_frame: ClassVar[bool] = True
    unused: ClassVar[tuple[str, ...]] = ("anchor", "min_overlap")

    model: str | None = None
    """A classifier of slots among `models:`, such as `muffnet-slot`. Without one, boxes of vehicles decide."""
    occupied_score: float = Field(0.6, ge=0.5, lt=1)
    """With `model`: the score from which a free slot is taken. A taken one is free again below 1 minus this."""
    min_cover: float = Field(0.5, gt=0, le=1)
    """Without `model`: share of a slot's area that a vehicle's box must cover to stand in it."""
    hold: Duration = Field(10.0, ge=0.5, le=600)
    """Seconds for which a slot must look otherwise before its state changes."""
    full_ratio: float = Field(0.95, gt=0, le=1)
    """The lot is full when this share of its slots is occupied."""
    free_ratio: float = Field(0.90, gt=0, le=1)
    """It is full no longer when the share was below this for 60 s."""
    overstay: Duration | None = Field(None, ge=10, le=30 * 86400)
    """Seconds after which a vehicle has stood too long in one slot; without it nobody overstays."""
    severity: Severity = "low"

    @model_validator(mode="after")
    def _ratios(self) -> "Plugin":
        if self.model is None and "occupied_score" in self.model_fields_set:
            raise ValueError("occupied_score needs a classifier of slots; name one with `model:`, or leave it out")
        if self.model is not None and "min_cover" in self.model_fields_set:
            raise ValueError("min_cover does nothing with `model`, which looks at the slots itself; leave it out")
        if self.free_ratio > self.full_ratio:
            raise ValueError(f"free_ratio {self.free_ratio:g} must not be above full_ratio {self.full_ratio:g}")
        return self

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Per occupied slot `slot:…`, and `lot` by the slots whose state is settled (active)."""
        slots = [Slot.of(name, zone.id, polygon) for zone in zones for name, polygon in zone.slots.items()]
        found = self._judged(scene, slots, active) if self.model else self._covered(scene, slots)
        return [*found, *self._lot(zones, len(slots), active)]

    def _judged(self, scene: Scene, slots: Sequence[Slot], active: frozenset[str]) -> list[Match]:
        """The slots that the classifier takes for occupied; between the two lines nothing changes."""
        found = []
        for slot in slots:
            subject, score = f"slot:{slot.name}", scene.slots.get(slot.name, {}).get(OCCUPIED, 0.0)
            if score >= (1 - self.occupied_score if subject in active else self.occupied_score):
                found.append(Match(subject, "vehicle", score, slot.extent, slot.zone, {"event": "overstay"}))
        return found

    def _covered(self, scene: Scene, slots: Sequence[Slot]) -> list[Match]:
        """The slots that standing vehicles' boxes cover."""
        found: dict[str, Match] = {}
        for track in self._eligible(scene, ["vehicle"]):
            slot = self._slot_of(track.xyxy, slots) if stands(track, scene.time) else None
            if slot and (slot.name not in found or found[slot.name].score < track.score):
                subject = f"slot:{slot.name}"
                detail = {"event": "overstay"}
                found[slot.name] = Match(subject, track.label, track.score, track.xyxy, slot.zone, detail)
        return list(found.values())

    def blind(self, scene: Scene) -> bool:
        """With a classifier: it has said nothing for long, or the picture is too dark to tell."""
        return self.model is not None and (not scene.slots or "dark" in scene.picture)

    def closeup(self) -> tuple[Literal["slots", "people"], str] | None:
        return ("slots", self.model) if self.model else None

    def _slot_of(self, box: Box, slots: Sequence[Slot]) -> Slot | None:
        """The slot that a vehicle stands in: of those that its box covers, the one nearest to its ground point."""
        ground = ((box[0] + box[2]) / 2, box[3] - GROUND * (box[3] - box[1]))
        under = [s for s in slots if s.touches(box) and covered(s.polygon, box) >= self.min_cover]
        return min(under, key=lambda s: math.dist(s.middle, ground), default=None)

    def _lot(self, zones: Sequence[Zone], total: int, active: frozenset[str]) -> list[Match]:
        taken = sum(f"slot:{name}" in active for zone in zones for name in zone.slots)
        ratio = self.free_ratio if "lot" in active else self.full_ratio
        if not total or taken / total < ratio - 1e-9:
            return []
        detail = {"event": "lot_full", "occupied": taken, "slots": total}
        return [Match("lot", "vehicle", 1.0, None, zones[0].id, detail)]

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(0.0, LOT_CLEAR_S) if subject == "lot" else self._spec(self.hold, self.hold)

    def announce(self, subject: str) -> float | None:
        return 0.0 if subject == "lot" else self.overstay

    def alarm_after(self, subject: str) -> float:
        """The lot is full `hold` after its last slot was taken."""
        return self.hold if subject == "lot" else super().alarm_after(subject)

    def problems(self, zones: Sequence[Zone]) -> list[str]:
        names = [name for zone in zones for name in zone.slots]
        twice = sorted({name for name in names if names.count(name) > 1})
        return [f"slot {name!r} is in two zones of this rule; give each slot a name of its own" for name in twice]

    def needs_labels(self) -> tuple[str, ...]:
        return () if self.model else ("vehicle",)
