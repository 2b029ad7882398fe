"""Trains a classifier: AdamW, cosine, exponential mean of the weights, a checkpoint to go on from, a curve.

Batch n is drawn by (seed, n) alone, a rank's share of it by (seed, n, rank), so that a run that was stopped goes on as
if it had not been, whatever the number of workers. Nothing is chosen on the validation part: the mean of the weights at
the end is what ships.
"""

import csv
import importlib
import inspect
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from smartbox.errors import ConfigError, Problem
from smartbox.lab.curve import draw, upto
from smartbox.lab.parallel import ALONE, Ranks
from smartbox.lab.recipe import Stage
from smartbox.lab.recipe_classify import ClassifyRecipe, Input
from smartbox.lab.sets import DataSet, Examples, Part
from smartbox.lab.training import (
    Average,
    Descent,
    beginning,
    finite,
    kept,
    made_for,
    rate,
    resumed,
    save,
    told,
    unbroken,
)

NOTE_EVERY = 20
SAVE_EVERY = 200
CLASSIFIERS = ("muffnet", "shufflenetv2", "ghostnet")  # files of lab/nets that have `classifier`
SETTLE = 24  # batches for the last batch statistics
COLUMNS = ("step", "seconds", "lr", "loss", "train_top1", "val_top1", "val_mean_recall")


def normalise(arrays: Any, spec: Input) -> Any:
    """N x H x W x C, uint8 or float -> N x C x H x W float."""
    values = (arrays.permute(0, 3, 1, 2).float() - spec.mean) / spec.deviation
    return values.contiguous(memory_format=torch.channels_last)


def build(recipe: ClassifyRecipe) -> Any:
    """The untrained net: N x C x H x W -> N x labels logits."""
    if recipe.net.type not in CLASSIFIERS:
        known = ", ".join(CLASSIFIERS)
        raise ConfigError([Problem("net.type", f"{recipe.net.type!r} is no net that classifies; known are {known}")])
    make = importlib.import_module(f"smartbox.lab.nets.{recipe.net.type}").classifier
    try:
        return make(classes=len(recipe.labels), channels=recipe.input.shape[2], **recipe.net.options)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        asked = ", ".join(list(inspect.signature(make).parameters)[2:])
        wrong = f"{recipe.net.type} cannot be built of {recipe.net.options} ({error}); it takes {asked}"
        raise ConfigError([Problem("net.options", wrong)]) from error


class Batches(Dataset[tuple[Any, Any]]):
    """Batch n, or a rank's share of it: a set by its share, a class of it, an example of that class, augmented."""

    def __init__(self, recipe: ClassifyRecipe, parts: Sequence[Examples], ranks: Ranks = ALONE) -> None:
        self.recipe, self.ranks = recipe, ranks
        self.kept = [(s, e) for s, e in zip(recipe.sets, parts, strict=True) if len(e.classes)]
        if not self.kept:
            raise ConfigError("data: there is nothing to train on")
        shares = np.array([s.share for s, _ in self.kept])
        self.chance = shares / shares.sum()
        self.by_class = [[np.flatnonzero(e.classes == c) for c in np.unique(e.classes)] for _, e in self.kept]

    def __len__(self) -> int:
        return self.recipe.schedule.steps

    def __getitem__(self, step: int) -> tuple[Any, Any]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng([self.recipe.seed, step, self.ranks.rank])  # of rank 0: as if nothing were added
        share = self.ranks.share(self.recipe.schedule.batch, "schedule.batch")
        arrays, classes = [], []
        for which in rng.choice(len(self.kept), share, p=self.chance):
            data, examples = self.kept[which]
            i = self._draw(which, rng)
            arrays.append(data.augment(examples.arrays[i], self.recipe.input.shape, rng))
            classes.append(examples.classes[i])
        return torch.from_numpy(np.stack(arrays)), torch.tensor(np.array(classes))

    def _draw(self, which: int, rng: np.random.Generator) -> int:
        if rng.random() < self.recipe.balance:
            mine = self.by_class[which]
            return int(rng.choice(mine[rng.integers(len(mine))]))
        return int(rng.integers(len(self.kept[which][1].classes)))


class Trainer:
    """Everything that a checkpoint holds."""

    def __init__(self, recipe: ClassifyRecipe, ranks: Ranks = ALONE) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.ranks, self.device = recipe, ranks, ranks.device
        self.net = build(recipe).to(self.device, memory_format=torch.channels_last)
        if recipe.start:
            self._begin_with(recipe.start)
        ranks.join_norms(self.net)
        self.descent = Descent(
            self.net, nn.Identity(), ranks, mixed=recipe.mixed, weight_decay=recipe.weight_decay, clip=10.0
        )
        self.average = Average(self.net, recipe.ema)
        self.step, self.seconds = 0, 0.0
        self.settled = False  # whether `_settle` was the last that was done

    def _begin_with(self, path: Path) -> None:
        own, given = self.net.state_dict(), beginning(path)
        fitting = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
        if not any(v.ndim > 1 for v in fitting.values()):
            raise ConfigError([Problem("start", f"{path} is of another net: none of its layers fits the recipe's")])
        if len(fitting) < len(own):
            told(self.ranks, f"start: {len(fitting)} of {len(own)} tensors are as in {path}, the others begin anew")
        self.net.load_state_dict(own | fitting)

    @property
    def where(self) -> str:
        return f"step {self.step}"

    @property
    def over(self) -> bool:
        """Whether it has done its steps, or its time is up."""
        return rate(Stage(**self.recipe.schedule.model_dump()), self.step, self.seconds)[0] >= 1.0

    def save(self, path: Path) -> None:
        state = {
            "made_for": made_for(self.recipe),
            "settled": self.settled,
            "ema": self.average.net.state_dict(),
            "net": self.net.state_dict(),
            **self.descent.state(),
            "at": [self.step, self.average.updates],
            "seconds": self.seconds,
        }
        if self.ranks.first:
            save(state, path)

    def resume(self, state: dict[str, Any]) -> None:
        self.average.net.load_state_dict(state["ema"])
        self.net.load_state_dict(state["net"])
        self.descent.resume(state)
        self.step, self.average.updates = state["at"]
        self.seconds = state["seconds"]
        self.settled = state.get("settled", False)

    def learn(self, arrays: Any, classes: Any, lr: float) -> tuple[float, float]:
        """One step, of this rank's share of the batch; (loss, share that was right) of the whole batch."""
        classes = classes.to(self.device)
        part = len(classes) / self.ranks.total([len(classes)])[0]
        with self.descent.autocast():
            logits = self.net(normalise(arrays.to(self.device), self.recipe.input)).float()
        loss = F.cross_entropy(logits, classes, label_smoothing=self.recipe.smooth) * part
        norm = self.descent.step(loss, lr)
        self.average.update(self.net)
        right = (logits.argmax(1) == classes).float().mean() * part
        error, share = self.ranks.total([float(loss.detach()), float(right)])
        finite([error, norm], self.where, lr)
        self.step += 1
        return error, share


def gather(recipe: ClassifyRecipe, part: Part) -> list[Examples]:
    """The examples of every set, in the recipe's order."""
    return [data.load(recipe.labels, part) for data in recipe.sets]


def plain(recipe: ClassifyRecipe, parts: Sequence[Examples]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """All examples as the box sees them: N x H x W x C, and their classes."""
    pairs: list[tuple[DataSet, Any, int]] = [
        (data, array, int(c))
        for data, examples in zip(recipe.sets, parts, strict=True)
        for array, c in zip(examples.arrays, examples.classes, strict=True)
    ]
    arrays = [data.plain(array, recipe.input.shape) for data, array, _ in pairs]
    stacked = np.stack(arrays) if arrays else np.zeros((0, *recipe.input.shape), np.uint8)
    return stacked, np.array([c for _, _, c in pairs], np.int64)


@torch.no_grad()
def predict(net: Any, arrays: NDArray[Any], spec: Input, batch: int = 128) -> NDArray[np.int64]:
    """The class that `net` (in eval) finds for each of N x H x W x C."""
    device = next(net.parameters()).device
    found = [
        net(normalise(torch.from_numpy(arrays[i : i + batch]).to(device), spec)).argmax(1).cpu().numpy()
        for i in range(0, len(arrays), batch)
    ]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def scored(found: NDArray[np.int64], truth: NDArray[np.int64]) -> tuple[float, float]:
    """(top-1, mean of the classes' recalls)."""
    recalls = [float((found[truth == c] == c).mean()) for c in np.unique(truth)]
    return float((found == truth).mean()), float(np.mean(recalls))


def train(recipe: ClassifyRecipe, out: Path, threads: int = 0, ranks: Ranks = ALONE) -> Path:
    """Run or go on with `recipe`; leaves checkpoint.pt, curve.csv and curve.png in `out`. Returns the checkpoint.

    threads: of the CPU, for each rank; 0 leaves it to torch.
    """
    ranks.share(recipe.schedule.batch, "schedule.batch")
    trainer = Trainer(recipe, ranks)
    checkpoint = resumed(trainer, out, threads, ranks)
    if trainer.settled and trainer.over:
        told(ranks, f"{checkpoint}: its {trainer.step} steps are finished already; raise `schedule.steps` to train on")
        return checkpoint
    trainer.settled = False
    with ranks.in_turn():
        batches = Batches(recipe, gather(recipe, "train"), ranks)
    held_out: Any = plain(recipe, gather(recipe, "val")) if ranks.first else ((), ())
    table = ranks.table(out / "curve.csv")
    upto(table, COLUMNS, {"step": trainer.step})
    with table.open("a", newline="", buffering=1) as file:
        curve = csv.writer(file)
        with kept(trainer, checkpoint):
            _run(trainer, batches, held_out, curve, checkpoint)
        trainer.save(checkpoint)
        _settle(trainer, batches)
        trainer.settled = True
        curve.writerow([trainer.step, f"{trainer.seconds:.0f}", "", "", "", *_check(trainer, held_out)])
    trainer.save(checkpoint)
    if ranks.first:
        draw(table, out / "curve.png", COLUMNS[3:4], COLUMNS[4:])
    return checkpoint


def _run(trainer: Trainer, batches: Batches, held_out: Any, curve: Any, checkpoint: Path) -> None:
    plan = trainer.recipe.schedule
    stage = Stage(**plan.model_dump())
    loader = DataLoader(batches, None, sampler=range(trainer.step, plan.steps), num_workers=1, prefetch_factor=4)
    trainer.net.train()
    mean: list[float] = []
    last = time.monotonic()
    for arrays, classes in loader:
        done, lr = rate(stage, trainer.step, trainer.seconds)
        if done >= 1.0:
            break
        with unbroken():
            now = trainer.learn(arrays, classes, lr)
            moment = time.monotonic()
            trainer.seconds, last = trainer.ranks.lead(trainer.seconds + moment - last), moment
        mean = [0.95 * m + 0.05 * n for m, n in zip(mean, now, strict=True)] if mean else list(now)
        if trainer.step % NOTE_EVERY == 0:
            checked = _check(trainer, held_out) if trainer.step % SAVE_EVERY == 0 else ("", "")
            curve.writerow([trainer.step, f"{trainer.seconds:.0f}", f"{lr:.2e}", *(f"{m:.4f}" for m in mean), *checked])
        if trainer.ranks.first and sys.stderr.isatty():
            sys.stderr.write(f"\r{done:6.1%} loss {mean[0]:.3f} right {mean[1]:.3f}  ")
        if trainer.step % SAVE_EVERY == 0:
            trainer.save(checkpoint)


@torch.no_grad()
def _settle(trainer: Trainer, batches: Batches) -> None:
    """The mean net's own batch statistics: those that it has are means over nets that it no longer is."""
    net = trainer.average.net
    norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean of what follows
    net.train()
    for i in range(SETTLE):
        net(normalise(batches[trainer.step + i][0].to(trainer.device), trainer.recipe.input))
    net.eval()
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def _check(trainer: Trainer, held_out: Any) -> tuple[str, str]:
    """The mean net on the validation part, for the curve."""
    arrays, truth = held_out
    if not len(truth):
        return "", ""
    top1, recall = scored(predict(trainer.average.net, arrays, trainer.recipe.input), truth)
    return f"{top1:.4f}", f"{recall:.4f}"
