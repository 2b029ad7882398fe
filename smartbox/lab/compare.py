"""Nets against one another: the same data, schedule and search for a learning rate, several seeds, one table.

A run that is finished stands in a file beside the recipe, one line each, and is not trained again; one that was stopped
goes on from its checkpoint. The rate is chosen on the part `dev`, for every net on its own; then every seed is trained
at that rate on `train` and `dev`, and scored once on `test`.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from smartbox.errors import ConfigError, Problem
from smartbox.lab import train_classify
from smartbox.lab.export_classify import restore
from smartbox.lab.macs import count
from smartbox.lab.recipe_classify import ClassifyRecipe, Net
from smartbox.settings import Settings

PUBLISHED = (224, 224)  # what the nets' names say that they cost


class Search(Settings):
    """For a learning rate, the same for every net."""

    rates: Annotated[tuple[float, ...], Field(min_length=1)] = (2e-3, 4e-3, 8e-3)
    steps: Annotated[int, Field(gt=0)] = 400
    seed: int = 0


class Comparison(Settings):
    """What `smartbox lab compare` reads."""

    ours: str
    """The net whose lead over each of the others is told."""
    nets: Annotated[dict[str, Net], Field(min_length=2)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    search: Search = Search()
    recipe: dict[str, Any]
    """Of a classifier, without net, seed and rate. Its sets must know `dev`."""

    @model_validator(mode="after")
    def _ours_is_one(self) -> "Comparison":
        if self.ours not in self.nets:
            raise ValueError(f"ours: {self.ours!r} is none of the nets {', '.join(self.nets)}")
        return self

    def run(self, net: str, seed: int, lr: float, *, dev: bool) -> ClassifyRecipe:
        """The recipe of one training."""
        schedule = dict(self.recipe.get("schedule", {})) | {"lr": lr} | ({"steps": self.search.steps} if dev else {})
        data = [{**entry, "dev": dev} for entry in self.recipe["data"]]
        fields = {"net": self.nets[net].model_dump(), "seed": seed, "schedule": schedule, "data": data}
        return ClassifyRecipe.model_validate({**self.recipe, **fields})


@dataclass(frozen=True)
class Run:
    """One finished training. top1 and recall (mean over the classes) on `part`, by the float net."""

    net: str
    part: str
    lr: float
    seed: int
    recipe: str
    """Sum over all that it was trained by: of another recipe, its line counts for nothing."""
    top1: float = 0.0
    recall: float = 0.0
    examples: int = 0
    seconds: float = 0.0
    macs: int = 0
    """At the size that it was trained at; `macs_224` at that of the papers."""
    macs_224: int = 0
    params: int = 0

    @property
    def key(self) -> tuple[str, str, float, int, str]:
        return self.net, self.part, self.lr, self.seed, self.recipe

    @property
    def name(self) -> str:
        return f"{self.net}-{self.part}-{self.lr:g}-{self.seed}-{self.recipe}"


def read(path: Path) -> Comparison:
    """ConfigError names every bad key."""
    try:
        raw: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        plan = Comparison.model_validate(raw)
        plan.run(plan.ours, 0, 1e-3, dev=True)
    except ValidationError as error:
        wrong = [Problem(".".join(map(str, e["loc"])), f"{e['msg']}, got {e.get('input')!r}") for e in error.errors()]
        raise ConfigError(wrong) from error
    return plan


class Table:
    """The finished runs, one JSON line each, so that two machines' files can simply be joined."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.runs = {run.key: run for run in (Run(**json.loads(line)) for line in lines if line.strip())}

    def add(self, run: Run) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(run)) + "\n")
        self.runs[run.key] = run


def compare(plan: Comparison, table: Table, out: Path, nets: Sequence[str] = (), threads: int = 0) -> list[Run]:
    """Train what `table` lacks, of `nets` (none named: all); returns the plan's finished runs, those of others too.

    out: directory for the checkpoints of runs that are under way.
    """
    wanted = [net for net in plan.nets if not nets or net in nets]
    for net in wanted:
        for lr in plan.search.rates:
            _done(plan, net, plan.search.seed, lr, table, out, threads, dev=True)
    for seed in plan.seeds:
        for net in wanted:
            _done(plan, net, seed, rate(plan, net, table), table, out, threads, dev=False)
    return list(finished(plan, table))


def rate(plan: Comparison, net: str, table: Table) -> float:
    """Of the search's rates the one with the best top-1 on `dev`."""
    found = searched(plan, net, table)
    if len(found) < len(plan.search.rates):
        raise ConfigError(f"{table.path}: the search for a rate of {net} is not finished")
    return max(found, key=lambda run: (run.top1, run.recall)).lr


def searched(plan: Comparison, net: str, table: Table) -> list[Run]:
    """The search's runs that are finished."""
    keys = (_run(plan, net, plan.search.seed, lr, dev=True).key for lr in plan.search.rates)
    return [table.runs[key] for key in keys if key in table.runs]


def finished(plan: Comparison, table: Table) -> Iterator[Run]:
    """What `table` holds of the plan: the search's runs, and the seeds' at the rates that were found."""
    for net in plan.nets:
        found = searched(plan, net, table)
        yield from found
        if len(found) == len(plan.search.rates):
            chosen = rate(plan, net, table)
            keys = (_run(plan, net, seed, chosen, dev=False).key for seed in plan.seeds)
            yield from (table.runs[key] for key in keys if key in table.runs)


def _run(plan: Comparison, net: str, seed: int, lr: float, *, dev: bool) -> Run:
    """That is still to be trained."""
    said = plan.run(net, seed, lr, dev=dev).model_dump_json()
    return Run(net, "dev" if dev else "test", lr, seed, hashlib.sha256(said.encode()).hexdigest()[:12])


def _done(
    plan: Comparison, net: str, seed: int, lr: float, table: Table, out: Path, threads: int, *, dev: bool
) -> None:
    empty = _run(plan, net, seed, lr, dev=dev)
    if empty.key in table.runs:
        return
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {empty.name} …\n")
    run = trained(plan.run(net, seed, lr, dev=dev), empty, out / empty.name, threads)
    table.add(run)
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {run.name}: top-1 {run.top1:.3f}, {run.seconds:.0f} s\n")


def trained(recipe: ClassifyRecipe, empty: Run, out: Path, threads: int) -> Run:
    """Train as `recipe` says, in `out`, and score."""
    busy = time.process_time()
    net = restore(recipe, train_classify.train(recipe, out, threads))
    arrays, truth = train_classify.plain(recipe, train_classify.gather(recipe, "val"))
    top1, recall = train_classify.scored(train_classify.predict(net, arrays, recipe.input), truth)
    height, width, channels = recipe.input.shape
    own, published = count(net, (height, width), channels), count(net, PUBLISHED, channels)
    return replace(
        empty,
        top1=round(top1, 4),
        recall=round(recall, 4),
        examples=len(truth),
        seconds=round(time.process_time() - busy, 1),
        macs=own.macs,
        macs_224=published.macs,
        params=own.params,
    )


def by_seed(runs: Sequence[Run], net: str) -> Mapping[int, Run]:
    """Of the final runs."""
    return {run.seed: run for run in runs if run.net == net and run.part == "test"}
