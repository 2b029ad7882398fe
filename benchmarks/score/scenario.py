"""The committed scenarios, what a configuration says about their cameras, and what must be reported of them."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from smartbox import config as configuration
from smartbox.config import Config
from smartbox.simulation.acts import LINE_Y, perform
from smartbox.simulation.scripts import ROUND
from smartbox.simulation.staged import Staged, line_on_ground
from smartbox.simulation.stages import SCENES, YARD, Scene, slots, zones
from smartbox.simulation.tricks import TRICKS, Played
from smartbox.simulation.truth import Alarm, Watch
from smartbox.simulation.verdicts import due

FOLDER = Path(__file__).parent / "scenarios"
FIRST_SEED = 3_000_000  # training's begin at 1 000 000 and end before this
FPS = 5.0
ASLEEP = frozenset({"asleep", "lie"})
STILL = ASLEEP | {"sit"}


@dataclass(frozen=True)
class Scenario:
    """One recording. rule: what it is about; decoys: how many acts look like an incident of that rule."""

    name: str
    scene: Scene
    rule: str
    seed: int
    acts: tuple[Mapping[str, Any], ...]
    due: Mapping[str, int]
    night: bool = False
    rain: bool = False
    tricks: tuple[Played, ...] = ()
    duration: float = ROUND
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def decoys(self) -> int:
        entries = [*self.raw.get("acts", ()), *self.raw.get("tricks", ())]
        return sum(entry.get("decoys", 1) for entry in entries if "decoy" in entry)

    def shot(self) -> Staged:
        cast = perform(self.scene, self.acts, self.seed, self.night)
        return Staged(self.scene, self.seed, self.night, cast=cast, tricks=self.tricks, rain=self.rain)

    def truth(self, config: Config) -> list[Alarm]:
        return due(self.shot(), [watch_of(config, rule) for rule in config.rules], self.duration)


def scenarios(folder: Path = FOLDER) -> list[Scenario]:
    """All of them, in order; ValueError names a bad one."""
    found = []
    for scene in SCENES:
        for raw in yaml.safe_load((folder / f"{scene}.yaml").read_text(encoding="utf-8")) or ():
            found.append(_scenario(scene, raw))
    names = [s.name for s in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{folder}: two scenarios are called {twice[0]!r}")
    return found


def _scenario(scene: Scene, raw: Mapping[str, Any]) -> Scenario:
    if raw["seed"] < FIRST_SEED:
        raise ValueError(f"{raw['name']}: seed {raw['seed']} is below {FIRST_SEED}, where training's may be")
    tricks = []
    for entry in raw.get("tricks", ()):
        if entry["trick"] not in TRICKS:
            raise ValueError(f"{raw['name']}: trick {entry['trick']!r} is none of {', '.join(TRICKS)}")
        tricks.append(Played(entry["trick"], float(entry["at"]), float(entry["at"] + entry["stay"])))
    return Scenario(
        raw["name"], scene, raw["rule"], raw["seed"], tuple(raw.get("acts", ())), raw.get("due", {}),
        raw.get("night", False), raw.get("rain", False), tuple(tricks), float(raw.get("duration", ROUND)), raw,
    )  # fmt: skip


def config_of(scene: Scene, postures: str | None = "muffnet-posture", slot_model: str | None = None) -> Config:
    """The rules of a scene on one source called `camera`. postures, slot_model: bundles, or none."""
    told = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
    rules: dict[str, Any] = {**told[scene], **told["every"]}
    rules["tamper"]["cameras"] = ["camera"]
    models = {"eyes": {"bundle": "lrssd-park", "backends": ["onnxruntime"]}}
    if postures is None and "sleep" in rules:
        del rules["sleep"]["model"]
    if postures is not None and "sleep" in rules:
        models["postures"] = {"bundle": postures, "backends": ["onnxruntime"]}
    if slot_model is not None and "parking" in rules:
        models["slots"] = {"bundle": slot_model, "backends": ["onnxruntime"]}
        rules["parking"]["model"] = "slots"
    source: dict[str, Any] = {"type": "simulator", "scene": scene, "fps": FPS, "model": "eyes", "gate": False}
    if scene == "gate":
        source["crops"] = 2  # as the demo's: who is in the yard is 35 to 50 pixels high at the model's size
    drawn: dict[str, Any] = {
        name: {"source": "camera", "polygon": [list(p) for p in z]} for name, z in zones(scene).items()
    }
    if scene == "lot":
        drawn["slots"] = {"source": "camera", "slots": {n: [list(p) for p in z] for n, z in slots(scene).items()}}
    if scene == "gate":
        ends = line_on_ground(scene, (YARD[0], LINE_Y), (YARD[2], LINE_Y))
        drawn["line"] = {"source": "camera", "line": [list(p) for p in ends]}
    with tempfile.TemporaryDirectory() as folder:
        values = {
            "version": 1, "box": {"site": "score", "id": "box", "state_dir": folder},
            "mqtt": {"url": "mqtt://127.0.0.1"}, "models": models, "sources": {"camera": source}, "zones": drawn,
            "rules": rules,
        }  # fmt: skip
        path = Path(folder) / "score.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        return configuration.load(path)


def watch_of(config: Config, rule_id: str) -> Watch:
    """What the truth must know of a configured rule."""
    rule, kind = config.rules[rule_id], config.kinds[f"rules.{rule_id}"]
    zone = config.zones[rule.zones[0]] if rule.zones else None
    polygon = (zone.line or zone.polygon) if zone else ()
    watch = Watch(rule_id, kind, _dwell(kind, rule), polygon or (), tuple(zone.slots) if zone else ())
    extra: dict[str, Any] = {}
    if kind == "parking":
        extra = {"overstay": rule.overstay, "full_ratio": rule.full_ratio, "free_ratio": rule.free_ratio}
    elif kind == "absence":
        extra = {"min_people": rule.min_people}
    elif kind == "crowd":
        extra = {"n": rule.n}
    elif kind == "fire_lane":
        extra = {"object": rule.object}
    elif kind == "sleep":
        extra = {"asleep": ASLEEP if rule.model else STILL}
    return Watch(**{**{f: getattr(watch, f) for f in watch.__dataclass_fields__}, **extra})


def _dwell(kind: str, rule: Any) -> float:
    if kind == "illegal_parking":
        return float(rule.confirm + rule.grace)
    name = DWELLS[kind]
    return float(getattr(rule, name)) if name else 0.0


DWELLS: Mapping[str, str] = {
    "parking": "hold",
    "absence": "leave",
    "fire_lane": "vehicle",
    "sleep": "sleep",
    "loitering": "loiter",
    "left_object": "left",
    "line_crossing": "",
    "intrusion": "dwell",
    "crowd": "dwell",
    "tamper": "dwell",
}
"""Which setting of a rule is its dwell."""
