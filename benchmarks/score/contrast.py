"""Beside the rules, on the same detections: one that counts frames, as common recorders do (`bench_contrast.py`)."""

import json
from typing import Any

from benchmarks.score.store import KEPT


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report, from what `python benchmarks/bench_contrast.py --keep` found."""
    path = KEPT / "contrast.json"
    if not path.exists():
        return ["Not run (`python benchmarks/bench_contrast.py --keep`)."]
    told = json.loads(path.read_text(encoding="utf-8"))
    out["contrast"] = told
    head = ("recordings", "due", "ours: false", "missed", "strict: false", "missed", "lenient: false", "missed")
    cells = [(r["recordings"], r["due"], *r["ours"], *r["strict"], *r["lenient"]) for r in told["rows"]]
    return [
        "A plain rule gets the very same detections: a box in the zone for so many frames running is an alarm. "
        "`strict` starts anew with each frame that lacks it, `lenient` bears three. Scripted lanes (jitter, 4 % of the "
        "boxes missed, a false one every 10 s, lorries in front), the clip of real visits, and the demo's park, "
        f"{told['seeds']} seed(s) by day and by night.",
        *("", f"| {' | '.join(head)} |", "|---" * len(head) + "|"),
        *(f"| {' | '.join(map(str, row))} |" for row in cells),
    ]
