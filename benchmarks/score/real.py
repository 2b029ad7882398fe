"""Real recordings and stills with all rules on: false alarms per camera-hour, apart from everything simulated.

What a model was trained on and what was held out is told apart; pictures that an AI has generated are no real ones.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import yaml

from benchmarks.score import stills
from benchmarks.score.pixels import UTC, Eyes
from benchmarks.score.store import KEPT, bundle, code, digest_of, keep
from smartbox import config as configuration
from smartbox.asking import ask
from smartbox.clock import ManualClock
from smartbox.config import Config
from smartbox.progress import each
from smartbox.score import TOLERANCE_S, Alarm, Result, Truth, read_truth, score
from smartbox.types import Event, Sample

Kind = Literal["clip", "car park", "generated", "unrest"]
EVERYWHERE = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
RULES: Mapping[str, Mapping[str, Any]] = {
    "fire-lane": {"type": "fire_lane", "zones": ["all"]},
    "illegal-parking": {"type": "illegal_parking", "zones": ["all"]},
    "loitering": {"type": "loitering", "zones": ["all"]},
    "crowd": {"type": "crowd", "zones": ["all"]},
    "left-object": {"type": "left_object", "zones": ["all"]},
    "intrusion": {"type": "intrusion", "zones": ["all"], "labels": ["person"]},
    "sleep": {"type": "sleep", "zones": ["all"], "model": "postures"},
    "tamper": {"type": "tamper", "cameras": ["camera"]},
}
CLIP_RULES: Mapping[str, Mapping[str, Any]] = {
    **RULES,
    "absence": {"type": "absence", "zones": ["all"]},
    "line-crossing": {"type": "line_crossing", "zones": ["middle"], "labels": ["vehicle"]},
    "still": {"type": "sleep", "zones": ["all"], "sleep": "20s"},
}
"""`still` rests on stillness alone: what it tells of who is awake must be a notice."""
PARK_RULES: Mapping[str, Mapping[str, Any]] = {
    **RULES,
    "parking": {"type": "parking", "zones": ["slots"], "model": "slots", "overstay": f"{stills.OVERSTAY_S:g}s"},
}
ROOT = Path(__file__).resolve().parents[2]
TRUTH = ROOT / "tests" / "replay" / "truth"  # counted by eye
MODELS = ("lrssd-park", "muffnet-posture", "muffnet-slot")
NAMES: Mapping[str, str] = {"room-visit": "intrusion", "car-count": "line-crossing"}


class Watch(Eyes):
    """As a box sees it."""

    def begins(self, sample: Sample) -> list[Event]:
        plan = self.pipeline.plan(sample)
        return [e for e in self.pipeline.step(plan, ask(self._models, plan.requests)).events if e.phase == "begin"]


def watch(data: Path) -> None:
    """Play what is not kept from before."""
    if not (data / "clips").is_dir():
        print(f"REAL PICTURES ARE SKIPPED: {data / 'clips'} is no directory", file=sys.stderr)
        return
    now = code()
    jobs: dict[str, Any] = {clip.stem: partial(_clip, clip) for clip in sorted((data / "clips").glob("*.mp4"))}
    jobs |= {f"parking-{day}": partial(_parking, paths) for day, paths in stills.sequences(data).items()}
    if empty := stills.sequences(data).get(stills.EMPTY_DAY):
        jobs["empty-day"] = partial(_empty, empty)
    jobs["lying"] = partial(_lying, data)
    jobs["unrest"] = partial(_unrest, data)
    for name, play in jobs.items():
        path = KEPT / f"real-{name}-{digest_of(MODELS)[:8]}-{now[:12]}.json"
        if path.exists():
            continue
        told = {"name": name, **play()}
        keep(path, told)
        print(f"{name}: {told['seconds']:.0f} s, {len(told['alarms'])} alarms", file=sys.stderr, flush=True)


def _clip(clip: Path) -> dict[str, Any]:
    source = {"type": "file", "path": str(clip), "fps": 5, "model": "eyes", "gate": False, "paced": False}
    zones = {"all": {"polygon": EVERYWHERE}, "middle": {"line": [[0.0, 0.5], [1.0, 0.5]]}}
    config = _config(source, zones, CLIP_RULES)
    frames = config.sources["camera"].read("camera", ManualClock(0.0, UTC), threading.Event())
    file = TRUTH / f"{clip.stem}.jsonl"
    truth = [
        # a crossing has no dwell: it is due as soon as the car shows, and tolerated while it passes
        Truth(NAMES[t.rule], clip.stem, t.subject, t.start_s, t.end_s, t.start_s if t.rule == "car-count" else None)
        for t in (read_truth(file) if file.exists() else ())
    ]
    return _played("clip", clip.stem, config, frames, truth)


def _parking(paths: Sequence[Path]) -> dict[str, Any]:
    name = f"parking-{paths[0].name.partition('_')[0]}"
    slots = {s["id"]: s["polygon"] for s in stills.slots_of(paths[0])}
    zones = {"all": {"polygon": stills.DRIVE}, "slots": {"slots": slots}}
    config = _config(_STILL, zones, PARK_RULES)
    rule = config.rules["parking"]
    truth = stills.parking_truth(name, paths, rule.full_ratio, rule.hold)
    states: list[dict[str, Any]] = []

    def after(time: float, eyes: Watch) -> None:
        """What each slot is said to be at the end of its still."""
        number, rest = divmod(time + 1 / stills.FPS, stills.PARKED_S)
        if rest == 0 and number > 0:
            still = paths[int(number) - 1]
            said = eyes.pipeline.occupancy
            wrong = [s["id"] for s in stills.slots_of(still) if said.get(s["id"]) != _STATES[bool(s["occupied"])]]
            states.append({"still": still.stem, "held_out": stills.held_out(still), "of": len(slots), "wrong": wrong})

    frames = stills.noisy([stills.read(p) for p in paths], stills.PARKED_S)
    return {**_played("car park", name, config, frames, truth, after), "slots": states}


def _empty(paths: Sequence[Path]) -> dict[str, Any]:
    """A day on which nobody came, all rules over all of the picture: shadows move, and nothing else happens."""
    slots = {s["id"]: s["polygon"] for s in stills.slots_of(paths[0])}
    config = _config(_STILL, {"all": {"polygon": EVERYWHERE}, "slots": {"slots": slots}}, PARK_RULES)
    frames = stills.noisy([stills.read(p) for p in paths], stills.EMPTY_S)
    learnt = sum(map(stills.learnt_empty, paths))
    return {**_played("car park", "empty-day", config, frames, []), "slots": [], "stills": len(paths), "learnt": learnt}


def _lying(data: Path) -> dict[str, Any]:
    rules = {**RULES, "sleep": {**RULES["sleep"], "sleep": f"{stills.ASLEEP_S:g}s"}}
    config = _config(_STILL, {"all": {"polygon": EVERYWHERE}}, rules)
    parts, pictures = [], stills.lying(data)
    for name, posture, held in each(pictures, "people who lie"):
        frames = stills.noisy([stills.read(data / "lying" / f"{name}.webp")], stills.LYING_S)
        part = _played("generated", name, config, frames, stills.lying_truth(name, posture))
        parts.append({"name": name, "posture": posture, "held_out": held, **part})
    shown = [{k: p[k] for k in ("name", "posture", "held_out", "seconds")} for p in parts]
    return {**_together("generated", parts), "pictures": shown}


def _unrest(data: Path) -> dict[str, Any]:
    """Stills of streets with light and wind: nothing is put down, and nobody touches the camera."""
    rules = {name: RULES[name] for name in ("left-object", "tamper")}
    config = _config({**_STILL, "fps": stills.RESTLESS_FPS}, {"all": {"polygon": EVERYWHERE}}, rules)
    parts, places = [], [(path, unrest) for path in stills.streets(data) for unrest in stills.UNREST]
    for path, unrest in each(places, "restless streets"):
        image = stills.read(path)
        scale = max(1.0, 640 / max(image.shape[:2]))
        frames = stills.restless(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), unrest)
        parts.append({"unrest": unrest, **_played("unrest", f"{path.stem}-{unrest}", config, frames, [])})
    counts = {unrest: sum(p["unrest"] == unrest for p in parts) for unrest in stills.UNREST}
    return {**_together("unrest", parts), "parts": counts}


def _together(kind: Kind, parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was played one by one, as one recording."""
    lists = {key: [one for part in parts for one in part[key]] for key in ("truth", "alarms", "notices")}
    return {"kind": kind, "seconds": sum(part["seconds"] for part in parts), **lists}


_STATES = {True: "occupied", False: "free"}
_STILL = {"type": "file", "path": "still", "fps": stills.FPS, "model": "eyes"}


def _played(
    kind: Kind, name: str, config: Config, frames: Iterable[Sample], truth: Sequence[Truth], after: Any = None
) -> dict[str, Any]:
    eyes, last, begins = Watch(config), 0.0, list[Event]()
    try:
        for frame in frames:
            begins += eyes.begins(frame)
            last = frame.time
            if after:
                after(frame.time, eyes)
    finally:
        eyes.close()

    def told(cls: str) -> list[dict[str, Any]]:
        mine = [e for e in begins if e.cls == cls]
        return [asdict(Alarm(e.rule, name, e.objects[0].subject if e.objects else "", e.monotonic)) for e in mine]

    due = [asdict(t) for t in (_due(t, config) for t in truth) if t]
    return {"kind": kind, "seconds": last, "truth": due, "alarms": told("alarm"), "notices": told("notice")}


def _due(truth: Truth, config: Config) -> Truth | None:
    """With the time of its alarm; None: it was over before."""
    when = truth.alarm_s
    if when is None:
        when = truth.start_s + float(config.rules[truth.rule].alarm_after(truth.subject))
    return replace(truth, alarm_s=when) if when <= truth.end_s else None


def _config(source: Mapping[str, Any], zones: Mapping[str, Any], rules: Mapping[str, Any]) -> Config:
    names = {"eyes": "lrssd-park", "postures": "muffnet-posture", "slots": "muffnet-slot"}
    wanted = {rule.get("model") for rule in rules.values()} | {"eyes"}
    if missing := [names[n] for n in wanted if n and not bundle(names[n])]:
        raise SystemExit(f"models/ has no {', '.join(missing)}: without them these rules say nothing")
    with tempfile.TemporaryDirectory() as folder:
        values = {
            "version": 1, "box": {"site": "score", "id": "box", "state_dir": folder},
            "mqtt": {"url": "mqtt://127.0.0.1"},
            "models": {n: {"bundle": b, "backends": ["onnxruntime"]} for n, b in names.items() if n in wanted},
            "sources": {"camera": dict(source)},
            "zones": {name: {"source": "camera", **zone} for name, zone in zones.items()},
            "rules": {name: dict(rule) for name, rule in rules.items()},
        }  # fmt: skip
        path = Path(folder) / "real.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return configuration.load(path)


def result_of(told: Mapping[str, Any], sources: frozenset[str] | None = None) -> Result:
    """Truth against alarms of one recording, or of some of its pictures."""
    truth = [Truth(**t) for t in told["truth"] if sources is None or t["source"] in sources]
    alarms = [Alarm(**a) for a in told["alarms"] if sources is None or a["source"] in sources]
    return score(truth, alarms, lambda *_: 0.0, {told["name"]: told["seconds"]})


def kept() -> list[dict[str, Any]]:
    """The last of each recording. old: rules, models or simulator have changed since."""
    paths = sorted(KEPT.glob("real-*-*-*.json"), key=lambda p: p.stat().st_mtime)
    now = f"{digest_of(MODELS)[:8]}-{code()[:12]}"
    found = [{**json.loads(path.read_text(encoding="utf-8")), "old": not path.stem.endswith(now)} for path in paths]
    return list({one["name"]: one for one in found if "kind" in one}.values())


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report."""
    told = kept()
    if not told:
        return ["Not run: it needs the recordings of `../shared/data` (`--real`)."]
    clips, parks, generated, restless = (
        [t for t in told if t["kind"] == kind] for kind in ("clip", "car park", "generated", "unrest")
    )
    real = [*clips, *parks]
    results = {t["name"]: result_of(t) for t in told}
    hours = sum(t["seconds"] for t in real) / 3600
    false = sum(results[t["name"]].false for t in real)
    out["real"] = {
        "hours": round(hours, 4), "false": false, "false_per_hour": round(false / hours, 3) if hours else None,
        "missed": sum(results[t["name"]].missed for t in real), "rules": _by_rule(real),
        "recordings": [_summary(t, results[t["name"]]) for t in told], "generated": _by_rule(generated),
    }  # fmt: skip
    lines = [
        f"All rules with their default times (overstay {stills.OVERSTAY_S:g} s) over real recordings and stills "
        f"of real cameras: **{false} false alarms in {hours:.3f} camera-hours**, {out['real']['missed']} missed.",
        *("", "| recording | seconds | due | told | missed | false | notices |", "|---" * 7 + "|"),
        *(_row(t, results[t["name"]]) for t in told),
        "",
        *(f"- {wrong}" for t in real for wrong in results[t["name"]].wrong),
    ]
    old = [t["name"] for t in told if t["old"]]
    stale = ["", f"Played before the last change of rules, models or simulator: {', '.join(old)}."] if old else []
    return [
        *lines,
        *_parks(parks, out["real"]),
        *_generated(generated, results, out["real"]),
        *_restless(restless),
        *stale,
    ]


def _by_rule(told: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in told:
        for rule, result in result_of(one).by_rule.items():
            sums = found.setdefault(rule, {"true": 0, "false": 0, "missed": 0})
            for key in sums:
                sums[key] += getattr(result, key)
    return found


def _summary(told: Mapping[str, Any], result: Result) -> dict[str, Any]:
    figures = {"true": result.true, "false": result.false, "missed": result.missed, "notices": len(told["notices"])}
    return {"name": told["name"], "kind": told["kind"], "seconds": told["seconds"], **figures}


def _row(told: Mapping[str, Any], r: Result) -> str:
    figures = (f"{told['seconds']:.0f}", r.true + r.missed, r.true, r.missed, r.false, len(told["notices"]))
    return f"| {told['name']} ({told['kind']}) | {' | '.join(map(str, figures))} |"


def _parks(parks: Sequence[Mapping[str, Any]], out: dict[str, Any]) -> list[str]:
    """What was said of slots, for stills that the classifier was trained on and for others."""
    states = [state for park in parks for state in park["slots"]]
    if not states:
        return []
    parts = {}
    for name, held in (("held out", True), ("trained on", False)):
        mine = [s for s in states if s["held_out"] == held]
        parts[name] = {"slots": sum(s["of"] for s in mine), "wrong": sum(len(s["wrong"]) for s in mine)}
    out["slots"] = parts
    empty = next((park for park in parks if "learnt" in park), None)
    day = (
        f" Empty-day: all rules over the whole picture of the {empty['stills']} stills on which nobody came, each for "
        f"{stills.EMPTY_S:g} s; of {empty['learnt']} of them the detector has learnt that nothing is there."
        if empty
        else ""
    )
    words = ", ".join(f"{p['slots'] - p['wrong']} of {p['slots']} in stills {name}" for name, p in parts.items())
    return [
        "",
        f"Car park (PKLot, camera UFPR05): 15 stills of three days, each shown for {stills.PARKED_S:g} s. Slots whose "
        f"state was right at the end of a still: {words}; the camera is one that the classifier knows.{day}",
    ]


def _generated(told: Sequence[Mapping[str, Any]], results: Mapping[str, Result], out: dict[str, Any]) -> list[str]:
    if not told:
        return []
    (one,) = told
    lines, parts = [], {}
    for name, held in (("held out", True), ("trained on", False)):
        mine = frozenset(p["name"] for p in one["pictures"] if p["held_out"] == held)
        asleep = result_of(one, mine).by_rule.get("sleep")
        lying = sum(t["rule"] == "sleep" and t["source"] in mine for t in one["truth"])
        parts[name] = {"lying": lying, "told": asleep.true if asleep else 0, "false": asleep.false if asleep else 0}
        figures = f"{parts[name]['told']} of {lying} who lie told as asleep, {parts[name]['false']} others"
        lines.append(f"- stills of clips {name}: {figures}")
    out["lying"] = parts
    rules = results[one["name"]].by_rule
    false, late = results[one["name"]].false, sum(_is_late(alarm, one) for alarm in one["alarms"])
    out["late"] = late
    entered = rules.get("intrusion")
    head = (
        f"**AI-generated** (T2V-Bed-Fall, no real persons): {len(one['pictures'])} stills of people in and beside "
        f"beds, {stills.LYING_S:g} s each, asleep after {stills.ASLEEP_S:g} s. The detector and the posture model were "
        "trained on three quarters of the clips."
    )
    found = f"- a person in the picture: {entered.true} of {entered.true + entered.missed} told" if entered else ""
    return [
        "",
        head,
        *lines,
        found,
        f"- false, of all rules: {false}; {late} of these tell what is so, more than {TOLERANCE_S:g} s after it was "
        f"due, and {false - late} what is not",
    ]


def _restless(told: Sequence[Mapping[str, Any]]) -> list[str]:
    if not told:
        return []
    (one,) = told
    places = next(iter(one["parts"].values()))
    return [
        "",
        f"**Unrest**: {places} stills of streets, {stills.RESTLESS_S:g} s each, as cameras see them whose exposure is "
        "moved by up to 30 % every 25 s, whose mast sways, and over whose street a cloud's shade goes "
        f"({one['seconds'] / 3600:.1f} camera-hours); the rules left_object and tamper over the whole picture: "
        f"**{len(one['alarms'])} alarms**.",
        *(f"- false: {alarm['rule']} on {alarm['source']}, at {alarm['time_s']:.0f} s" for alarm in one["alarms"]),
    ]


def _is_late(alarm: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """It tells what goes on, more than 10 s after it was due."""
    mine = [t for t in told["truth"] if (t["rule"], t["source"]) == (alarm["rule"], alarm["source"])]
    return any(t["alarm_s"] + TOLERANCE_S < alarm["time_s"] <= t["end_s"] for t in mine)
