"""The plain SSD head (Liu et al., ECCV 2016) on MuffNet: what LRSSD is measured against, not a net that is shipped.

As published: the backbone's maps and one further, made by 1x1 -> 256 and 3x3/2 -> 512; for each map a dense 3x3
convolution of its own for classes and one for boxes, at 4 default boxes a cell on the finest and 6 on the others, of
ratios 1, 1 (larger), 2, 1/2, 3, 1/3. Otherwise as LRSSD, so that only the head differs: the same scales, distances to
four sides instead of centre and size (each default box is where its predictor starts), no class for background.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from smartbox.lab.nets.layers import ConvBN, Predict, rows
from smartbox.lab.nets.muffnet import MuffNet, MuffSpec

STRIDES = (8, 16, 32, 64)
BOXES = (4, 6, 6, 6)
RATIOS = (1.0, 1.0, 2.0, 0.5, 3.0, 1 / 3)
SIDE = 4.0  # of a default box in strides: 32, 64, 128 and 256 pixels, about the paper's scales
LARGER = math.sqrt(2.0)  # the second box of ratio 1 lies between this scale and the next
EXTRA = (256, 512)


@dataclass(frozen=True)
class SsdSpec:
    backbone: MuffSpec
    classes: int


class Ssd(nn.Module):
    """N x 3 x H x W (H, W multiples of 64) -> per scale (class logits, ltrb), k boxes a cell: k x classes and k x 4."""

    strides = tuple(stride for stride, boxes in zip(STRIDES, BOXES, strict=True) for _ in range(boxes))
    """One for every map of boxes that `flat` lines up."""

    def __init__(self, spec: SsdSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = MuffNet(spec.backbone)
        last = spec.backbone.stages[-1]
        self.extra = nn.Sequential(ConvBN(last, EXTRA[0]), ConvBN(EXTRA[0], EXTRA[1], 3, stride=2))
        widths = (*spec.backbone.stages, EXTRA[1])
        pairs = list(zip(widths, BOXES, strict=True))
        self.classify = nn.ModuleList(_predict(width, [-4.0] * boxes * spec.classes) for width, boxes in pairs)
        self.locate = nn.ModuleList(_predict(width, [s for i in range(k) for s in default(i)]) for width, k in pairs)

    def forward(self, x: Any) -> list[tuple[Any, Any]]:
        features = self.backbone(x)
        maps = [*features, self.extra(features[-1])]
        return [(self.classify[i](x), self.locate[i](x)) for i, x in enumerate(maps)]

    def look(self, x: Any) -> tuple[list[tuple[Any, Any]], list[Any], list[Any]]:
        """What `forward` gives; there is neither pyramid nor tower that could imitate a teacher."""
        return self(x), [], []

    @staticmethod
    def flat(levels: list[tuple[Any, Any]]) -> tuple[Any, None, Any]:
        """Maps of all scales -> logits N x A x C, no coarse boxes, boxes N x A x 4 (ltrb in strides)."""
        boxes = [locate.shape[1] // 4 for _, locate in levels]
        logits = [rows(maps, maps.shape[1] // k) for (maps, _), k in zip(levels, boxes, strict=True)]
        return torch.cat(logits, 1), None, torch.cat([rows(maps, 4) for _, maps in levels], 1)


def _predict(width: int, start: list[float]) -> Predict:
    """Says `start` before it has learned anything: that few boxes are objects, or where the default boxes are."""
    layer = Predict(width, len(start), 3)
    nn.init.normal_(layer.conv.weight, std=0.01)
    layer.conv.bias = nn.Parameter(torch.tensor(start))
    return layer


def default(i: int) -> tuple[float, float, float, float]:
    """ltrb of default box `i` of a cell, in strides."""
    side, ratio = SIDE * (LARGER if i == 1 else 1.0) / 2, math.sqrt(RATIOS[i])
    return side * ratio, side / ratio, side * ratio, side / ratio
