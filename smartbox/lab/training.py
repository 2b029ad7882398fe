"""What the trainers share: averaged weights, the rate's course, the optimizer, and a checkpoint that is whole."""

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from smartbox.lab.recipe import Stage


class Average:
    """Exponential mean of the weights; young averages follow faster."""

    def __init__(self, net: Any, decay: float) -> None:
        self.net, self.decay, self.updates = copy.deepcopy(net).eval(), decay, 0

    @torch.no_grad()
    def update(self, net: Any) -> None:
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 400))
        for mean, now in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mean.dtype.is_floating_point:
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)


def rate(stage: Stage, step: int, seconds: float) -> tuple[float, float]:
    """(progress 0–1, learning rate) of a stage: linear warm-up, then a cosine."""
    done = max(step / stage.steps, seconds / 60 / stage.minutes)
    cosine = stage.lr_end + (stage.lr - stage.lr_end) * (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return done, cosine * min(1.0, (step + 1) / max(1, stage.warmup))


def optimizer(parameters: Iterable[Any], weight_decay: float) -> torch.optim.AdamW:
    """AdamW; what is no matrix (batch norms, biases) does not decay. `learn` sets its rate."""
    every = list(parameters)
    decayed, plain = [p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)


def save(state: dict[str, Any], path: Path) -> None:
    """The old checkpoint or the new one, never half."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def limit(threads: int) -> None:
    """Torch computes on so many from now on; 0 leaves it its own choice."""
    if threads:
        torch.set_num_threads(threads)


def resumed(trainer: Any, out: Path, threads: int) -> Path:
    """`out` made, torch's threads set (0: its own choice), `trainer` taken up where it stopped; its checkpoint."""
    limit(threads)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.resume(checkpoint)
    return checkpoint
