"""Beside the rules, on the same detections: one that counts frames, as common recorders do (plain.py).

`bench_contrast.py` has other recordings.
"""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.bench_contrast import EARLY_S
from benchmarks.score.scenario import scenarios
from benchmarks.score.store import KEPT, kept
from smartbox.score import Alarm, score


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report: the scenarios, then what `python benchmarks/bench_contrast.py --keep` found."""
    return [
        "A plain rule gets the very same detections: a box in the zone (absence: none; parking: over a slot's middle) "
        "for so many frames running is an alarm, and it is armed again when that was over for three seconds' frames. "
        "It tells of a zone and not of each who is in it, which is most of what it misses of intrusion; and what has "
        "no label (a pallet in the lane) it cannot see.",
        *_scenarios(out, "scripted"),
        *_scenarios(out, "pixels"),
        *_others(out),
    ]


def _scenarios(out: dict[str, Any], column: str) -> list[str]:
    """What each told wrongly in the recordings of a column."""
    rules = _compared(column)
    if not rules:
        return []
    out.setdefault("contrast", {})[column] = rules
    rows = [(rule, r["due"], *r["ours"], *r["plain"]) for rule, r in sorted(rules.items())]
    sums = [sum(row[i] for row in rows) for i in range(1, 6)]
    by = "their exact boxes" if column == "scripted" else "what the shipped models see"
    return [
        "",
        f"The scored scenarios, by {by}:",
        *_table(("rule", "due", "ours: false", "missed", "plain: false", "missed"), [*rows, ("all", *sums)]),
    ]


def _compared(column: str) -> dict[str, dict[str, Any]]:
    """Rule -> how many were due, and [false, missed] of ours and of the plain rule."""
    found: dict[str, dict[str, Any]] = {}
    for scenario in scenarios():
        outcome = kept(scenario, column, stale=True)
        for rule, times in (outcome.plain if outcome else {}).items():
            assert outcome is not None  # it has told
            truth = [t for t in outcome.truth if t.rule == rule]
            due = [t.alarm_s for t in truth if t.alarm_s is not None]
            told = [next((d for d in due if 0 < d - time <= EARLY_S), time) for time in times]
            row = found.setdefault(rule, {"due": 0, "ours": [0, 0], "plain": [0, 0]})
            row["due"] += len(truth)
            ours = [a for a in outcome.alarms if a.rule == rule]
            for name, alarms in (("ours", ours), ("plain", [Alarm(rule, scenario.name, "zone", t) for t in told])):
                result = score(truth, alarms, lambda *_: 0.0)
                row[name] = [row[name][0] + result.false, row[name][1] + result.missed]
    return found


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
