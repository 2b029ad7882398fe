"""GhostNet (Han et al., CVPR 2020), as published: a net to be measured against, not one that is shipped."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from smartbox.lab.nets.layers import ConvBN

# kernel, expansion, output, squeeze-and-excitation, stride
BLOCKS = (
    (3, 16, 16, False, 1),
    (3, 48, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
    (5, 960, 160, False, 1),
    (5, 960, 160, True, 1),
)


def rounded(value: float) -> int:
    """To a multiple of four, and never more than a tenth down."""
    near = max(4, int(value + 2) // 4 * 4)
    return near + 4 if near < 0.9 * value else near


class Ghost(nn.Module):
    """Half of the features by a convolution, the other half from those by a cheap depthwise one."""

    def __init__(self, inputs: int, outputs: int, *, relu: bool = True) -> None:
        super().__init__()
        self.outputs = outputs
        first = -(-outputs // 2)
        self.primary = ConvBN(inputs, first, relu=relu)
        self.cheap = ConvBN(first, first, 3, groups=first, relu=relu)

    def forward(self, x: Any) -> Any:
        first = self.primary(x)
        return torch.cat([first, self.cheap(first)], 1)[:, : self.outputs]


class SqueezeExcite(nn.Module):
    """Channels weighted by what the whole picture shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = rounded(channels / 4)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Any) -> Any:
        weight = self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=True))))
        return x * F.hardsigmoid(weight)


class Bottleneck(nn.Module):
    """Ghost, depthwise where it strides, squeeze-and-excitation, ghost; beside it the input."""

    def __init__(self, inputs: int, middle: int, outputs: int, kernel: int, stride: int, *, excite: bool) -> None:
        super().__init__()
        layers: list[Any] = [Ghost(inputs, middle)]
        if stride == 2:
            layers.append(ConvBN(middle, middle, kernel, stride=2, groups=middle, relu=False))
        if excite:
            layers.append(SqueezeExcite(middle))
        layers.append(Ghost(middle, outputs, relu=False))
        self.main = nn.Sequential(*layers)
        self.beside = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(
                ConvBN(inputs, inputs, kernel, stride=stride, groups=inputs, relu=False),
                ConvBN(inputs, outputs, relu=False),
            )
        )

    def forward(self, x: Any) -> Any:
        return self.main(x) + self.beside(x)


class GhostNet(nn.Module):
    """N x C x H x W -> N x classes."""

    def __init__(self, width: float, classes: int, channels: int = 3) -> None:
        super().__init__()
        inputs = rounded(16 * width)
        self.stem = ConvBN(channels, inputs, 3, stride=2)
        blocks: list[Any] = []
        for kernel, middle, outputs, excite, stride in BLOCKS:
            wide, out = rounded(middle * width), rounded(outputs * width)
            blocks.append(Bottleneck(inputs, wide, out, kernel, stride, excite=excite))
            inputs = out
        self.blocks = nn.Sequential(*blocks)
        last = rounded(960 * width)
        self.expand = ConvBN(inputs, last)
        self.head = nn.Conv2d(last, 1280, 1)
        self.classify = nn.Linear(1280, classes)

    def forward(self, x: Any) -> Any:
        x = self.expand(self.blocks(self.stem(x)))
        return self.classify(F.relu(self.head(x.mean((2, 3), keepdim=True))).flatten(1))


def classifier(classes: int, channels: int = 3, width: float = 0.5) -> Any:
    """What `train_classify` builds. width: 0.5, 1.0 or 1.3."""
    return GhostNet(width, classes, channels)
