"""The memory of a line_crossing rule: where each track was last clear of the lines, and the running counts."""

from collections.abc import Sequence
from dataclasses import replace

from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings, anchor_point
from smartbox.types import Match, Point, Scene, Track

FORGET_S = 60.0
WALKS_S = 0.5
"""Who has not really moved for so long (s) crosses nothing: it is his box that wavers, with the legs or without."""


class Crossings:
    """Gives the stateless rule trails whose ends are clear of every line, so that standing on one is no crossing."""

    def __init__(self, rule: RuleSettings, zones: Sequence[Zone]) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._rule = rule
        self._zones = tuple(zones)
        self._clear: dict[int, tuple[Point, float]] = {}  # track id -> last point clear of the lines, and when asked

    @classmethod
    def of(cls, rule: RuleSettings, zones: Sequence[Zone]) -> "Crossings | None":
        return cls(rule, zones) if rule.instant else None

    def step(self, scene: Scene) -> list[Match]:
        """Crossings completed in this scene, counted; each match tells the counts so far."""
        if not scene.inferred:
            return []
        tracks = tuple(replace(t, trail=self._trail(t, scene.time)) for t in scene.tracks)
        self._clear = {i: (p, at) for i, (p, at) in self._clear.items() if scene.time - at <= FORGET_S}
        found = self._rule.matches(replace(scene, tracks=tracks), self._zones, frozenset())
        for match in found:
            labels = self.counts.setdefault(str(match.detail["direction"]), {})
            labels[match.label] = labels.get(match.label, 0) + 1
        counts = {direction: dict(labels) for direction, labels in self.counts.items()}
        return [replace(m, detail={**m.detail, "counts": counts}) for m in found]

    def _trail(self, track: Track, time: float) -> tuple[Point, Point]:
        """From where it was last clear of the lines to where it is, or to no other place while it is on one."""
        middle = self._rule.anchor == "center"
        now = anchor_point(track.xyxy, "center") if middle else track.trail[1]
        first = now if middle else track.trail[0]
        before = self._clear[track.id][0] if track.id in self._clear else first
        walks = track.id not in self._clear or time - track.moved_at <= WALKS_S
        clear = walks and self._rule.clear_of_lines(now, self._zones)
        self._clear[track.id] = (now if clear else before, time)
        return before, (now if clear else before)
