"""Hours in which nothing happens, at 1 fps from pixels: how many alarms come all the same."""

import json
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.score.pixels import UTC, Eyes
from benchmarks.score.scenario import config_of
from benchmarks.score.store import KEPT, bundle, code
from smartbox.simulation.acts import perform
from smartbox.simulation.staged import Staged, StagedFilm
from smartbox.simulation.stages import SCENES, Scene
from smartbox.types import Frame

FIRST_SEED = 3_500_000
CHUNK_S = 900.0
ROUND_S = 180.0


def watch(hours: float, jobs: int) -> None:
    """Camera-hours, spread evenly over the four scenes; some at night, some in rain."""
    count = round(hours * 3600 / CHUNK_S)
    left = [n for n in range(count) if not _path(n).exists()]
    print(f"quiet: {count} quarters of an hour, {count - len(left)} kept from before", file=sys.stderr)
    with ProcessPoolExecutor(jobs) as pool:
        running = [pool.submit(_chunk, n) for n in left]
        for number, done in enumerate(as_completed(running), 1):
            print(f"{number}/{len(left)} {done.result()}", file=sys.stderr)


def _path(number: int) -> Path:
    return KEPT / f"quiet-{number:04d}-{code()[:12]}.json"


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
    return [{"act": "guard", "at": 1.0, "leaves": False, "plan": [["work", 60], ["talk", 30], ["work", 90]]}]


def _chunk(number: int) -> str:
    scene = SCENES[number % len(SCENES)]
    night, rain = number // 4 % 3 == 2, number // 4 % 4 == 3 and scene != "post"
    seed = FIRST_SEED + number
    eyes = Eyes(config_of(scene, bundle("muffnet-posture"), bundle("muffnet-slot")))
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
            if not alarm.subject.startswith("slot:"):  # parked cars overstay the scenarios' short 40 s: that is right
                told.append({"rule": alarm.rule, "subject": alarm.subject, "time_s": alarm.time_s})
    eyes.close()
    outcome = {"scene": scene, "seed": seed, "night": night, "rain": rain, "hours": CHUNK_S / 3600, "alarms": told}
    path = _path(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(outcome), encoding="utf-8")
    return f"{scene} {seed}: {len(told)} alarms" + "".join(f"; {a['rule']} at {a['time_s']:.0f} s" for a in told)


def _newest() -> list[Path]:
    """Of each quarter of an hour the last one that was played."""
    paths = sorted(KEPT.glob("quiet-*.json"), key=lambda p: p.stat().st_mtime)
    return list({path.name.split("-")[1]: path for path in paths}.values())


def section(out: dict[str, Any]) -> list[str]:
    """The lines of the report."""
    kept = [json.loads(path.read_text()) for path in _newest()]
    if not kept:
        return ["Not run."]
    hours, alarms = (
        sum(k["hours"] for k in kept),
        [
            {**a, "scene": k["scene"], "seed": k["seed"]}
            for k in kept
            for a in k["alarms"]
            if not a["subject"].startswith("slot:")
        ],
    )
    bound = upper(len(alarms)) / hours
    out["quiet"] = {"hours": hours, "alarms": alarms, "upper_95_per_hour": round(bound, 4)}
    words = (
        f"{hours:g} camera-hours at 1 fps, passers and traffic only (overstay not counted): **{len(alarms)} alarms**"
    )
    return [
        f"{words}; with 95 % confidence fewer than {bound:.3f} an hour ({bound * 24:.1f} a day).",
        *(f"- {a['rule']} in {a['scene']}, seed {a['seed']}, at {a['time_s']:.0f} s" for a in alarms),
    ]


def upper(count: int) -> float:
    """The one-sided 95 % upper bound of a Poisson mean of which `count` were seen; 3.0 for none."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.95, 2 * count + 2) / 2)
