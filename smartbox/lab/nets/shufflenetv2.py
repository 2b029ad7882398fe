"""ShuffleNetV2 (Ma et al., ECCV 2018), as published: a net to be measured against, not one that is shipped."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from smartbox.lab.nets.layers import ConvBN

REPEATS = (4, 8, 4)
CHANNELS = {
    "0.5": (24, 48, 96, 192, 1024),
    "1.0": (24, 116, 232, 464, 1024),
    "1.5": (24, 176, 352, 704, 1024),
}
"""Stem, three stages, last layer."""


def shuffle(x: Any) -> Any:
    """The two halves of the channels, one from each in turn."""
    n, c, h, w = x.shape
    return x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Unit(nn.Module):
    """Half of the channels passes by; with stride 2 both halves are computed from all of them."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.stride = stride
        entering = inputs if stride == 2 else half
        self.main = nn.Sequential(
            ConvBN(entering, half), ConvBN(half, half, 3, stride=stride, groups=half, relu=False), ConvBN(half, half)
        )
        self.beside = (
            nn.Sequential(ConvBN(inputs, inputs, 3, stride=2, groups=inputs, relu=False), ConvBN(inputs, half))
            if stride == 2
            else nn.Identity()
        )

    def forward(self, x: Any) -> Any:
        left, right = (x, x) if self.stride == 2 else x.chunk(2, 1)
        return shuffle(torch.cat([self.beside(left), self.main(right)], 1))


class ShuffleNetV2(nn.Module):
    """N x C x H x W -> N x classes."""

    def __init__(self, width: str, classes: int, channels: int = 3) -> None:
        super().__init__()
        stem, *stages, last = CHANNELS[width]
        self.stem = ConvBN(channels, stem, 3, stride=2)
        units: list[Any] = []
        inputs = stem
        for outputs, repeat in zip(stages, REPEATS, strict=True):
            units += [Unit(inputs, outputs, 2), *(Unit(outputs, outputs, 1) for _ in range(repeat - 1))]
            inputs = outputs
        self.stages = nn.Sequential(*units)
        self.expand = ConvBN(inputs, last)
        self.classify = nn.Linear(last, classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        return self.classify(self.expand(self.stages(x)).mean((2, 3)))


def classifier(classes: int, channels: int = 3, width: str = "0.5") -> Any:
    """What `train_classify` builds. width: 0.5, 1.0 or 1.5."""
    return ShuffleNetV2(width, classes, channels)
