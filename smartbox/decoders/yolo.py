"""YOLO detectors: YOLOX with its raw grid, and those that give pixels (YOLOv5 to 11 as commonly exported)."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.decoders._base import BoxDecoder, Outputs, grid, sigmoid, tensor
from smartbox.types import Detections, Floats, View


class Plugin(BoxDecoder):
    """One output, A x (4 + 1 + C): centre x, y, width, height, objectness, class scores.

    YOLOX (Ge et al. 2021) needs no settings; YOLOv8 and later: `{encoded: false, objectness: false,
    transposed: true}`; YOLOv5 and v7: `{encoded: false}`.
    """

    output: str | None = None
    """The output's name; default: the only one."""
    encoded: bool = True
    """Boxes are relative to the grid: (xy + cell) * stride, exp(wh) * stride. Otherwise they are model pixels."""
    strides: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(8, 16, 32), min_length=1)
    """Pixels per cell of each level; only for encoded boxes."""
    objectness: bool = True
    """Column 4 is objectness, which multiplies the class scores."""
    sigmoid: bool = False
    """Objectness and class scores are logits."""
    transposed: bool = False
    """The output is (4 + C) x A."""

    def decode(self, outputs: Outputs, view: View) -> Detections:
        name = self.output or next(iter(outputs))
        rows = tensor(outputs, name)
        rows = rows.T if self.transposed else rows
        first = 5 if self.objectness else 4
        anchors = len(grid(self.size, self.strides)[0]) if self.encoded else None
        self.check(rows, name, anchors, first + len(self.labels))
        rows, near = self._likely(rows)
        score = sigmoid(rows[:, 4:]) if self.sigmoid else rows[:, 4:]
        picked, best, class_id = self.select(score[:, 1:] * score[:, :1] if self.objectness else score)
        return self.detections(self._pixels(rows[picked, :4], near[picked]), best, class_id, view)

    def _likely(self, rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
        """Rows whose objectness alone reaches a threshold, which the product with a class score <= 1 cannot exceed."""
        if not self.objectness:
            return rows, np.arange(len(rows))
        objectness = sigmoid(rows[:, 4]) if self.sigmoid else rows[:, 4]
        near = np.flatnonzero(objectness >= self.thresholds.min())
        return rows[near], near

    def _pixels(self, boxes: Floats, picked: NDArray[np.int64]) -> Floats:
        centre, extent = boxes[:, :2], boxes[:, 2:]
        if self.encoded:
            cells, steps = grid(self.size, self.strides)
            centre = (centre + cells[picked]) * steps[picked]
            extent = np.exp(np.minimum(extent, 20.0)) * steps[picked]
        return np.concatenate([centre - extent / 2, centre + extent / 2], 1)
