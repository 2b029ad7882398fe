"""What each process of test_parallel.py's torchrun does: trainings by command, one step of each trainer, a sudden end.

    torchrun --standalone --nproc-per-node 2 tests/lab/ranks.py FOLDER

FOLDER holds the recipes; what was found is left in it.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from smartbox.__main__ import main
from smartbox.lab import parallel, recipe, recipe_classify, train_classify, train_detect
from smartbox.lab.assign import Targets
from smartbox.lab.distil import Lesson
from smartbox.lab.parallel import ALONE, Ranks

BATCH = 5  # so that the shares differ


def command(folder: Path) -> None:
    """Each recipe to its own folder, but that `part` and `rest` are one training."""
    train_classify.SETTLE = 2  # each of a batch's norms waits for the other rank, on machines with few cores for long
    for name, out in (("whole", "whole"), ("part", "parts"), ("rest", "parts"), ("detect", "detect")):
        arguments = ["lab", "train", str(folder / f"{name}.yaml"), "-o", str(folder / out), "--threads", "1", "--json"]
        assert main(arguments) == 0


def step(folder: Path, name: str, ranks: Ranks, mine: slice) -> dict[str, Any]:
    """What one step on the share `mine` of a batch of five leaves in a trainer."""
    rng = np.random.default_rng(7)
    if name == "classify":
        classifier = train_classify.Trainer(recipe_classify.read(folder / "whole.yaml"), ranks)
        arrays = torch.from_numpy(rng.integers(0, 255, (BATCH, 32, 32, 3), np.uint8))
        classes = torch.tensor([0, 1, 1, 0, 1])
        loss: Any = classifier.learn(arrays[mine], classes[mine], 1e-3)
        return found(classifier, loss)
    detector = train_detect.Trainer(recipe.read(folder / f"{name}.yaml"), ranks)
    images = torch.from_numpy(rng.integers(0, 255, (BATCH, 64, 64, 3), np.uint8))
    none = torch.zeros(0, 4), torch.zeros(0).long()
    boxes = [torch.tensor([[4.0 * i, 8, 4.0 * i + 30, 50]]) for i in range(BATCH)]
    targets = [Targets(b, torch.zeros(1).long(), *none) for b in boxes]
    targets[1] = Targets(*none, *none)  # a picture without objects
    said = [torch.rand(BATCH, c, s, s, generator=torch.manual_seed(3)) for c in (128, 81) for s in (8, 4, 2)]
    lesson = Lesson(tuple(t[mine] for t in said[:3]), tuple(t[mine] for t in said[3:])) if name == "distil" else None
    return found(detector, detector.learn(images[mine], targets[mine], 1e-3, lesson))


def found(trainer: Any, loss: Any) -> dict[str, Any]:
    return {
        "loss": list(loss.values()) if isinstance(loss, dict) else list(loss),
        "gradients": torch.cat([p.grad.flatten() for p in trainer.descent.parameters if p.grad is not None]),
        "statistics": torch.cat([b.float().flatten() for b in trainer.net.buffers()]),
    }


def laws(folder: Path, ranks: Ranks) -> None:
    """One step of both ranks beside that of one process with the whole batch; then rank 1 is killed."""
    mine = slice(0, 3) if ranks.first else slice(3, BATCH)
    steps = {name: step(folder, name, ranks, mine) for name in ("classify", "detect", "distil")}
    alone = {name: step(folder, name, ALONE, slice(0, BATCH)) for name in steps} if ranks.first else {}
    torch.save({"together": steps, "alone": alone}, folder / f"rank{ranks.rank}.pt")
    ranks.total([0.0])  # both have saved
    if ranks.first:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun is about to stop it, maybe before it noticed
    else:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.total([0.0])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        with parallel.group() as ranks:
            command(folder)
            laws(folder, ranks)
    except parallel.RankLostError as error:
        (folder / "lost.txt").write_text(str(error))
