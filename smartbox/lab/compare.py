"""Nets against one another: the same data, schedule and search for a learning rate, several seeds, one table.

A run that is finished stands in a file beside the recipe, one line each, and is not trained again; one that was
stopped goes on from its checkpoint. A classifier's rate is chosen on the part `dev`, for every net on its own; then
every seed is trained at that rate on `train` and `dev`, and scored once on `test`. Heads of detectors keep the recipe's
rates, and are scored once, on pictures that nothing was chosen by.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from smartbox.errors import ConfigError, StorageError
from smartbox.lab.reading import checked, load
from smartbox.lab.recipe import Recipe
from smartbox.lab.recipe_classify import ClassifyRecipe
from smartbox.settings import Settings


class Search(Settings):
    """For a learning rate, the same for every net."""

    rates: tuple[float, ...] = ()
    """None: the recipe's own."""
    steps: Annotated[int, Field(gt=0)] = 400
    seed: int = 0


class Score(Settings):
    """What detectors are scored on, as by `smartbox lab evaluate`."""

    data: Path | None = None
    """A YOLO folder. Detectors cannot do without one."""
    prefix: str = ""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()


class Comparison(Settings):
    """What `smartbox lab compare` reads."""

    ours: str
    """The net whose lead over each of the others is told."""
    nets: Annotated[dict[str, dict[str, Any]], Field(min_length=2)]
    """Name -> what it has below the recipe's `net`."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (1, 2, 3, 4, 5)
    search: Search = Search()
    score: Score = Score()
    recipe: dict[str, Any]
    """Of a detector, or (`task: classify`) of a classifier, whose sets must know `dev`."""

    @model_validator(mode="after")
    def _ours_is_one(self) -> "Comparison":
        if self.ours not in self.nets:
            raise ValueError(f"ours: {self.ours!r} is none of the nets {', '.join(self.nets)}")
        return self

    @model_validator(mode="after")
    def _detectors_are_scored(self) -> "Comparison":
        if self.detects and self.score.data is None:
            raise ValueError("score.data: name a YOLO folder to score the detectors on")
        return self

    @model_validator(mode="after")
    def _detectors_keep_their_rates(self) -> "Comparison":
        if self.detects and self.search.rates:
            raise ValueError("search.rates: detectors are trained at the rates of their recipe's stages; leave it out")
        return self

    @property
    def detects(self) -> bool:
        return bool(self.recipe.get("task", "detect") == "detect")

    def run(self, net: str, seed: int, lr: float, *, dev: bool) -> ClassifyRecipe | Recipe:
        """The recipe of one training."""
        fields: dict[str, Any] = {"net": {**self.recipe.get("net", {}), **self.nets[net]}, "seed": seed}
        if self.detects:
            return Recipe.model_validate({**self.recipe, **fields})
        fields["schedule"] = {**self.recipe.get("schedule", {}), **({"lr": lr} if lr else {})}
        fields["data"] = [{**entry, "dev": dev} for entry in self.recipe.get("data", ())]
        if dev:
            fields["schedule"]["steps"] = self.search.steps
        return ClassifyRecipe.model_validate({**self.recipe, **fields})


@dataclass(frozen=True)
class Run:
    """One finished training. score, second: top-1 and the classes' mean recall on `part`; of a detector mAP and AP50.

    lr: 0 where the recipe's own was kept.
    """

    net: str
    part: str
    lr: float
    seed: int
    recipe: str
    """Sum over all that it was trained by: of another recipe, its line counts for nothing."""
    score: float = 0.0
    second: float = 0.0
    examples: int = 0
    seconds: float = 0.0
    macs: int = 0
    """At the size that it is used at; `macs_224`, of a classifier, at that of the papers."""
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
    said = load(path)
    with checked(path):
        plan = Comparison.model_validate(said)
        for net in plan.nets:
            plan.run(net, 0, 1e-3, dev=True)
    return plan


class Table:
    """The finished runs, one JSON line each, so that two machines' files can simply be joined."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        runs = (self._run(n, line) for n, line in enumerate(lines, 1) if line.strip())
        self.runs = {run.key: run for run in runs}

    def _run(self, number: int, line: str) -> Run:
        try:
            return Run(**json.loads(line))
        except (ValueError, TypeError):
            raise StorageError(f"{self.path}:{number}: {line[:40]!r} is no run that `lab compare` finished") from None

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
    """Of the search's rates the one that scored best on `dev`."""
    found = searched(plan, net, table)
    if len(found) < len(plan.search.rates):
        raise ConfigError(f"{table.path}: the search for a rate of {net} is not finished")
    return max(found, key=lambda run: (run.score, run.second)).lr if found else 0.0


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
    from smartbox.lab.compare_train import trained

    run = trained(plan, plan.run(net, seed, lr, dev=dev), empty, out / empty.name, threads)
    table.add(run)
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {run.name}: {run.score:.3f}, {run.seconds:.0f} s\n")


def by_seed(runs: Sequence[Run], net: str) -> Mapping[int, Run]:
    """Of the final runs."""
    return {run.seed: run for run in runs if run.net == net and run.part == "test"}
