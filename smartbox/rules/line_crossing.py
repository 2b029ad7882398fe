"""Something crosses a directed line. Instant; counted per direction and label."""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from smartbox.dwell import DwellSpec
from smartbox.geometry import Zone, crosses
from smartbox.rules._base import RuleSettings, ZoneKind, track_match
from smartbox.settings import Duration
from smartbox.types import Match, Point, Scene, Severity

Direction = Literal["left_to_right", "right_to_left"]


class Plugin(RuleSettings):
    """Left and right are those of somebody who walks from the line's first point to its second."""

    zone_kind: ClassVar[ZoneKind | None] = "line"
    instant: ClassVar[bool] = True
    unused: ClassVar[tuple[str, ...]] = (
        "min_overlap",
        "window",
        "enter_ratio",
        "exit_ratio",
        "update",
        "max_duration",
    )

    anchor: Literal["bottom_center", "center"] = "bottom_center"
    """Which point of a box must cross: bottom_center or center."""
    labels: tuple[str, ...] = Field(("person", "vehicle"), min_length=1)
    """Who is counted; `vehicle` stands for car, bus and truck."""
    direction: Direction | Literal["both"] = "both"
    """Which crossings are events: left_to_right, right_to_left or both."""
    hysteresis: float = Field(0.01, ge=0, le=0.2)
    """How far beyond the line (share of the picture) it must come: standing on the line is no crossing."""
    cooldown: Duration = Field(0.0, ge=0, le=86400)
    """Seconds in which the same subject is not reported again; it is counted all the same."""
    severity: Severity = "low"

    def matches(self, scene: Scene, zones: Sequence[Zone], active: frozenset[str]) -> list[Match]:
        """Crossings of the step that each track's trail shows; the runner keeps the trails' ends off the lines."""
        found = []
        for track in self._eligible(scene, self.labels):
            for zone in zones:
                side = crosses(zone.line, *track.trail) if zone.line else 0
                direction: Direction = "left_to_right" if side > 0 else "right_to_left"
                if side and self.direction in {"both", direction}:
                    found.append(track_match(track, zone, direction=direction))
        return found

    def clear_of_lines(self, point: Point, zones: Sequence[Zone]) -> bool:
        """Whether a point is far enough from every line to say on which side it is."""
        return all(zone.line is None or _distance(zone.line, point) >= self.hysteresis for zone in zones)

    def dwell_spec(self, subject: str) -> DwellSpec:
        return self._spec(0.0, 0.0)

    def needs_labels(self) -> tuple[str, ...]:
        return self.labels


def _distance(line: tuple[Point, Point], point: Point) -> float:
    """From a point to the nearest of a segment."""
    (ax, ay), (bx, by) = line
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    t = ((point[0] - ax) * dx + (point[1] - ay) * dy) / length if length else 0.0
    t = min(1.0, max(0.0, t))
    return math.hypot(point[0] - ax - t * dx, point[1] - ay - t * dy)
