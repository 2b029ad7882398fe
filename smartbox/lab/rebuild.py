"""Makes every shipped model anew from its recipe: in full, or tiny, in minutes and from nothing but the repository.

Tiny is the shipped recipe with few steps, on what the simulator and the synthesiser make alone: it proves that data,
net, training, distillation, quantization and every exporter still fit together, and says nothing about accuracy.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartbox.bundle import Bundle
from smartbox.errors import BackendError, ConfigError
from smartbox.lab import (
    bring,
    export,
    export_classify,
    formats,
    recipe,
    recipe_classify,
    refit,
    standin,
    teacher,
    train_classify,
    train_detect,
    training,
)
from smartbox.lab.reading import load
from smartbox.lab.recipe import Recipe
from smartbox.lab.recipe_classify import ClassifyRecipe

MODELS = Path("models")
SHARED = Path("../shared/data")
RUNS = Path("var/lab")  # where the recipes' heads say that trainings are kept
REFIT = "recipe-refit.yaml"
TINY = {"steps": 12, "batch": 8, "warmup": 2}
PICTURES = 8  # simulated ones of a set, and as many scenes to hold out a quarter of
SOUNDS = 40
CALIBRATE = 32


@dataclass(frozen=True)
class Step:
    """One training. run: its directory below RUNS, by which other recipes `start` from it; ships: makes a bundle.

    refits: instead of a training, the run whose last layer is fitted anew.
    """

    model: str
    run: str
    file: str = "recipe.yaml"
    ships: bool = True
    refits: str = ""


STEPS = (
    Step("lrssd-park", "run"),
    Step("lrssd-park-lite", "lite"),
    Step("muffnet-slot", "slot-simulated", "recipe-simulated.yaml", ships=False),
    Step("muffnet-slot", "slot"),
    Step("muffnet-posture", "posture"),
    Step("muffnet-sound", "sound"),
)


def steps(models: Path | None = None) -> list[Step]:
    """All of them in their order; of a model that has a recipe to refit by, what that makes is what ships."""
    found: list[Step] = []
    for step in STEPS:
        if step.ships and ((models or MODELS) / step.model / REFIT).is_file():
            found += [replace(step, ships=False), Step(step.model, f"{step.run}-refit", REFIT, refits=step.run)]
        else:
            found.append(step)
    return found


def rebuild(names: Sequence[str], out: Path, *, full: bool, threads: int = 0) -> dict[str, Any]:
    """Make the models of `names` (none: all) in `out`; what others start from is made with them.

    ConfigError without the data that a full one needs; BackendError when a bundle is not whole, or an engine disagrees.
    """
    if strange := sorted(set(names) - {step.model for step in STEPS}):
        raise ConfigError(f"{', '.join(strange)}: no recipe; known are {', '.join({s.model: 0 for s in STEPS})}")
    if full and not SHARED.is_dir():
        raise ConfigError(
            f"a full rebuild trains on {SHARED}, which is not here; without it only a tiny one can be made"
        )
    made: dict[str, Any] = {}
    for step in wanted(names):
        began = time.monotonic()
        bundle = _full(step, out, threads) if full else _tiny(step, out, threads)
        seconds = round(time.monotonic() - began, 1)
        if bundle is not None:
            made[step.model] = {"bundle": str(bundle.path), "seconds": seconds, "sha256": bundle.sha256}
        done = "agrees on every engine" if bundle else "trained"
        sys.stderr.write(f"{step.model}, {step.file}: {done}, {seconds} s\n")
    return made


def wanted(names: Sequence[str]) -> list[Step]:
    """lrssd-park-lite is cut out of lrssd-park, whose training therefore comes first."""
    needed = set(names) | ({"lrssd-park"} if "lrssd-park-lite" in names else set())
    return [step for step in steps() if not names or step.model in needed]


def _full(step: Step, out: Path, threads: int) -> Bundle | None:
    path = MODELS / step.model / step.file
    if recipe_classify.task_of(path) == "detect":
        plan = recipe.read(path)
        for data in plan.data:
            if data.teacher and not data.teacher.is_file():
                _teach(data.folder, plan.labels, data.teacher, out)
        return _detector(plan, step, RUNS / step.run, out, threads, 256)
    return _classifier(recipe_classify.read(path), step, RUNS / step.run, out, threads, 512)


def _teach(folder: Path, labels: tuple[str, ...], npz: Path, out: Path) -> None:
    wish = bring.Wish(name="yolox_nano", kind="yolox")
    bring.bring(SHARED / "peers" / "yolox_nano.onnx", out / "teacher", wish, None)
    teacher.write(Bundle.open(out / "teacher"), folder, labels, npz)


def _tiny(step: Step, out: Path, threads: int) -> Bundle | None:
    runs = out / "runs"
    shutil.rmtree(runs / step.run, ignore_errors=True)  # a finished one would only be read, and prove nothing
    raw: Any = load(MODELS / step.model / step.file)
    if raw.get("task", "detect") == "detect":
        return _detector(tiny_detector(raw, runs), step, runs / step.run, out, threads, CALIBRATE)
    return _classifier(tiny_classifier(raw, runs), step, runs / step.run, out, threads, CALIBRATE)


def tiny_detector(raw: dict[str, Any], runs: Path) -> Recipe:
    """Every stage, a few steps of it, on simulated pictures; beside a teacher that knows nothing, if there is one."""
    data = []
    for park in (False, True):
        made = {"seed": 1_900_000, "count": PICTURES, "park": park}
        folder = runs / ("park" if park else "places")
        data.append({"name": "smartbox simulator", "licence": "Apache-2.0", "folder": folder, "simulated": made})
    stages = [{**stage, **TINY, "steps": 3, "minutes": 1e9, "size": [min(stage["size"])]} for stage in raw["stages"]]
    changed: dict[str, Any] = {"data": data, "stages": stages, "start": started(raw, runs), "distil": None}
    if raw.get("distil"):
        runs.mkdir(parents=True, exist_ok=True)
        features, classes = train_detect.FEATURES // 2, train_detect.COCO
        changed["distil"] = standin.yolox(runs / "teacher.onnx", features, classes)
    return Recipe.model_validate({**raw, **changed})


def tiny_classifier(raw: dict[str, Any], runs: Path) -> ClassifyRecipe:
    """The sets that this project makes, a little of each."""
    plan = ClassifyRecipe.model_validate(raw)
    few = {"count": PICTURES, "held_out": max(1, PICTURES // 4), "cache": runs / "cache"}
    if raw["task"] == "sound":
        few = {"count": SOUNDS, "noise": ()}
    pairs = zip(plan.data, plan.sets, strict=True)
    data = [{**entry, **{k: v for k, v in few.items() if k in type(s).model_fields}} for entry, s in pairs if s.ours]
    if not data:
        raise ConfigError(f"{plan.name}: none of its sets can be made without {SHARED}")
    changed = {"data": data, "schedule": plan.schedule.model_dump() | TINY, "start": started(raw, runs)}
    return ClassifyRecipe.model_validate({**raw, **changed})


def started(raw: dict[str, Any], runs: Path) -> Path | None:
    """The checkpoint that the recipe begins with, where the tiny run of another step has left it."""
    if raw.get("start") is None:
        return None
    own = runs / Path(raw["start"]).relative_to(RUNS) if Path(raw["start"]).is_relative_to(RUNS) else None
    return own if own and own.is_file() else None


def _detector(plan: Recipe, step: Step, run: Path, out: Path, threads: int, calibrate: int) -> Bundle | None:
    checkpoint = train_detect.train(plan, run, threads)
    if not step.ships:
        return None
    net = export.restore(plan, checkpoint)
    fake = export.quantized(net, plan, train_detect.gather(plan)[0], calibrate)
    return _checked(export.write(out / plan.name, plan, net, fake, _release(step)))


def _classifier(plan: ClassifyRecipe, step: Step, run: Path, out: Path, threads: int, calibrate: int) -> Bundle | None:
    if step.refits:
        training.limit(threads)
        checkpoint = run / "checkpoint.pt"
        refit.refit(plan, run.parent / step.refits / "checkpoint.pt", checkpoint, plan.schedule.steps, refit.PULL)
    else:
        checkpoint = train_classify.train(plan, run, threads)
    if not step.ships:
        return None
    net = export_classify.restore(plan, checkpoint)
    fake = export_classify.quantized(net, plan, calibrate)
    return _checked(export_classify.write(out / plan.name, plan, net, fake, _release(step)))


def _release(step: Step) -> export.Release:
    return export.Release(Bundle.open(MODELS / step.model).manifest.version, "rebuilt by smartbox lab rebuild")


def _checked(bundle: Bundle) -> Bundle:
    """As `smartbox models verify` and `bench` would: whole, and every engine that is here within what golden allows."""
    if problems := [*bundle.verify(), *formats.wrong(bundle)]:
        raise BackendError(f"{bundle.path}: {'; '.join(problems)}")
    return bundle
