"""False and missed alarms of our rules beside those of a plain detection-and-frame-count rule, on the same recordings.

    python benchmarks/bench_contrast.py [--seeds 3] [--first-seed 100] [--fps 5] [--clips ../shared/data/clips] [--keep]

The plain rule is what common recorders do: a box of the label with enough score, its foot in the zone, in so many
frames running, is an alarm; it is armed again when the zone was empty for three seconds' frames. `strict` starts anew
with each frame that lacks the box, `lenient` bears three. Both get the very same detections as our rules: same model,
same frames, no motion gate. Sleep has no plain counterpart and is left out.

Recordings: scripted detections (jitter, 4 % missed, a false box every 10 s, lorries in front); simulated cameras
through the shipped model, day and night; the clip of real visits where `--clips` has it.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from smartbox import config as configuration  # noqa: E402
from smartbox.asking import ask  # noqa: E402
from smartbox.build import Parts, parts  # noqa: E402
from smartbox.clock import ManualClock  # noqa: E402
from smartbox.commands.simulate import cameras_of  # noqa: E402
from smartbox.geometry import Zone, bottom_center, contains  # noqa: E402
from smartbox.model import Model  # noqa: E402
from smartbox.rules._base import expand  # noqa: E402
from smartbox.score import Alarm, Truth, read_truth, score  # noqa: E402
from smartbox.simulation.truth import alarms  # noqa: E402
from smartbox.tracker import Tracker  # noqa: E402
from smartbox.types import Detections, Event, Frame, Scene  # noqa: E402
from tests.rules import test_through_tracker as scripted  # noqa: E402
from tests.rules.script import LANE, UTC, Thing, runner  # noqa: E402

TRUTH = ROOT / "tests" / "replay" / "truth"
KEPT = ROOT / "build" / "score" / "contrast.json"
FORGET_S = 3.0
EARLY_S = 3.0  # a plain alarm may be so early: its zone begins at the foot, ours at a share of the box


@dataclass
class Plain:
    """Counts frames."""

    fps: float
    dwell: float
    hit: Callable[[Detections], bool]
    bears: int
    alarms: list[float] = field(default_factory=list)
    _run: int = 0
    _missed: int = 0
    _armed: bool = True

    def update(self, time: float, found: Detections) -> None:
        if self.hit(found):
            self._run, self._missed = self._run + 1, 0
        else:
            self._missed += 1
            self._run = self._run + 1 if self._run and self._missed <= self.bears else 0
            self._armed |= self._missed >= FORGET_S * self.fps
        if self._armed and self._run >= self.dwell * self.fps:
            self._armed = False
            self.alarms.append(time)


def in_zone(zone: Zone, labels: Sequence[str], least: float) -> Callable[[Detections], bool]:
    wanted = expand(labels)

    def hit(found: Detections) -> bool:
        return any(
            found.label(i) in wanted
            and found.score[i] >= least
            and contains(zone.polygon, bottom_center(tuple(found.xyxy[i].tolist())))
            for i in range(len(found))
        )

    return hit


def full(zone: Zone, least: float) -> Callable[[Detections], bool]:
    """Every slot's middle lies in some vehicle's box."""
    middles = [np.mean(np.array(polygon), 0) for polygon in zone.slots.values()]

    def hit(found: Detections) -> bool:
        boxes = [b for i, b in enumerate(found.xyxy) if found.score[i] >= least and found.label(i) != "person"]
        return all(any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in boxes) for x, y in middles)

    return hit


def plain_hit(kind: str, rule: object, zone: Zone) -> tuple[Callable[[Detections], bool], float] | None:
    """How the plain rule sees a rule of ours, and its dwell; None where it has no counterpart."""
    least = rule.min_score  # type: ignore[attr-defined]
    if kind == "intrusion":
        return in_zone(zone, rule.labels, least), rule.dwell  # type: ignore[attr-defined]
    if kind == "fire_lane":
        return in_zone(zone, ["vehicle"], least), rule.vehicle  # type: ignore[attr-defined]
    if kind == "absence":
        there = in_zone(zone, ["person"], least)
        return lambda found: not there(found), rule.leave  # type: ignore[attr-defined]
    return (full(zone, least), rule.hold) if kind == "parking" else None  # type: ignore[attr-defined]


@dataclass
class Case:
    """One recording under one rule: what was due, and what each said."""

    name: str
    truth: list[Truth]
    ours: list[Alarm]
    strict: list[Alarm]
    lenient: list[Alarm]
    dwell: float


def played(
    config: configuration.Config, made: Parts, source: str, until: float
) -> Iterator[tuple[float, Detections, tuple[Event, ...]]]:
    """Of each frame the detections, and what our own rules make of them."""
    pipeline, settings = made.pipelines[source], config.sources[source]
    name = settings.model
    model = Model(made.bundles[name], config.backends(name), config.box.state_dir)
    model.open()
    unpaced = settings.model_copy(update={"paced": False})
    try:
        for sample in unpaced.read(source, ManualClock(0.0, 0.0), threading.Event()):
            if not isinstance(sample, Frame) or sample.time > until:
                break
            plan = pipeline.plan(sample)
            answers = ask({name: model}, plan.requests)
            found = pipeline.see(plan, answers)
            events = pipeline.step(plan, answers).events
            if found is not None:
                yield sample.time, found, events
    finally:
        model.close()


def judge(config: configuration.Config, source: str, truth: Sequence[Truth], until: float, title: str) -> list[Case]:
    """Every rule of one source, beside its plain counterparts."""
    made, told = parts(config), list[Alarm]()
    fps = config.sources[source].fps
    plain: dict[str, tuple[Plain, Plain]] = {}
    for rule_id, rule in config.rules.items():
        zone = config.zones[rule.zones[0]]
        known = plain_hit(config.kinds[f"rules.{rule_id}"], rule, zone) if zone.source == source else None
        if known:
            hit, dwell = known
            plain[rule_id] = (Plain(fps, dwell, hit, 0), Plain(fps, dwell, hit, 3))
    for time, found, events in played(config, made, source, until):
        told += [Alarm(e.rule, e.camera, e.objects[0].subject, time) for e in events if e.phase == "begin"]
        for pair in plain.values():
            for counter in pair:
                counter.update(time, found)
    cases = []
    for rule_id, (strict, lenient) in plain.items():
        mine = [t for t in truth if t.rule == rule_id and t.source == source]
        said = [[Alarm(rule_id, source, "zone", t) for t in counter.alarms] for counter in (strict, lenient)]
        ours = [a for a in told if a.rule == rule_id]
        kind = config.kinds[f"rules.{rule_id}"]
        cases.append(Case(f"{title}, {kind}", mine, ours, *said, strict.dwell))
    return cases


def simulated(seed: int, night: bool, fps: float, folder: Path) -> Iterator[Case]:
    """The demo's park with another seed."""
    values = yaml.safe_load((ROOT / "deploy" / "demo.yaml").read_text())
    values["box"]["state_dir"] = str(folder)
    for source in values["sources"].values():
        source.update(seed=seed, night=night, fps=fps, gate=False, duration=180)
    values["sources"].pop("post")
    values["zones"].pop("desk")
    values["rules"].pop("guard-awake")
    path = folder / "park.yaml"
    path.write_text(yaml.safe_dump(values))
    config = configuration.load(path)
    for camera in cameras_of(config):
        due = alarms(camera.shot, camera.watches, 180.0)
        truth = [Truth(a.rule, camera.source, a.subject, a.start_s, a.end_s, a.alarm_s) for a in due]
        yield from judge(config, camera.source, truth, 180.0, f"simulated {'night' if night else 'day'}")


def visits(clip: Path, fps: float, folder: Path) -> list[Case]:
    path = folder / "room.yaml"
    everywhere = [[0, 0], [1, 0], [1, 1], [0, 1]]
    values = {
        "version": 1,
        "box": {"site": "bench", "id": "b", "state_dir": str(folder)},
        "mqtt": {"url": "mqtt://127.0.0.1"},
        "models": {"eyes": {"bundle": "lrssd-park", "backends": ["onnxruntime"]}},
        "sources": {"room": {"type": "file", "path": str(clip), "fps": fps, "model": "eyes", "gate": False}},
        "zones": {"room": {"source": "room", "polygon": everywhere}},
        "rules": {"room-visit": {"type": "intrusion", "zones": ["room"], "labels": ["person"], "cooldown": 0}},
    }
    path.write_text(yaml.safe_dump(values))
    truth = read_truth(TRUTH / f"{clip.stem}.jsonl")
    return judge(configuration.load(path), "room", truth, 1e9, "real visits")


def lanes(seed: int) -> Iterator[Case]:
    """A fire lane on scripted detections: vehicles stop for too long or not, and lorries stand in front of them."""
    yield lane(seed, "vehicles", *scripted.parking_lane(np.random.default_rng(seed)))
    yield lane(seed, "behind lorries", *scripted.lorries_in_front())


def lane(seed: int, title: str, things: Sequence[Thing], truth: list[Truth], until: float) -> Case:
    run, tracker = runner("fire_lane", scripted.FPS), Tracker()
    hit = in_zone(LANE, ["vehicle"], 0.5)
    strict, lenient = Plain(scripted.FPS, 60, hit, 0), Plain(scripted.FPS, 60, hit, 3)
    ours: list[Alarm] = []
    for time, found in scripted.detections(things, until, seed, title == "vehicles"):
        strict.update(time, found)
        lenient.update(time, found)
        scene = Scene("east", time, UTC + time, tracker.update(time, found))
        ours += [Alarm("rule", "east", "", e.monotonic) for e in run.step(scene) if e.phase == "begin"]
    said = [[Alarm("rule", "east", "zone", t) for t in counter.alarms] for counter in (strict, lenient)]
    return Case(f"scripted lane, {title}", truth, ours, *said, 60.0)


def in_good_time(case: Case, said: Sequence[Alarm]) -> list[Alarm]:
    """Alarms that came a little early, as if they had come when due."""
    due = [t.alarm_s if t.alarm_s is not None else t.start_s + case.dwell for t in case.truth]
    times = [next((d for d in due if 0 < d - a.time_s <= EARLY_S), a.time_s) for a in said]
    return [replace(a, time_s=time) for a, time in zip(said, times, strict=True)]


NAMES = ("ours", "strict", "lenient")


def rows(cases: Sequence[Case]) -> list[dict[str, object]]:
    """Of each kind of recording what was due, and (false, missed) of each rule; `all` last."""
    found: list[dict[str, object]] = []
    for title in (*dict.fromkeys(case.name for case in cases), "all"):
        mine = [case for case in cases if title in (case.name, "all")]
        due, sums = 0, {name: [0, 0] for name in NAMES}
        for case in mine:
            for name in NAMES:
                said = getattr(case, name) if name == "ours" else in_good_time(case, getattr(case, name))
                result = score(case.truth, said, lambda *_, d=case.dwell: d)
                sums[name] = [sums[name][0] + result.false, sums[name][1] + result.missed]
            due += result.true + result.missed
        found.append({"recordings": title, "due": due, **sums})
    return found


def show(found: Sequence[Mapping[str, object]]) -> None:
    print(f"{'recordings':30} {'due':>4}   " + "   ".join(f"{name + ': false missed':>22}" for name in NAMES))
    for row in found:
        figures = "   ".join("{:15d} {:6d}".format(*row[name]) for name in NAMES)  # type: ignore[misc]
        print(f"{row['recordings']:30} {row['due']:4d}   {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="simulated parks, each by day and by night")
    parser.add_argument("--first-seed", type=int, default=100)
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--clips", type=Path, default=ROOT.parent / "shared" / "data" / "clips")
    parser.add_argument("--keep", action="store_true", help="for the report of `python -m benchmarks.score`")
    args = parser.parse_args()
    cases = [case for seed in range(5) for case in lanes(seed)]
    with tempfile.TemporaryDirectory() as folder:
        clip = args.clips / "one-by-one-person-detection.mp4"
        if clip.exists():
            cases += visits(clip, args.fps, Path(folder))
        else:
            print(f"{clip} is not here: real visits are left out", file=sys.stderr)
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            for night in (False, True):
                print(f"simulated park {seed}{' at night' if night else ''} ...", file=sys.stderr)
                cases += simulated(seed, night, args.fps, Path(folder))
    found = rows(cases)
    show(found)
    if args.keep:
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        what = {"seeds": args.seeds, "first_seed": args.first_seed, "fps": args.fps, "rows": found}
        KEPT.write_text(json.dumps(what), encoding="utf-8")


if __name__ == "__main__":
    main()
