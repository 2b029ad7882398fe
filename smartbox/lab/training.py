"""What the trainers share: averaged weights, the rate's course, a step downhill, and a checkpoint that is whole."""

import copy
import io
import math
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from smartbox.errors import BackendError, ConfigError, Problem, SmartboxError, StorageError
from smartbox.lab.parallel import Ranks
from smartbox.lab.recipe import Mixed, Stage
from smartbox.settings import Settings

# What torch.load and load_state_dict raise, as the file is torn, is none, or holds something else.
NO_CHECKPOINT = (OSError, EOFError, RuntimeError, UnpicklingError, AttributeError, KeyError, TypeError, ValueError)


class DivergedError(SmartboxError):
    """A training whose numbers ran away."""

    def __init__(self, where: str, lr: float) -> None:
        super().__init__(
            f"{where}: loss or gradient is no finite number any more, at a rate of {lr:.2e}; lower `lr` or lengthen "
            "`warmup`. What was saved before is as it was, and the same command goes on from there"
        )


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

    def step(self, loss: Any, lr: float) -> float:
        """The norm of the net's gradient. loss: this rank's part of a sum over all ranks.

        Where float16 is scaled, a step that overflows is left out, and 0 is told.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.ranks.add_gradients(self.parameters)  # while scaled: what overflows in one rank is left out by all
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return 0.0 if self.scaler.is_enabled() else float(norm)

    def state(self) -> dict[str, Any]:
        """Its part of a checkpoint."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """The scaler begins anew where the run so far had none."""
        self.optimizer.load_state_dict(state["optimizer"])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])


def finite(values: Iterable[float], where: str, lr: float) -> None:
    """DivergedError unless all are numbers; where: stage and step."""
    if not all(map(math.isfinite, values)):
        raise DivergedError(where, lr)


@contextmanager
def unbroken() -> Iterator[None]:
    """Ctrl-C in here is heard at its end, so that what it changes is never half changed."""
    if threading.current_thread() is not threading.main_thread():  # no other can be interrupted
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard and callable(before):
        before(signal.SIGINT, None)


def save(state: dict[str, Any], path: Path) -> None:
    """The old checkpoint or the new one, never half. StorageError where the disk refuses."""
    part, whole = path.with_suffix(".part"), io.BytesIO()
    torch.save(state, whole)
    try:
        with unbroken():
            part.write_bytes(whole.getbuffer())
            part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written ({error.strerror}); what stood there is as it was") from error


@contextmanager
def kept(trainer: Any, checkpoint: Path) -> Iterator[None]:
    """A training that Ctrl-C stops in here is saved first, and says where it stands."""
    try:
        yield
    except KeyboardInterrupt:
        trainer.save(checkpoint)
        told(trainer.ranks, f"\nstopped at {trainer.where}, saved in {checkpoint}; the same command goes on from there")
        raise


def told(ranks: Ranks, text: str) -> None:
    """Once, whatever the number of ranks."""
    if ranks.first:
        print(text, file=sys.stderr)


def limit(threads: int) -> None:
    """Torch computes on so many from now on; 0 leaves it its own choice."""
    if threads:
        torch.set_num_threads(threads)


def made_for(recipe: Settings) -> dict[str, Any]:
    """What weights are of, by keys of the recipe: its labels, its net and, of a classifier, its input."""
    said = recipe.model_dump(mode="json", include={"labels", "net", "input"})
    labels = said.pop("labels")
    every = {f"{part}.{key}": value for part, keys in said.items() for key, value in keys.items()}
    return {"labels": labels} | {key: value for key, value in every.items() if key != "input.name"}


def check(state: dict[str, Any], recipe: Settings, checkpoint: Path) -> None:
    """BackendError where a checkpoint says that its weights are of another recipe; old ones say nothing."""
    said = state.get("made_for", {})
    for key, wanted in made_for(recipe).items():
        if said.get(key, wanted) != wanted:
            raise BackendError(
                f"{checkpoint}: was trained with {key} {said[key]}, and the recipe has {wanted}; "
                "give the recipe that it was trained by, or another checkpoint"
            )


def weights(checkpoint: Path, recipe: Settings) -> dict[str, Any]:
    """The averaged net's. BackendError where they are of another recipe."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    found: dict[str, Any] = state["ema"]
    check(state, recipe, checkpoint)
    return found


def beginning(path: Path) -> dict[str, Any]:
    """The weights of what a recipe names in `start:`. ConfigError where it is no checkpoint."""
    try:
        found: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")["ema"]
    except NO_CHECKPOINT:
        wanted = "give one that `smartbox lab train` or `smartbox lab restore` wrote"
        raise ConfigError([Problem("start", f"{path} is no checkpoint; {wanted}")]) from None
    return found


def resumed(trainer: Any, out: Path, threads: int, ranks: Ranks) -> Path:
    """`out` made, torch's threads set (0: its own choice), `trainer` taken up where it stopped; its checkpoint.

    BackendError where that holds weights alone, or is of another recipe.
    """
    limit(threads)
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    found = ranks.first and checkpoint.exists()
    state = ranks.tell(torch.load(checkpoint, weights_only=True, map_location="cpu") if found else None)
    if state:
        check(state, trainer.recipe, checkpoint)
        if "net" not in state:
            raise BackendError(
                f"{checkpoint}: holds weights to begin with, and no training to go on with; name it in the recipe's "
                "`start:`, and give another directory"
            )
        trainer.resume(state)
    return checkpoint
