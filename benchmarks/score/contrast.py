"""Beside the rules, on the same detections: one that counts frames, as common recorders do.

The scored scenarios here, from their exact boxes; `bench_contrast.py` has other recordings, and the shipped model's.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.bench_contrast import Case, Plain, in_good_time, in_zone
from benchmarks.score.scenario import FPS, Scenario, config_of, scenarios, watch_of
from benchmarks.score.scripted import LABELS, _detections
from benchmarks.score.store import KEPT, code, keep, kept, play
from smartbox.config import Config
from smartbox.geometry import contains
from smartbox.progress import each
from smartbox.score import Alarm, score
from smartbox.simulation.staged import boxes
from smartbox.types import Detections

Hit = Callable[[Detections], bool]
PATH = KEPT / "contrast-scenarios.json"


def watch() -> None:
    """Let the plain rule see what the scripted column saw."""
    found: dict[str, dict[str, list[int]]] = {}
    for scenario in each(scenarios(), "contrast"):
        outcome = kept(scenario, "scripted") or play(scenario, "scripted")
        config = config_of(scenario.scene)
        plain = dict(_plain(config))
        _see(scenario, [counter for counters in plain.values() for counter in counters])
        for rule, counters in plain.items():
            told = sorted(time for counter in counters for time in counter.alarms)
            truth = [t for t in outcome.truth if t.rule == rule]
            case = Case(rule, truth, [], [], [], watch_of(config, rule).dwell)
            said = in_good_time(case, [Alarm(rule, scenario.name, "zone", t) for t in told])
            ours = [a for a in outcome.alarms if a.rule == rule]
            row = found.setdefault(rule, {"due": [0], "ours": [0, 0], "plain": [0, 0]})
            for name, alarms in (("ours", ours), ("plain", said)):
                result = score(truth, alarms, lambda *_: 0.0)
                row[name] = [row[name][0] + result.false, row[name][1] + result.missed]
            row["due"][0] += len(truth)
    keep(PATH, {"code": code(), "rules": found})


def _plain(config: Config) -> Iterator[tuple[str, list[Plain]]]:
    """The rules that have a plain counterpart: one counter for the zone, or one for each slot."""
    for rule_id, rule in config.rules.items():
        kind, dwell = config.kinds[f"rules.{rule_id}"], watch_of(config, rule_id).dwell
        if kind in ("line_crossing", "left_object", "sleep", "tamper"):
            continue
        zone = config.zones[rule.zones[0]]
        if kind == "parking":
            middles = [tuple(sum(p[i] for p in slot) / len(slot) for i in (0, 1)) for slot in zone.slots.values()]
            yield rule_id, [Plain(FPS, rule.overstay, _covers(middle), 0) for middle in middles]
            continue
        people = in_zone(zone, ["person"], rule.min_score)
        hit: Hit = people
        if kind == "absence":
            hit = lambda found, people=people: not people(found)  # noqa: E731
        elif kind in ("fire_lane", "illegal_parking"):
            hit = in_zone(zone, ["vehicle"], rule.min_score)
        elif kind == "crowd":
            hit = _so_many(zone.polygon, rule.n)
        yield rule_id, [Plain(FPS, dwell, hit, 0)]


def _covers(middle: Sequence[float]) -> Hit:
    x, y = middle
    return lambda found: any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in found.xyxy)


def _so_many(polygon: Any, n: int) -> Hit:
    def hit(found: Detections) -> bool:
        feet = (((b[0] + b[2]) / 2, b[3]) for i, b in enumerate(found.xyxy) if found.label(i) == "person")
        return sum(contains(polygon, (float(x), float(y))) for x, y in feet) >= n

    return hit


def _see(scenario: Scenario, counters: Sequence[Plain]) -> None:
    shot = scenario.shot()
    for index in range(int(scenario.duration * FPS)):
        time = index / FPS
        found = _detections([(a.label, b) for a, b in boxes(shot, time) if a.label in LABELS])
        for counter in counters:
            counter.update(time, found)


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report: the scenarios, then what `python benchmarks/bench_contrast.py --keep` found."""
    return [
        "A plain rule gets the very same detections: a box in the zone (absence: none; parking: over a slot's middle) "
        "for so many frames running is an alarm, and it is armed again when that was over for three seconds' frames. "
        "It tells of a zone and not of each who is in it, which is most of what it misses of intrusion; and what has "
        "no label (a pallet in the lane) it cannot see.",
        *_scenarios(out),
        *_others(out),
    ]


def _scenarios(out: dict[str, Any]) -> list[str]:
    if not PATH.exists():
        return ["", "The scored scenarios were not played for it (`python -m benchmarks.score --contrast`)."]
    told = json.loads(PATH.read_text(encoding="utf-8"))
    out["contrast"] = {"scenarios": told["rules"]}
    rows = [(rule, *r["due"], *r["ours"], *r["plain"]) for rule, r in told["rules"].items()]
    sums = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
    stale = "" if told["code"] == code() else " (before the last change of rules or simulator)"
    return [
        "",
        f"The scored scenarios, by their exact boxes{stale}:",
        *_table(("rule", "due", "ours: false", "missed", "plain: false", "missed"), [*rows, ("all", *sums)]),
    ]


def _others(out: dict[str, Any]) -> list[str]:
    path = KEPT / "contrast.json"
    if not path.exists():
        return ["", "Other recordings: not run (`python benchmarks/bench_contrast.py --keep`)."]
    told = json.loads(path.read_text(encoding="utf-8"))
    out.setdefault("contrast", {})["others"] = told
    head = ("recordings", "due", "ours: false", "missed", "strict: false", "missed", "lenient: false", "missed")
    return [
        "",
        "Other recordings; `strict` starts anew with each frame that lacks the box, `lenient` bears three. Scripted "
        "lanes (jitter, 4 % of the boxes missed, a false one every 10 s, lorries in front), the clip of real visits, "
        f"and the demo's park by the shipped model, {told['seeds']} seed(s) by day and by night:",
        *_table(head, [(r["recordings"], r["due"], *r["ours"], *r["strict"], *r["lenient"]) for r in told["rows"]]),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    body = [f"| {' | '.join(map(str, row))} |" for row in rows]
    return ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body]
