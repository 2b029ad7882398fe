"""Plays one scenario in one column and keeps what came out, under a name that changes with all that it depends on."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from benchmarks.score.pixels import pixels
from benchmarks.score.plain import PlainRules
from benchmarks.score.scenario import FOLDER, Scenario, config_of
from benchmarks.score.scripted import scripted
from smartbox.score import Alarm, Truth, score
from smartbox.simulation.stages import Scene

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "score"
PLAYERS = ("scenario", "scripted", "pixels", "plain")
SEEING = ("foreground", "ground", "outlines", "picture", "motion", "luma", "closeup")
HEARD = ("sound", "soundscape")  # of the simulator, what no camera sees
JUDGING = ("dwell", "episodes", "tracker", "tracks", "pipeline")


@dataclass(frozen=True)
class Outcome:
    """What was due and what was told in one recording; rules are the ids of benchmarks/score/scenarios/rules.yaml."""

    scenario: str
    column: str
    rule: str
    decoys: int
    seconds: float
    truth: tuple[Truth, ...]
    alarms: tuple[Alarm, ...]
    models: tuple[str, ...]
    sleep_by: str = ""
    problem: str = ""
    plain: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Rule -> times of the alarms of its plain counterpart on the same detections."""

    @property
    def words(self) -> str:
        result = score(self.truth, self.alarms, lambda *_: 0.0)
        return "; ".join((f"{result.true} of {result.true + result.missed} told", *result.wrong, self.problem)).rstrip(
            "; "
        )


def bundle(name: str) -> str | None:
    """A bundle that ships, or none."""
    return name if (ROOT / "models" / name / "manifest.yaml").exists() else None


def models_of(scenario: Scenario, column: str) -> tuple[str, ...]:
    """Bundles that see it, with the digest of their manifest."""
    if column == "scripted":
        return ()
    wanted = ["lrssd-park", {"post": "muffnet-posture", "lot": "muffnet-slot"}.get(scenario.scene, "")]
    return tuple(f"{name} {digest_of([name])[:8]}" for name in wanted if name and bundle(name))


def digest_of(bundles: Iterable[str]) -> str:
    """Of their manifests, which hold the digests of all else; a bundle that does not ship counts for nothing."""
    return _digest(ROOT / "models" / name / "manifest.yaml" for name in bundles if name and bundle(name))


def kept(scenario: Scenario, column: str, stale: bool = False) -> Outcome | None:
    """What came out when it was last played; stale: even if rules, simulator or models have changed since."""
    path = _path(scenario, column)
    if not path.exists() and stale:
        older = (p for p in path.parent.glob(f"{column}-{scenario.name}-*-*.json") if _is_of(p, scenario, column))
        path = max(older, key=lambda p: p.stat().st_mtime, default=path)
    if not path.exists():
        return None
    told = json.loads(path.read_text(encoding="utf-8"))
    told["truth"] = tuple(Truth(**t) for t in told["truth"])
    told["alarms"] = tuple(Alarm(**a) for a in told["alarms"])
    told["models"] = tuple(told["models"])
    return Outcome(**told)


def _is_of(path: Path, scenario: Scenario, column: str) -> bool:
    """Whether this very scenario was played, by whatever models."""
    models = json.loads(path.read_text(encoding="utf-8"))["models"]
    return path.name.startswith(f"{column}-{scenario.name}-{_key(scenario, column, models)}-")


def play(scenario: Scenario, column: str) -> Outcome:
    path, seen_by = _path(scenario, column), models_of(scenario, column)  # before others may renew them
    real = column == "pixels"
    postures = bundle("muffnet-posture") if real else "muffnet-posture"
    config = config_of(scenario.scene, postures, bundle("muffnet-slot") if real else None)
    due = scenario.truth(config)
    counts = {rule: sum(a.rule == rule for a in due) for rule in {a.rule for a in due}}
    stillness = real and scenario.scene == "post" and postures is None
    problem = (
        "" if stillness or counts == dict(scenario.due) else f"the list says {dict(scenario.due)}, the plans {counts}"
    )
    plain = PlainRules(config)
    told = (pixels if real else scripted)(scenario, config, plain.update)
    source = scenario.name
    outcome = Outcome(
        source, column, scenario.rule, scenario.decoys, scenario.duration,
        tuple(Truth(a.rule, source, a.subject, a.start_s, a.end_s, a.alarm_s) for a in due),
        tuple(Alarm(a.rule, source, a.subject, a.time_s) for a in told),
        seen_by, "stillness" if stillness else "posture", problem, plain.alarms,
    )  # fmt: skip
    keep(path, asdict(outcome))
    return outcome


def keep(path: Path, document: Mapping[str, Any]) -> None:
    """All of it or nothing: playing may be broken off at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document), encoding="utf-8")
    part.replace(path)


def _path(scenario: Scenario, column: str) -> Path:
    key = _key(scenario, column, models_of(scenario, column))
    return KEPT / f"{column}-{scenario.name}-{key}-{code(scenario.scene)[:12]}.json"


def _key(scenario: Scenario, column: str, models: Sequence[str]) -> str:
    own = json.dumps([scenario.raw, column, list(models)], sort_keys=True, default=str)
    return hashlib.sha256(own.encode()).hexdigest()[:12]


@cache
def code(scene: Scene | None = None) -> str:
    """A digest of what decides how a scenario of this scene is played and judged; None: of any."""
    told = yaml.safe_load((FOLDER / "rules.yaml").read_text(encoding="utf-8"))
    kinds = None if scene is None else {rule["type"] for rule in (*told[scene].values(), *told["every"].values())}
    rules = sorted((ROOT / "smartbox" / "rules").glob("*.py"))
    files = [path for path in rules if kinds is None or path.stem.startswith("_") or path.stem in kinds]
    simulation = sorted((ROOT / "smartbox" / "simulation").glob("*.py"))
    files += [path for path in simulation if scene is None or path.stem not in HEARD]
    files += [ROOT / "smartbox" / f"{name}.py" for name in (*SEEING, *JUDGING)]
    files += [ROOT / "benchmarks" / "score" / f"{name}.py" for name in PLAYERS]
    return _digest([*files, FOLDER / "rules.yaml"])


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()
