"""MuffNet: multi-layer feature federation (Chen et al., ICCV workshops 2019).

Its block table is not public in full. This is built from what the paper says (sparse topology, dense compute nodes,
federation of several layers) and was settled by counting: 41.4 M MACs at 224 for the smallest, as published.
Here x_k takes the sum of x_{k-1}, x_{k-2}, x_{k-4} (log-sparse, adds only); pools replace strides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from smartbox.lab.nets.layers import ConvBN, add, add_relu, concat, depthwise, halve

NODES = 4


@dataclass(frozen=True)
class MuffSpec:
    """Channels: of the stem, out of each stage, and w inside each stage's blocks."""

    stem: int
    stages: tuple[int, int, int]
    widths: tuple[int, int, int]
    blocks: tuple[int, int, int] = (1, 2, 1)
    pool: bool = True
    """After the stem; without it every stage sees twice the resolution (small pictures, spectra)."""


SPECS = {
    "40M": MuffSpec(16, (48, 96, 192), (24, 48, 96)),
    "140M": MuffSpec(24, (104, 208, 416), (48, 104, 208)),
    "300M": MuffSpec(24, (160, 320, 640), (80, 160, 320)),
}


class MuffBlock(nn.Module):
    """x0 = PW(x); x_k = PW(DW(sum of x_{k-2^j})); y = PW(concat[x0, x2, x4]), + x where shapes allow."""

    def __init__(self, inputs: int, width: int, outputs: int, *, down: bool) -> None:
        super().__init__()
        self.down = down
        self.residual = not down and inputs == outputs
        self.enter = ConvBN(inputs, width)
        self.spread = nn.ModuleList(depthwise(width, 3) for _ in range(NODES))
        self.mix = nn.ModuleList(ConvBN(width, width) for _ in range(NODES))
        self.federate = ConvBN(3 * width, outputs, relu=not self.residual)

    def forward(self, x: Any) -> Any:  # N x inputs x H x W
        first = self.enter(x)
        nodes = [halve(first) if self.down else first]
        for k in range(1, NODES + 1):
            total = nodes[k - 1]
            for back in (2, 4):
                if k >= back:
                    total = add(total, nodes[k - back])
            nodes.append(self.mix[k - 1](self.spread[k - 1](total)))
        y = self.federate(concat(nodes[0], nodes[2], nodes[4]))
        return add_relu(x, y) if self.residual else y  # N x outputs x H' x W'


class MuffNet(nn.Module):
    """The backbone: picture -> (C3, C4, C5) at 1/8, 1/16 and 1/32."""

    def __init__(self, spec: MuffSpec, channels: int = 3) -> None:
        super().__init__()
        self.spec = spec
        self.stem = ConvBN(channels, spec.stem, 3, stride=2)
        inputs = spec.stem
        stages: list[Any] = []
        for outputs, width, count in zip(spec.stages, spec.widths, spec.blocks, strict=True):
            first = MuffBlock(inputs, width, outputs, down=True)
            rest = [MuffBlock(outputs, width, outputs, down=False) for _ in range(count - 1)]
            stages.append(nn.Sequential(first, *rest))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Any) -> tuple[Any, ...]:
        x = self.stem(x)
        if self.spec.pool:
            x = halve(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return tuple(features)


class MuffClassifier(nn.Module):
    """Backbone, PW to `expand` channels, mean over the picture, linear layer: N x channels x H x W -> N x classes."""

    def __init__(self, spec: MuffSpec, classes: int, channels: int = 3, expand: int = 1024) -> None:
        super().__init__()
        self.backbone = MuffNet(spec, channels)
        self.expand = ConvBN(spec.stages[-1], expand)
        self.classify = nn.Linear(expand, classes)

    def forward(self, x: Any) -> Any:
        deep = self.expand(self.backbone(x)[-1])
        return self.classify(deep.mean((2, 3)))


def classifier(classes: int, channels: int = 3, spec: str | Mapping[str, Any] = "40M", expand: int = 1024) -> Any:
    """What `train_classify` builds. spec: a name of SPECS, or a MuffSpec's fields."""
    chosen = SPECS[spec] if isinstance(spec, str) else MuffSpec(**{k: _pair(v) for k, v in spec.items()})
    return MuffClassifier(chosen, classes, channels, expand)


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
