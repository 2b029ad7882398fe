"""What the trainers share: averaged weights, the rate's course, a step downhill, and a checkpoint that is whole."""

import copy
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from smartbox.lab.parallel import Ranks
from smartbox.lab.recipe import Mixed, Stage


class Average:
    """Exponential mean of the weights; young averages follow faster."""

    def __init__(self, net: Any, decay: float) -> None:
        self.net, self.decay, self.updates = copy.deepcopy(net).eval(), decay, 0

    @torch.no_grad()
    def update(self, net: Any) -> None:
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / 400))
        pairs = zip(self.net.state_dict().values(), net.state_dict().values(), strict=True)
        once = {mean.data_ptr(): (mean, now) for mean, now in pairs}  # what scales share has a name in each
        for mean, now in once.values():
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
    """AdamW; what is no matrix (batch norms, biases) does not decay. `Descent` sets its rate."""
    every = list(parameters)
    decayed, plain = [p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)


def precision(mixed: Mixed, device: str) -> torch.dtype | None:
    """What `mixed` means on a device; None: float32 throughout.

    true on a CPU is bfloat16 only where torch has fast kernels for it: without, a convolution takes minutes.
    """
    if isinstance(mixed, str):
        return torch.float16 if mixed == "float16" else torch.bfloat16
    if not mixed or (device == "cpu" and not fast_bfloat16()):
        return None
    return torch.float16 if device == "cuda" else torch.bfloat16


def fast_bfloat16() -> bool:
    """Whether this CPU has them (on x86 from AVX-512 on)."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Descent:
    """From a loss to the next weights: scaled where float16 needs it, summed over the ranks, clipped, AdamW.

    beside: what is learnt with the net and is no part of it; clip: norm that the net's gradient is shortened to.
    """

    def __init__(self, net: Any, beside: Any, ranks: Ranks, *, mixed: Mixed, weight_decay: float, clip: float) -> None:
        self.net, self.ranks, self.clip = net, ranks, clip
        self.parameters = [*net.parameters(), *beside.parameters()]
        self.optimizer = optimizer(self.parameters, weight_decay)
        self.dtype = precision(mixed, ranks.device)
        # float16 ends at 6e-8: gradients below it would be zeros. bfloat16 reaches as far as float32.
        self.scaler = torch.amp.GradScaler(ranks.device, enabled=self.dtype is torch.float16)

    def autocast(self) -> torch.autocast:
        """To compute the net in."""
        return torch.autocast(self.ranks.device, self.dtype or torch.bfloat16, enabled=self.dtype is not None)

    def step(self, loss: Any, lr: float) -> None:
        """loss: this rank's part of a sum over all ranks."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.ranks.add_gradients(self.parameters)  # while scaled: what overflows in one rank is left out by all
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def state(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """The scaler begins anew where the run so far had none."""
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])


def save(state: dict[str, Any], path: Path) -> None:
    """The old checkpoint or the new one, never half."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def limit(threads: int) -> None:
    """Torch computes on so many from now on; 0 leaves it its own choice."""
    if threads:
        torch.set_num_threads(threads)


def resumed(trainer: Any, out: Path, threads: int, ranks: Ranks) -> Path:
    """`out` made, torch's threads set (0: its own choice), `trainer` taken up where it stopped; its checkpoint."""
    limit(threads)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    found = ranks.first and checkpoint.exists()
    state = ranks.tell(torch.load(checkpoint, weights_only=True, map_location="cpu") if found else None)
    if state:
        trainer.resume(state)
    return checkpoint
