"""NanoDet and its kin: class scores and, per side of the box, a distribution over distances."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.decoders._base import BoxDecoder, Outputs, grid, sigmoid, tensor
from smartbox.types import Detections, Floats, View


class Plugin(BoxDecoder):
    """One output, A x (C + 4 * (reg_max + 1)): scores, then left, top, right, bottom as distributions over 0 … reg_max.

    The head of Generalized Focal Loss (Li et al., 2020): a distance is the mean of its distribution, in strides.
    """

    output: str | None = None
    """The output's name; default: the only one."""
    strides: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(8, 16, 32, 64), min_length=1)
    """Pixels per cell of each level. NanoDet-Plus has these four, NanoDet and NanoDet-m the first three."""
    reg_max: int = Field(default=7, ge=1, le=64)
    """The largest distance, in strides, that a distribution can say."""
    offset: float = Field(default=0.0, ge=0, le=1)
    """Where in its cell a cell's point lies: 0 in NanoDet-Plus, 0.5 in NanoDet and PicoDet."""
    sigmoid: bool = False
    """Scores are logits."""

    def decode(self, outputs: Outputs, view: View) -> Detections:
        name = self.output or next(iter(outputs))
        classes, cells = len(self.labels), len(grid(self.size, self.strides)[0])
        rows = self.check(tensor(outputs, name), name, cells, classes + 4 * (self.reg_max + 1))
        scores = rows[:, :classes]
        picked, score, class_id = self.select(sigmoid(scores) if self.sigmoid else scores)
        return self.detections(self._pixels(rows[picked, classes:], picked), score, class_id, view)

    def _pixels(self, sides: Floats, picked: NDArray[np.int64]) -> Floats:
        """n x 4 * (reg_max + 1) -> corners in model pixels."""
        cells, steps = grid(self.size, self.strides)
        bins = sides.reshape(-1, 4, self.reg_max + 1)
        weight = np.exp(bins - bins.max(2, keepdims=True))
        mean = (weight / weight.sum(2, keepdims=True)) @ np.arange(self.reg_max + 1, dtype=np.float32)
        centre, reach = (cells[picked] + self.offset) * steps[picked], mean * steps[picked]
        corners: Floats = np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], 1).astype(np.float32)
        return corners
