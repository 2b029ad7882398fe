"""Hours in which nothing happens, at 1 fps from pixels: how many alarms come all the same."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.score.pixels import UTC, Eyes
from benchmarks.score.scenario import config_of
from benchmarks.score.store import KEPT, bundle, code, digest_of, keep
from smartbox.config import Config
from smartbox.simulation.acts import perform
from smartbox.simulation.staged import Staged, StagedFilm
from smartbox.simulation.stages import SCENES, Scene
from smartbox.types import Frame

FIRST_SEED = 3_500_000
CHUNK_S = 900.0
ROUND_S = 180.0


def watch(hours: float, jobs: int) -> None:
    """Camera-hours, spread evenly over the four scenes; some at night, some in rain.

    Each quarter of an hour is kept when it is done: what was broken off goes on where it was.
    """
    count = round(hours * 3600 / CHUNK_S)
    left = [n for n in range(count) if not _path(n).exists()]
    print(f"quiet: {count} quarters of an hour, {count - len(left)} kept from before", file=sys.stderr)
    began = time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(_chunk, n) for n in left]
        for number, done in enumerate(as_completed(running), 1):
            remaining = (time.monotonic() - began) / number * (len(left) - number) / 60
            print(f"{number}/{len(left)} {done.result()}; {remaining:.0f} min to go", file=sys.stderr, flush=True)


def _path(number: int) -> Path:
    scene = SCENES[number % len(SCENES)]
    return KEPT / f"quiet-{number:04d}-{_models(scene)}-{code(scene)[:12]}.json"


def _models(scene: Scene) -> str:
    """Who sees it, by a digest."""
    return digest_of(["lrssd-park", {"post": "muffnet-posture", "lot": "muffnet-slot"}.get(scene, "")])[:8]


def _config(scene: Scene) -> Config:
    """The scored scenarios' rules with their short dwells, at 1 fps, with the gate that a box has by default.

    Nobody overstays: after the scenarios' 40 s every parked car would, and rightly.
    """
    config = config_of(scene, bundle("muffnet-posture"), bundle("muffnet-slot"))
    camera = config.sources["camera"].model_copy(update={"fps": 1.0, "gate": True})
    rules = {
        name: rule.model_copy(update={"overstay": None}) if name == "parking" else rule
        for name, rule in config.rules.items()
    }
    return replace(config, sources={"camera": camera}, rules=rules)


def _acts(scene: Scene, rng: np.random.Generator) -> list[Mapping[str, Any]]:
    """Three minutes of a day on which nothing happens."""

    def at(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    if scene == "lane":
        road = [{"act": "road", "at": at(5, 140), "who": str(rng.choice(["car", "truck", "bus"])), "way": int(w)}
                for w in rng.choice([-1, 1], 4)]  # fmt: skip
        return [*road, {"act": "walks", "at": at(5, 100)}, {"act": "through", "at": at(20, 120)}]
    if scene == "lot":
        slots = sorted(int(s) for s in rng.choice(np.arange(1, 6), 3, replace=False))
        return [
            {"act": "parked", "slots": slots},
            {"act": "aisle", "at": at(5, 60)},
            {"act": "stroll", "at": at(60, 120)},
        ]
    if scene == "gate":
        return [{"act": "passes", "at": at(2 + 40 * i, 30 + 40 * i), "way": int(rng.choice([-1, 1]))} for i in range(4)]
    manners = [(str(rng.choice(["work", "talk", "read", "phone"])), at(15, 40)) for _ in range(6)]
    guard = {"act": "guard", "at": 1.0, "leaves": False, "plan": manners}
    return [guard, *([{"act": "visitor", "at": at(20, 110), "stay": at(10, 40)}] if rng.random() < 0.3 else [])]


def _chunk(number: int) -> str:
    scene = SCENES[number % len(SCENES)]
    night, rain = number // 4 % 3 == 2, number // 4 % 4 == 3 and scene != "post"
    seed = FIRST_SEED + number
    path = _path(number)  # named before the models are opened, which others may renew meanwhile
    eyes = Eyes(_config(scene))
    told: list[dict[str, Any]] = []
    film: StagedFilm | None = None
    for index in range(int(CHUNK_S)):
        turn, time = divmod(float(index), ROUND_S)
        if film is None or time == 0:
            cast = perform(scene, _acts(scene, np.random.default_rng([seed, int(turn)])), seed * 10 + int(turn), night)
            last = film
            film = StagedFilm(Staged(scene, seed, night, cast=cast, rain=rain))
            if last is not None:
                film.__dict__["stage"] = last.stage  # the place stays, only who comes is new
        image, _ = film.take(time, index)
        for alarm in eyes.step(Frame.of("camera", index, float(index), UTC + index, image)):
            told.append({"rule": alarm.rule, "subject": alarm.subject, "time_s": alarm.time_s})
    eyes.close()
    outcome = {"scene": scene, "seed": seed, "night": night, "rain": rain, "hours": CHUNK_S / 3600, "alarms": told}
    keep(path, outcome)
    return f"{scene} {seed}: {len(told)} alarms" + "".join(f"; {a['rule']} at {a['time_s']:.0f} s" for a in told)


def _newest() -> list[Path]:
    """Of each quarter of an hour the last one that was played."""
    paths = sorted(KEPT.glob("quiet-*-*-*.json"), key=lambda p: p.stat().st_mtime)
    return list({path.name.split("-")[1]: path for path in paths}.values())


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report."""
    paths = _newest()
    kept = [json.loads(path.read_text()) for path in paths]
    if not kept:
        return ["Not run."]
    hours = sum(k["hours"] for k in kept)
    old = sum(k["hours"] for k, path in zip(kept, paths, strict=True) if path != _path(int(path.name[6:10])))
    alarms = [{**a, "scene": k["scene"], "seed": k["seed"]} for k in kept for a in k["alarms"]]
    bound = upper(len(alarms)) / hours
    out["quiet"] = {
        "hours": hours, "alarms": alarms, "upper_95_per_hour": round(bound, 4), "hours_before_the_last_change": old
    }  # fmt: skip
    return [
        f"{hours:g} camera-hours at 1 fps, {_where(kept)}; passers, traffic, parked cars and a guard who works, talks, "
        "reads and phones; the rules and short dwells of the scenarios but for overstay, which parked cars would do.",
        "",
        f"**{len(alarms)} alarms**; with 95 % confidence fewer than {bound:.3f} an hour ({bound * 24:.1f} a day).",
        *(f"- {a['rule']} in {a['scene']}, seed {a['seed']}, at {a['time_s']:.0f} s" for a in alarms),
        *([f"\n{old:g} of the hours were played before the last change of rules, models or simulator."] if old else []),
    ]


def _where(kept: Sequence[Mapping[str, Any]]) -> str:
    def hours(name: str) -> float:
        return float(sum(k["hours"] for k in kept if k[name]))

    scenes = len({k["scene"] for k in kept})
    return f"{len(kept)} seeds of {scenes} scenes, {hours('night'):g} h by night and {hours('rain'):g} h in rain"


def upper(count: int) -> float:
    """The one-sided 95 % upper bound of a Poisson mean of which `count` were seen; 3.0 for none."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.95, 2 * count + 2) / 2)
