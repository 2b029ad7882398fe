"""Trains a detector: AdamW, cosine per stage, exponential mean of the weights, a checkpoint to go on from, a curve.

bfloat16 and channels_last: on a CPU with AVX512-BF16 that is three times as fast as float32.
"""

import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from smartbox.errors import BackendError, ConfigError, Problem, SourceError
from smartbox.lab import boxtable, pseudo, simulated
from smartbox.lab.assign import Targets, cells, losses
from smartbox.lab.augment import Augment, Example
from smartbox.lab.curve import draw, upto
from smartbox.lab.data import Picture, load, read_image
from smartbox.lab.distil import Imitation, Lesson, Teacher
from smartbox.lab.nets.lrssd import Lrssd
from smartbox.lab.nets.ssd import Ssd
from smartbox.lab.parallel import ALONE, Ranks
from smartbox.lab.pseudo import ambiguous, join
from smartbox.lab.recipe import DataSet, Recipe, Stage
from smartbox.lab.sets._split import tell
from smartbox.lab.slim import slim, spec_of
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

SAVE_EVERY = 100
FEATURES, COCO = 128, 80  # of YOLOX-nano's last layers, and the classes it knows
MEAN, DEVIATION = 114.0, 64.0  # the letterbox grey is zero, so a convolution's own padding continues it


def normalise(images: Any) -> Any:
    """N x H x W x 3 BGR uint8 -> N x 3 x H x W float."""
    return ((images.permute(0, 3, 1, 2).float() - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


class Mixer(IterableDataset[list[Example]]):
    """Endless batches of examples, or a rank's share of them, drawn by weight from pictures held in memory."""

    def __init__(
        self, pictures: list[Picture], weights: list[float], stage: Stage, seed: int, ranks: Ranks = ALONE
    ) -> None:
        self.pictures, self.stage, self.seed, self.ranks = pictures, stage, seed, ranks
        self.chance = np.array(weights) / sum(weights)
        self.augment = Augment(stage.mosaic, stage.plain, stage.degrade, stage.scale)

    def __iter__(self) -> Iterator[list[Example]]:
        cv2.setNumThreads(0)
        torch.set_num_threads(1)
        info = torch.utils.data.get_worker_info()
        seed = [self.seed, info.id if info else 0]
        rng = np.random.default_rng([*seed, self.ranks.rank])  # of rank 0: as if nothing were added
        common = rng if self.ranks.size == 1 else np.random.default_rng(seed)
        share = self.ranks.share(self.stage.batch, "batch")
        while True:
            size = int(common.choice(self.stage.size))  # in all ranks the same, or they would wait for the largest
            index = rng.choice(len(self.pictures), (share, 4), p=self.chance)
            yield [self.augment([self.pictures[i] for i in row], size, rng) for row in index]


class Collate:
    """Examples -> tensors, and what the teacher says of them; runs in the loader's process, which opens the teacher."""

    def __init__(self, teacher: Path | None) -> None:
        self.path, self.teacher = teacher, cast(Teacher | None, None)

    def __call__(self, batch: list[Any]) -> tuple[Any, list[Targets], Lesson | None]:
        examples: list[Example] = batch[0]
        stack = np.stack([e.image for e in examples])
        if self.path and not self.teacher:
            self.teacher = Teacher(self.path)
        tensor = torch.from_numpy
        return (
            tensor(stack),
            [Targets(tensor(e.boxes), tensor(e.classes), tensor(e.ignore), tensor(e.ignored)) for e in examples],
            self.teacher(stack) if self.teacher else None,
        )


def gather(recipe: Recipe) -> tuple[list[Picture], list[float]]:
    """All pictures, and the weight each is drawn with."""
    pictures, weights = [], []
    for data in recipe.data:
        found = prepare(recipe, data)
        own = [next((factor for start, factor in data.repeat.items() if p.name.startswith(start)), 1.0) for p in found]
        pictures += found
        weights += [data.share * w / sum(own) for w in own]
    return pictures, weights


def prepare(recipe: Recipe, data: DataSet) -> list[Picture]:
    """The pictures of one data set, with what its teacher and its doubts say."""
    index = recipe.labels.index
    if data.simulated:
        simulated.ensure(data.folder, simulated.Order(recipe.labels, **data.simulated.model_dump()))
    if data.boxed:
        return boxed(data.folder, data.boxed, index(data.label))
    found = load(data.folder, recipe.labels)
    if data.teacher:
        groups = [tuple(map(index, members)) for members in recipe.groups.values()]
        rivals = {member: group for group in groups for member in group}
        always = frozenset(map(index, data.open))
        taught = pseudo.read(data.teacher, recipe.labels)
        if unseen := [p.name for p in found if p.name not in taught]:
            said = f"{len(unseen)} pictures of {data.folder}, {unseen[0]} among them"
            raise SourceError(f"{data.teacher}: says nothing of {said}; run `smartbox lab teach` again")
        found = [join(p, taught[p.name], always, rivals) for p in found]
    for start, (said, perhaps) in data.ambiguous.items():
        found = [ambiguous(p, index(said), index(perhaps)) if p.name.startswith(start) else p for p in found]
    return found


def boxed(folder: Path, table: Path, label: int) -> list[Picture]:
    """The pictures of a table that are not held out; everybody in them is boxed, and nothing else is there."""
    rows = list(boxtable.rows(table, folder))
    held_out = {row.name: boxtable.held_out(row.name) for row in rows}
    tell(table, {"pictures": list(held_out.values())}, boxtable.VAL_SHARE, boxtable.RULE)
    shares: dict[Path, list[Any]] = {}
    for row in rows:
        if not held_out[row.name]:
            shares.setdefault(row.image, []).extend([row.box] if row.box else [])
    found = []
    for path, mine in shares.items():
        image = read_image(path)
        size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        boxes = np.array(mine, np.float32).reshape(-1, 4) * size
        none = np.zeros((0, 4), np.float32)
        found.append(Picture(path.stem, image, boxes, np.full(len(boxes), label), none, np.zeros(0, np.int64)))
    return found


def begin(path: Path, like: Lrssd | Ssd) -> Lrssd | Ssd:
    """The net of a checkpoint, cut down to the widths of `like` where it is wider. ConfigError where it is another."""
    state = beginning(path)
    try:
        if isinstance(like, Ssd):
            like.load_state_dict(state)
            return like
        net = Lrssd(spec_of(state))
        net.load_state_dict(state)
        return net if net.spec == like.spec else slim(net, like.spec)
    except (KeyError, RuntimeError):
        raise ConfigError([Problem("start", f"{path} is of another net than the recipe's")]) from None
    except ValueError as error:
        raise ConfigError([Problem("start", f"{path}: {error}")]) from None


def check_teacher(path: Path) -> None:
    """ConfigError unless it is a detector that can be imitated; the process that draws batches opens it later."""
    try:
        lesson = Teacher(path)(np.zeros((1, 32, 32, 3), np.uint8))
    except (DecodeError, OSError) as error:
        raise ConfigError([Problem("distil", f"{path} is no ONNX file; give an export of YOLOX-nano")]) from error
    found = (lesson.features[0].shape[1], lesson.scores[0].shape[1] - 1)
    if found != (FEATURES, COCO):
        sizes = "{} features and {} classes".format
        raise ConfigError([Problem("distil", f"{path} has {sizes(*found)}, YOLOX-nano {sizes(FEATURES, COCO)}")])


class Trainer:
    """Everything that a checkpoint holds."""

    def __init__(self, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.ranks = recipe, ranks
        if recipe.distil and recipe.net.head == "ssd":
            raise ConfigError("distil: the plain ssd head has no features to imitate a teacher with; leave it out")
        fresh = recipe.net.build(len(recipe.labels))
        net: Any = begin(recipe.start, fresh) if recipe.start else fresh
        self.net = net.to(ranks.device, memory_format=torch.channels_last)
        beside = Imitation(recipe.net.features, FEATURES, 1 + COCO) if recipe.distil else nn.Identity()
        self.imitation = beside.to(ranks.device)
        ranks.join_norms(self.net, self.imitation)
        self.descent = Descent(
            self.net, self.imitation, ranks, mixed=recipe.mixed, weight_decay=recipe.weight_decay, clip=20.0
        )
        self.average = Average(self.net, recipe.ema)
        self.stage, self.step, self.seconds = 0, 0, 0.0

    @property
    def where(self) -> str:
        return f"stage {self.stage}, step {self.step}"

    def save(self, path: Path) -> None:
        state = {
            "made_for": made_for(self.recipe),
            "ema": self.average.net.state_dict(),
            "net": self.net.state_dict(),
            "imitation": self.imitation.state_dict(),
            **self.descent.state(),
            "at": [self.stage, self.step, self.average.updates],
            "seconds": self.seconds,
        }
        if self.ranks.first:
            save(state, path)

    def resume(self, state: dict[str, Any]) -> None:
        """BackendError where the recipe has got a teacher since, or lost it: its part of the training is missing."""
        if bool(state["imitation"]) != bool(self.recipe.distil):
            had = "with" if state["imitation"] else "without"
            raise BackendError(
                f"distil: this run was begun {had} it; leave the recipe as it was, or name the checkpoint in `start:` "
                "and give another directory"
            )
        self.average.net.load_state_dict(state["ema"])
        self.net.load_state_dict(state["net"])
        self.imitation.load_state_dict(state["imitation"])
        self.descent.resume(state)
        self.stage, self.step, self.average.updates = state["at"]
        self.seconds = state["seconds"]

    def learn(
        self, images: Any, targets: list[Targets], lr: float, lesson: Lesson | None = None, imitate: float = 1.0
    ) -> dict[str, float]:
        """One step, of this rank's share of the batch; the losses of the whole batch."""
        device, ranks = self.ranks.device, self.ranks
        images = images.to(device)
        with self.descent.autocast():
            levels, pyramid, tower = self.net.look(normalise(images))
            copied = self.imitation(pyramid, tower, lesson, ranks) if lesson else torch.zeros(())
        logits, coarse, final = (t if t is None else t.float() for t in self.net.flat(levels))
        where = cells(images.shape[1:3], self.net.strides, device)
        loss = losses(logits, coarse, final, where, [t.to(device) for t in targets], ranks)
        norm = self.descent.step(loss.total + imitate * copied, lr)
        self.average.update(self.net)
        parts = loss.parts | ({"imitation": copied.item()} if lesson else {})
        found = dict(zip(parts, ranks.total(parts.values()), strict=True))
        finite([*found.values(), norm], self.where, lr)
        return found


def train(recipe: Recipe, out: Path, threads: int = 0, ranks: Ranks = ALONE) -> Path:
    """Run or go on with `recipe`; leaves checkpoint.pt, curve.csv and curve.png in `out`. Returns the checkpoint.

    threads: of the CPU, for each rank; 0 leaves it to torch.
    """
    for i, planned in enumerate(recipe.stages):
        ranks.share(planned.batch, f"stages.{i}.batch")
    if recipe.distil:
        check_teacher(recipe.distil)
    trainer = Trainer(recipe, ranks)
    checkpoint = resumed(trainer, out, threads, ranks)
    if trainer.stage >= len(recipe.stages):
        told(ranks, f"{checkpoint}: its stages are all finished already; add one to train on")
        return checkpoint
    with ranks.in_turn():
        pictures, weights = gather(recipe)
    table = ranks.table(out / "curve.csv")
    upto(table, columns(recipe), {"stage": trainer.stage, "step": trainer.step})
    with table.open("a", newline="", buffering=1) as file, kept(trainer, checkpoint):
        curve = csv.writer(file)
        while trainer.stage < len(recipe.stages):
            stage = recipe.stages[trainer.stage]
            seed = recipe.seed + 1000 * trainer.stage + trainer.step
            loader = DataLoader(
                Mixer(pictures, weights, stage, seed, ranks),
                1,
                num_workers=1,
                collate_fn=Collate(recipe.distil),
                prefetch_factor=4,
            )
            run(trainer, stage, loader, curve, checkpoint)
            trainer.stage, trainer.step, trainer.seconds = trainer.stage + 1, 0, 0.0
            trainer.save(checkpoint)
    if ranks.first:
        draw(table, out / "curve.png", columns(recipe)[4:])
    return checkpoint


def columns(recipe: Recipe) -> tuple[str, ...]:
    """Of curve.csv. step: of its stage; seconds: since that began; from `class` on: losses, as a running mean."""
    lrssd, taught = recipe.net.head == "lrssd", recipe.distil is not None
    return ("stage", "step", "seconds", "lr", "class", "box", *["coarse"] * lrssd, *["imitation"] * taught)


def run(trainer: Trainer, stage: Stage, loader: Any, curve: Any, checkpoint: Path) -> None:
    """One stage, from where the trainer stands."""
    trainer.net.train()
    mean: dict[str, float] = {}
    last = time.monotonic()
    for images, targets, lesson in loader:
        done, lr = rate(stage, trainer.step, trainer.seconds)
        if done >= 1.0:
            return
        with unbroken():
            found = trainer.learn(images, targets, lr, lesson, stage.imitate)
            now = time.monotonic()
            seconds = trainer.ranks.lead(trainer.seconds + now - last)
            trainer.step, trainer.seconds, last = trainer.step + 1, seconds, now
        for key, value in found.items():
            mean[key] = value if key not in mean else 0.98 * mean[key] + 0.02 * value
        if trainer.step % 20 == 0:
            curve.writerow(
                [trainer.stage, trainer.step, f"{trainer.seconds:.0f}", f"{lr:.2e}"]
                + [f"{v:.4f}" for v in mean.values()]
            )
        if trainer.ranks.first and sys.stderr.isatty():
            sys.stderr.write(f"\rstage {trainer.stage} {done:6.1%} " + str({k: round(v, 3) for k, v in mean.items()}))
        if trainer.step % SAVE_EVERY == 0:
            trainer.save(checkpoint)
