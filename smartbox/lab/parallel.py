"""One training shared by the processes that `torchrun` started, its ranks: each learns from its share of every batch.

What ranks add up is what one process would compute of the whole batch: the statistics of batch norms, what the losses
are divided by, and the gradients. So all hold the same weights, and the same mean of them, after every step.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
from torch import distributed, nn

from smartbox.errors import ConfigError, SmartboxError

TORCHRUN = "TORCHELASTIC_RUN_ID"  # only torchrun sets it; RANK and WORLD_SIZE may be left over from anything
PATIENCE = timedelta(hours=2)  # for a rank that makes or loads data; one that dies is noticed at once


class RankLostError(SmartboxError):
    """A process that shares this training is gone."""

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(
            f"rank {rank} of {size} stops: another process of this training is gone, its own message says why; "
            "start torchrun again, and it goes on from the last checkpoint"
        )


@dataclass(frozen=True)
class Ranks:
    """This process's number among `size` that train one net; `local`: among those of this machine."""

    rank: int = 0
    size: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Who evaluates, and writes checkpoint, curve and progress for all."""
        return self.rank == 0

    @property
    def device(self) -> str:
        """`group` has made this rank's own card the current one."""
        return "cuda" if torch.cuda.is_available() else "cpu"

    def share(self, batch: int, key: str) -> int:
        """How many of a `batch` this rank draws; ConfigError, naming the recipe's `key`, where that would be none."""
        if batch < self.size:
            raise ConfigError(
                f"{key}: a batch of {batch} is too small to be shared by the {self.size} processes of torchrun; "
                f"make it {self.size} or more, or start torchrun with --nproc-per-node {batch}"
            )
        return batch // self.size + (self.rank < batch % self.size)

    def table(self, path: Path) -> Path:
        """Where to append to a table that only the first rank keeps."""
        return path if self.first else Path(os.devnull)

    def add(self, values: Any) -> Any:
        """The tensor's sum over all ranks, the same bits in each. No gradient goes through."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        with self.together():
            distributed.all_reduce(total)
        return total

    def every(self, values: Any) -> Any:
        """The tensors of all ranks, of one shape: size x ... No gradient goes through."""
        found = [torch.empty_like(values) for _ in range(self.size)]
        with self.together():
            distributed.all_gather(found, values.detach().contiguous())
        return torch.stack(found)

    def total(self, values: Iterable[float]) -> list[float]:
        """`add` for plain numbers."""
        if self.size == 1:
            return list(values)
        found: list[float] = self.add(torch.tensor(list(values), dtype=torch.float64, device=self.device)).tolist()
        return found

    def lead(self, value: float) -> float:
        """The first rank's: clocks differ, and all must end a stage at the same step."""
        return self.total([value if self.first else 0.0])[0]

    def tell(self, state: Any) -> Any:
        """What the first rank has, to all. Others may be on a machine that lacks its files."""
        if self.size == 1:
            return state
        told = [state]
        with self.together():
            distributed.broadcast_object_list(told, src=0, device=torch.device(self.device))
        return told[0]

    def add_gradients(self, parameters: Iterable[Any]) -> None:
        """Each gradient becomes its sum over all ranks. All in one message: the nets here are of a few MB."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        sums = self.add(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, sums.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def join_norms(self, *nets: nn.Module) -> None:
        """From now on their batch norms see the whole batch."""
        if self.size == 1:
            return
        for layer in (layer for net in nets for layer in net.modules()):
            if type(layer) is nn.BatchNorm2d:
                layer.__class__ = JoinedNorm  # the same fields and state, another forward
                cast(JoinedNorm, layer).ranks = self

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first rank of a machine does it before its others, which find what it made (simulated data, caches)."""
        if self.local:
            self._wait()
        yield
        if not self.local:
            self._wait()

    def _wait(self) -> None:
        if self.size > 1:
            self.total([0.0])

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails in here fails because a rank is gone."""
        try:
            yield
        except RuntimeError as error:  # gloo's and nccl's own
            raise RankLostError(self.rank, self.size) from error


ALONE = Ranks()


@contextmanager
def group() -> Iterator[Ranks]:
    """This process among those that torchrun started, one a GPU where there are any; ALONE without torchrun."""
    size = int(os.environ["WORLD_SIZE"]) if TORCHRUN in os.environ else 1
    if size == 1:
        yield ALONE
        return
    rank, local, here = (int(os.environ[key]) for key in ("RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    ranks = Ranks(rank, size, local)
    if distributed.is_initialized():  # a process can begin but once
        yield ranks
        return
    gpus = torch.cuda.device_count()
    if 0 < gpus < here:
        raise ConfigError(
            f"torchrun --nproc-per-node {here}: this machine has {gpus} GPUs; start at most one process for each, "
            "or hide them with CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    if gpus:
        torch.cuda.set_device(local)
    with ranks.together():
        distributed.init_process_group("nccl" if gpus else "gloo", timeout=PATIENCE)
    yield ranks
    distributed.destroy_process_group()  # not after an error: it would wait for those who are gone


class _Every(torch.autograd.Function):
    """Ranks.every. All ranks' losses depend on what each gives, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Any, ranks: Ranks) -> Any:
        ctx.ranks = ranks
        return ranks.every(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return ctx.ranks.add(gradients[0])[ctx.ranks.rank], None


class JoinedNorm(nn.BatchNorm2d):
    """A batch norm over the batch of all ranks. (nn.SyncBatchNorm would be one for GPUs alone.)"""

    ranks: Ranks

    def forward(self, x: Any) -> Any:
        """N x C x H x W; N, H and W may differ between ranks."""
        if not self.training:
            return super().forward(x)
        values = x.float()
        variance, mean = torch.var_mean(values, (0, 2, 3), correction=0)
        count = values.new_full((1,), values[:, 0].numel())
        every = _Every.apply(torch.cat([variance, mean, count]), self.ranks)  # type: ignore[no-untyped-call]
        variances, means, counts = every.split([len(variance), len(mean), 1], 1)
        n = counts.sum()
        mean = (means * counts).sum(0) / n
        variance = ((variances + (means - mean).square()) * counts).sum(0) / n
        self._follow(mean.detach(), variance.detach() * n / (n - 1).clamp(min=1))
        scale = (variance + self.eps).rsqrt() * (self.weight if self.affine else 1)
        y = (values - _wide(mean)) * _wide(scale)
        return (y + _wide(self.bias) if self.affine else y).to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Any, variance: Any) -> None:
        """The running statistics: moved by `momentum`, or the plain mean of all that was seen."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        pace = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, pace)
        self.running_var.lerp_(variance, pace)


def _wide(channels: Any) -> Any:
    return channels[:, None, None]
