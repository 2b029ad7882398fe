"""Counts multiply-accumulates and parameters of a net, layer by layer, without computing anything."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Cost:
    """For one picture."""

    macs: int
    params: int


def count(net: Any, size: tuple[int, int], channels: int = 3) -> Cost:
    """Cost of `net` on one picture of `size` (h, w): convolutions and linear layers, as papers count them."""
    total = 0

    def seen(layer: Any, _inputs: Any, output: Any) -> None:
        nonlocal total
        total += output[0].numel() * layer.weight[0].numel()

    shapes_only = copy.deepcopy(net).eval().to("meta")
    for layer in shapes_only.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(seen)
    with torch.no_grad():
        shapes_only(torch.zeros(1, channels, *size, device="meta"))
    return Cost(total, sum(p.numel() for p in net.parameters()))
