"""The rule that counts frames, as common recorders do, for the scenarios: it gets the very same detections."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.bench_contrast import Plain, in_zone
from benchmarks.score.scenario import FPS, watch_of
from smartbox.config import Config
from smartbox.geometry import bottom_center, contains
from smartbox.types import Detections

Hit = Callable[[Detections], bool]


class PlainRules:
    """Of the rules that have a plain counterpart, one counter for the zone, or one for each slot."""

    def __init__(self, config: Config) -> None:
        self._counters = {rule: found for rule in config.rules if (found := _counters(config, rule))}

    def update(self, time: float, found: Detections) -> None:
        for counters in self._counters.values():
            for counter in counters:
                counter.update(time, found)

    @property
    def alarms(self) -> dict[str, list[float]]:
        """Rule id -> times of its alarms."""
        return {
            rule: sorted(time for counter in counters for time in counter.alarms)
            for rule, counters in self._counters.items()
        }


def _counters(config: Config, rule_id: str) -> list[Plain]:
    kind, rule = config.kinds[f"rules.{rule_id}"], config.rules[rule_id]
    if kind in ("line_crossing", "left_object", "sleep", "tamper"):
        return []
    zone = config.zones[rule.zones[0]]
    if kind == "parking":
        middles = [tuple(sum(p[i] for p in slot) / len(slot) for i in (0, 1)) for slot in zone.slots.values()]
        return [Plain(FPS, rule.overstay, _covers(middle), 0) for middle in middles]
    people = in_zone(zone, ["person"], rule.min_score)
    hit: Hit = people
    if kind == "absence":
        hit = lambda found: not people(found)  # noqa: E731
    elif kind in ("fire_lane", "illegal_parking"):
        hit = in_zone(zone, ["vehicle"], rule.min_score)
    elif kind == "crowd":
        hit = _so_many(zone.polygon, rule.n)
    return [Plain(FPS, watch_of(config, rule_id).dwell, hit, 0)]


def _covers(middle: Sequence[float]) -> Hit:
    x, y = middle
    return lambda found: any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in found.xyxy)


def _so_many(polygon: Any, n: int) -> Hit:
    def hit(found: Detections) -> bool:
        people = (b.tolist() for i, b in enumerate(found.xyxy) if found.label(i) == "person")
        return sum(contains(polygon, bottom_center(b)) for b in people) >= n

    return hit
