"""The few layers that every net here is made of, chosen so that the exporters know all of them."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class ConvBN(nn.Module):
    """Convolution, batch norm, optional ReLU; 'same' padding. The unit that quantization folds into one int8 kernel."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, momentum=0.03, eps=1e-3)
        self.relu = relu

    def forward(self, x: Any) -> Any:
        y = self.bn(self.conv(x))
        return F.relu(y, inplace=True) if self.relu else y


class Predict(nn.Module):
    """A convolution with bias and nothing after it: the last layer of a head."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Any) -> Any:
        return self.conv(x)


def depthwise(channels: int, kernel: int, *, relu: bool = False) -> ConvBN:
    return ConvBN(channels, channels, kernel, groups=channels, relu=relu)


def halve(x: Any) -> Any:
    """2x2 max pool: no padding, so every runtime does it alike."""
    return F.max_pool2d(x, 2)


def double(x: Any) -> Any:
    """Nearest-neighbour upsampling by two."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def add(x: Any, y: Any) -> Any:
    return torch.add(x, y)


def add_relu(x: Any, y: Any) -> Any:
    return F.relu(torch.add(x, y))


def rows(maps: Any, channels: int) -> Any:
    """N x (k channels) x H x W -> N x (k H W) x channels: all cells' first boxes, then all second ones."""
    n, _, h, w = maps.shape
    return maps.reshape(n, -1, channels, h * w).transpose(2, 3).reshape(n, -1, channels)


def concat(*parts: Any) -> Any:
    """Along channels."""
    return torch.cat(parts, 1)
