"""Real recordings with all rules on: false alarms per camera-hour, apart from everything simulated."""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.score.pixels import real
from benchmarks.score.store import KEPT, bundle, code
from smartbox import config as configuration
from smartbox.config import Config
from smartbox.score import Alarm, read_truth, score

INTRUSION_S = 5.0  # the rule's default dwell
EVERYWHERE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
RULES = {
    "fire-lane": {"type": "fire_lane", "zones": ["all"]},
    "illegal-parking": {"type": "illegal_parking", "zones": ["all"]},
    "loitering": {"type": "loitering", "zones": ["all"]},
    "crowd": {"type": "crowd", "zones": ["all"]},
    "left-object": {"type": "left_object", "zones": ["all"]},
    "intrusion": {"type": "intrusion", "zones": ["all"], "labels": ["person"]},
    "sleep": {"type": "sleep", "zones": ["all"]},
    "tamper": {"type": "tamper", "cameras": ["camera"]},
}
ROOT = Path(__file__).resolve().parents[2]
TRUTH = ROOT / "tests" / "replay" / "truth"  # counted by eye: visits to the room, as rule `room-visit`


def watch(data: Path) -> None:
    clips = sorted((data / "clips").glob("*.mp4"))
    if not clips:
        print(f"REAL PICTURES ARE SKIPPED: {data / 'clips'} has no recordings", file=sys.stderr)
        return
    for clip in clips:
        path = KEPT / f"real-{clip.stem}-{code()[:12]}.json"
        if path.exists():
            continue
        last, told = 0.0, []
        for time, alarms in real(_config(clip), "camera"):
            last = time
            told += [{"rule": a.rule, "subject": a.subject, "time_s": round(a.time_s, 1)} for a in alarms]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"clip": clip.stem, "seconds": last, "alarms": told}), encoding="utf-8")
        print(f"{clip.name}: {last:.0f} s, {len(told)} alarms: {[a['rule'] for a in told]}", file=sys.stderr)


def _config(clip: Path) -> Config:
    rules: dict[str, Any] = {name: dict(rule) for name, rule in RULES.items()}
    models = {"eyes": {"bundle": "lrssd-park", "backends": ["onnxruntime"]}}
    if bundle("muffnet-posture"):
        models["postures"] = {"bundle": "muffnet-posture", "backends": ["onnxruntime"]}
        rules["sleep"]["model"] = "postures"
    with tempfile.TemporaryDirectory() as folder:
        values = {
            "version": 1, "box": {"site": "score", "id": "box", "state_dir": folder},
            "mqtt": {"url": "mqtt://127.0.0.1"}, "models": models,
            "sources": {"camera": {"type": "file", "path": str(clip), "fps": 5, "model": "eyes", "gate": False}},
            "zones": {"all": {"source": "camera", "polygon": EVERYWHERE}}, "rules": rules,
        }  # fmt: skip
        path = Path(folder) / "real.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return configuration.load(path)


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report."""
    paths = sorted(KEPT.glob("real-*.json"), key=lambda p: p.stat().st_mtime)
    kept = list({one["clip"]: one for one in (json.loads(path.read_text()) for path in paths)}.values())
    if not kept:
        return ["Not run: it needs the recordings of `../shared/data` (`--real`)."]
    lines, false, missed, hours = [], 0, 0, 0.0
    for one in kept:
        alarms = [Alarm(a["rule"], "room", a["subject"], a["time_s"]) for a in one["alarms"]]
        file = TRUTH / f"{one['clip']}.jsonl"
        visits = (
            [replace(t, rule="intrusion", source="room") for t in read_truth(file) if t.rule == "room-visit"]
            if file.exists()
            else []
        )
        result = score(visits, alarms, lambda *_: INTRUSION_S, {"room": one["seconds"]})
        false, missed, hours = false + result.false, missed + result.missed, hours + one["seconds"] / 3600
        lines.append(f"- `{one['clip']}`, {one['seconds']:.0f} s: {result.true} of {len(visits)} visits told")
        lines += [f"  - {wrong}" for wrong in result.wrong]
    out["real"] = {"hours": round(hours, 4), "false": false, "missed": missed, "clips": kept}
    figures = f"**{false} false alarms in {hours:.3f} camera-hours**, {missed} missed"
    head = f"Rules {', '.join(RULES)} with their default times on the whole picture: {figures}."
    rest = "The parking frames and the lying pictures of the shared data are stills and are not played here."
    return [head, *lines, rest]
