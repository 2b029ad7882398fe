"""LRSSD: a light single-shot detector whose one head is shared by all scales and refines its own boxes.

Built from the description that is public (shared prediction layers, multi-scale fusion, coarse boxes refined in a
second step, everything quantizable); the paper's layer table is not. MuffNet -> 1x1 to F channels -> top-down sums,
5x5 depthwise -> pooled coarsest scale -> a shared tower of two DW5x5 + PW layers with batch norms of each scale:
the first layer gives coarse boxes, the second gives classes and the correction of the boxes.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from smartbox.lab.nets.layers import ConvBN, Predict, add, depthwise, double, halve
from smartbox.lab.nets.muffnet import MuffNet, MuffSpec

STRIDES = (8, 16, 32, 64)


@dataclass(frozen=True)
class LrssdSpec:
    backbone: MuffSpec
    classes: int
    features: int = 96


PARK = MuffSpec(24, (96, 192, 384), (48, 96, 192))


class Step(nn.Module):
    """DW5x5 + PW, one set of weights, batch norms of each scale."""

    def __init__(self, channels: int, scales: int) -> None:
        super().__init__()
        first = [depthwise(channels, 5) for _ in range(scales)]
        second = [ConvBN(channels, channels) for _ in range(scales)]
        for layers in (first, second):
            for layer in layers[1:]:
                layer.conv = layers[0].conv  # the same tensor: trained once, folded per scale
        self.spread = nn.ModuleList(first)
        self.mix = nn.ModuleList(second)

    def forward(self, x: Any, scale: int) -> Any:
        return self.mix[scale](self.spread[scale](x))


def _fill(layer: Predict, bias: float) -> None:
    assert layer.conv.bias is not None
    nn.init.constant_(layer.conv.bias, bias)


class Lrssd(nn.Module):
    """N x 3 x H x W (H, W multiples of 64) -> per scale (class logits, coarse ltrb, correction of ltrb)."""

    strides = STRIDES

    def __init__(self, spec: LrssdSpec) -> None:
        super().__init__()
        self.spec = spec
        f = spec.features
        self.backbone = MuffNet(spec.backbone)
        self.lateral = nn.ModuleList(ConvBN(c, f, relu=False) for c in spec.backbone.stages)
        self.smooth = nn.ModuleList(depthwise(f, 5, relu=True) for _ in spec.backbone.stages)
        self.coarse_step, self.fine_step = Step(f, len(STRIDES)), Step(f, len(STRIDES))
        self.classify, self.coarse, self.refine = Predict(f, spec.classes), Predict(f, 4), Predict(f, 4)
        nn.init.normal_(self.classify.conv.weight, std=0.01)
        _fill(self.classify, -4.0)  # few cells are objects: begin by saying so
        for predict, start in ((self.coarse, 1.5), (self.refine, 0.0)):
            nn.init.normal_(predict.conv.weight, std=0.01)
            _fill(predict, start)

    def forward(self, x: Any) -> list[tuple[Any, Any, Any]]:
        return self.look(x)[0]

    def look(self, x: Any) -> tuple[list[tuple[Any, Any, Any]], list[Any], list[Any]]:
        """What `forward` gives, and per scale the pyramid and the last features of the tower (N x F x h x w)."""
        c3, c4, c5 = self.backbone(x)
        t5 = self.lateral[2](c5)
        t4 = add(self.lateral[1](c4), double(t5))
        t3 = add(self.lateral[0](c3), double(t4))
        p3, p4, p5 = self.smooth[0](t3), self.smooth[1](t4), self.smooth[2](t5)
        pyramid, tower, levels = [p3, p4, p5, halve(p5)], [], []
        for scale, p in enumerate(pyramid):
            near = self.coarse_step(p, scale)
            fine = self.fine_step(near, scale)
            tower.append(fine)
            levels.append((self.classify(fine), self.coarse(near), self.refine(fine)))
        return levels, pyramid, tower

    @staticmethod
    def flat(levels: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
        """As `flatten`; every detector has it."""
        return flatten(levels)


def flatten(levels: list[tuple[Any, Any, Any]]) -> tuple[Any, Any, Any]:
    """Maps of all scales -> logits N x A x C, coarse N x A x 4, final boxes N x A x 4 (ltrb in strides)."""
    logits, coarse, delta = (torch.cat([level[i].flatten(2).transpose(1, 2) for level in levels], 1) for i in range(3))
    return logits, coarse, coarse + delta
