"""LRSSD: scores per cell and distances to the four sides, over a pyramid of strides."""

import math
from typing import Annotated

import numpy as np
from pydantic import Field

from smartbox.decoders._base import BoxDecoder, Outputs, grid, sigmoid, tensor
from smartbox.types import Detections, View


class Plugin(BoxDecoder):
    """Outputs `scores` (A x C) and `boxes` (A x 4: left, top, right, bottom distance from the cell's centre, in
    strides), the levels' cells one after the other, each level row by row, one box a cell.

    x0 = (column + 0.5 - left) * stride, and so on (anchor-free as FCOS, Tian et al. 2019).
    """

    strides: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(8, 16, 32, 64), min_length=1)
    """Pixels per cell of each level, in the order of the outputs."""
    sigmoid: bool = True
    """The scores are logits; false when the graph ends in a sigmoid already."""
    logit_scale: float = Field(default=1.0, gt=0)
    """Calibration: score = sigmoid(logit_scale * logit + logit_offset), so that 0.5 is where a detection is to be
    believed whatever loss the net was trained with (Platt 1999)."""
    logit_offset: float = 0.0
    """See `logit_scale`."""

    def decode(self, outputs: Outputs, view: View) -> Detections:
        cells, steps = grid(self.size, self.strides)
        scores = self.check(tensor(outputs, "scores"), "scores", len(cells), len(self.labels))
        boxes = self.check(tensor(outputs, "boxes"), "boxes", len(cells), 4)
        if self.sigmoid:
            # Most cells are background: squash only the few that can pass.
            lowest = float(self.thresholds.min())
            least = (_logit(lowest) - self.logit_offset) / self.logit_scale if lowest > 0 else -math.inf
            near = np.flatnonzero(scores.max(1) >= least)
            logits = np.float32(self.logit_scale) * scores[near] + np.float32(self.logit_offset)
            scores, boxes, cells, steps = sigmoid(logits), boxes[near], cells[near], steps[near]
        rows, score, class_id = self.select(scores)
        centre, step, side = cells[rows] + 0.5, steps[rows], boxes[rows]
        pixels = np.concatenate([(centre - side[:, :2]) * step, (centre + side[:, 2:]) * step], 1)
        return self.detections(pixels, score, class_id, view)


def _logit(p: float) -> float:
    return math.log(p / (1 - p)) - 1e-4  # a hair below, so that rounding never drops one that select would keep
