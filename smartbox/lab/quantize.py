"""int8: weights per output channel and symmetric, activations per tensor and asymmetric, everything quantized.

`calibrate` finds scales on pictures, `FakeQuant` computes with them in float, and can be trained (QAT; the scales
learn too, as in LSQ, Esser et al., 2020), `freeze` gives the numbers that the exporters write.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smartbox.lab.graph import Graph, Op, run

LEVELS = 255
MOST_BIAS = 2**30
SAMPLES = 4096  # values of each tensor and batch that a scale is found on


@dataclass(frozen=True)
class Scale:
    """uint8: value = (q - zero) * scale. int8 files store q - 128 and zero - 128."""

    scale: float
    zero: int


def calibrate(graph: Graph, batches: Iterable[Any]) -> dict[str, Scale]:
    """Range of every tensor (shared where the graph says so) with the least squared error over `batches`."""
    samples: dict[str, list[Any]] = {}
    extremes: dict[str, tuple[float, float]] = {}
    chance = torch.Generator().manual_seed(0)

    def look(name: str, tensor: Any) -> Any:
        owner = graph.shared.get(name, name)
        flat = tensor.detach().flatten()
        low, high = extremes.get(owner, (0.0, 0.0))
        extremes[owner] = (min(low, float(flat.min())), max(high, float(flat.max())))
        samples.setdefault(owner, []).append(flat[torch.randint(len(flat), (SAMPLES,), generator=chance)])
        return tensor

    with torch.no_grad():
        for images in batches:
            run(graph, images, look)
    ends = {graph.shared.get(name, name) for level in graph.outputs for name in level}
    scales = {
        owner: _best(torch.cat(found), *extremes[owner], 1.0 if owner in ends else 0.4)
        for owner, found in samples.items()
    }
    return scales | {graph.input: Scale(1.0 / graph.deviation, graph.mean)}


def _best(values: Any, low: float, high: float, least_share: float) -> Scale:
    """Shrink the range step by step; keep what rounds and clips with the least error.

    least_share 1 keeps the whole range: at the outputs the rare high values are the detections.
    """
    best, least = Scale(1.0, 0), float("inf")
    for share in np.linspace(least_share, 1.0, 31):
        scale = max((high - low) * float(share) / LEVELS, 1e-6)
        zero = round(min(max(-low * float(share) / scale, 0.0), LEVELS))
        q = (torch.round(values / scale) + zero).clamp(0, LEVELS)
        error = float((((q - zero) * scale - values) ** 2).mean())
        if error < least:
            best, least = Scale(scale, zero), error
    return best


def _straight(exact: Any, x: Any) -> Any:
    """`exact` going forward, the gradient of `x` going back."""
    return x + (exact - x).detach()


class FakeQuant(nn.Module):
    """The graph with rounding, in float: N x C x H x W normalised -> the graph's outputs."""

    def __init__(self, graph: Graph, scales: Mapping[str, Scale]) -> None:
        super().__init__()
        self.graph, self.zeros = graph, {name: s.zero for name, s in scales.items()}
        self.keys = {name: str(i) for i, name in enumerate(scales)}
        self.log_scales = nn.ParameterDict(
            {self.keys[n]: nn.Parameter(torch.tensor(float(np.log(s.scale)))) for n, s in scales.items()}
        )
        self.log_scales[self.keys[graph.input]].requires_grad_(False)
        convs = [op for op in graph.ops if op.kind == "conv"]
        self.weights = nn.ParameterDict({op.name: nn.Parameter(op.weight.clone()) for op in convs})
        self.biases = nn.ParameterDict({op.name: nn.Parameter(op.bias.clone()) for op in convs})

    def _live(self) -> Graph:
        ops = tuple(
            replace(op, weight=self.weights[op.name], bias=self.biases[op.name]) if op.kind == "conv" else op
            for op in self.graph.ops
        )
        return replace(self.graph, ops=ops)

    def forward(self, x: Any) -> list[tuple[Any, ...]]:
        return run(self._live(), x, self._round, lambda op: fake_weight(op.weight))

    def _round(self, name: str, tensor: Any) -> Any:
        owner = self.graph.shared.get(name, name)
        scale, zero = self.log_scales[self.keys[owner]].exp(), self.zeros[owner]
        ratio = tensor / scale
        q = _straight(ratio.round(), ratio).clamp(-zero, LEVELS - zero)
        return q * scale

    def scales(self) -> dict[str, Scale]:
        return {n: Scale(float(self.log_scales[k].detach().exp()), self.zeros[n]) for n, k in self.keys.items()}


def channel_scale(weight: Any) -> Any:
    """O: the step of each output channel, so that its largest weight is 127."""
    return weight.detach().abs().flatten(1).amax(1).clamp(min=1e-8) / 127


def fake_weight(weight: Any) -> Any:
    step = channel_scale(weight)[:, None, None, None]
    return _straight((weight / step).round().clamp(-127, 127) * step, weight)


@dataclass(frozen=True, eq=False)
class QuantOp:
    """An Op with numbers to write: weight int8 O x I/groups x k x k, steps O, bias int32 O (step: input's x own)."""

    op: Op
    weight: NDArray[np.int8] | None = None
    steps: NDArray[np.float32] | None = None
    bias: NDArray[np.int32] | None = None


@dataclass(frozen=True, eq=False)
class QuantGraph:
    """What the exporters write."""

    graph: Graph
    ops: tuple[QuantOp, ...]
    scales: Mapping[str, Scale]

    def scale(self, name: str) -> Scale:
        return self.scales[self.graph.shared.get(name, name)]


def freeze(net: FakeQuant) -> QuantGraph:
    """The integers behind a FakeQuant."""
    live, scales, done = net._live(), net.scales(), []
    for op in live.ops:
        if op.kind != "conv":
            done.append(QuantOp(op))
            continue
        weight = op.weight.detach()
        source = scales[live.shared.get(op.inputs[0], op.inputs[0])]
        # A bias is counted in steps of weight x input: where both are tiny (an untrained net), it would not fit.
        steps = torch.maximum(channel_scale(weight), op.bias.detach().abs() / (MOST_BIAS * source.scale))
        rounded = (weight / steps[:, None, None, None]).round().clamp(-127, 127)
        bias = (op.bias.detach().double() / (steps.double() * source.scale)).round().clamp(-MOST_BIAS, MOST_BIAS)
        done.append(
            QuantOp(
                op, rounded.numpy().astype(np.int8), steps.numpy().astype(np.float32), bias.numpy().astype(np.int32)
            )
        )
    return QuantGraph(live, tuple(done), scales)
