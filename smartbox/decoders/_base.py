"""What decoders share: labels, thresholds, and the road from scored boxes to Detections."""

from collections.abc import Mapping
from functools import cache
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from smartbox.errors import BackendError
from smartbox.geometry import iou_matrix, suppress
from smartbox.settings import Settings
from smartbox.types import Detections, Floats, View

Outputs = Mapping[str, Floats]


class DecoderSettings(Settings):
    """Base of every decoder's settings."""

    labels: tuple[str, ...] = Field(min_length=1)
    """In class order; filled in from the manifest's labels."""


class BoxDecoder(DecoderSettings):
    """Base of the decoders that give Detections."""

    size: tuple[int, int]
    """Model input, width and height in pixels; filled in from the manifest's first input."""
    score_threshold: float = Field(default=0.35, ge=0, lt=1)
    """Detections below it are dropped."""
    label_thresholds: dict[str, float] = Field(default_factory=dict)
    """A threshold of its own for some labels."""
    nms_iou: float = Field(default=0.5, gt=0, le=1)
    """Of two boxes of one label that overlap more, the lower score is dropped."""
    cross_label_iou: float = Field(default=0.85, gt=0, le=1)
    """Two boxes of different labels that overlap more are one thing with two names (car, truck): the higher score
    stays. 1 keeps both."""
    max_candidates: int = Field(default=400, ge=1)
    """The best of these go into suppression; bounds its time in a crowd."""
    max_detections: int = Field(default=100, ge=1)
    """At most these, best first."""

    @model_validator(mode="after")
    def _known_labels(self) -> Self:
        if unknown := sorted(set(self.label_thresholds) - set(self.labels)):
            raise ValueError(f"label_thresholds names {', '.join(unknown)}; labels are {', '.join(self.labels)}")
        return self

    @property
    def thresholds(self) -> Floats:
        """Per class."""
        return np.array([self.label_thresholds.get(label, self.score_threshold) for label in self.labels], np.float32)

    def check(self, tensor: Floats, what: str, *shape: int | None) -> Floats:
        if len(tensor.shape) != len(shape) or any(w not in (None, s) for s, w in zip(tensor.shape, shape, strict=True)):
            raise BackendError(f"decoder: output {what!r} is {tensor.shape}, should be {shape} for these settings")
        return tensor

    def select(self, class_score: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
        """Rows whose best class passes its threshold, best first: row, score, class (class_score: A x C, 0–1)."""
        class_id = class_score.argmax(1)
        score = class_score[np.arange(len(class_id)), class_id]
        rows = np.flatnonzero(score >= self.thresholds[class_id])
        if len(rows) > self.max_candidates:
            rows = rows[np.argpartition(-score[rows], self.max_candidates)[: self.max_candidates]]
        rows = rows[np.argsort(-score[rows], kind="stable")]
        return rows, score[rows], class_id[rows]

    def detections(self, pixels: Floats, score: Floats, class_id: NDArray[np.int64], view: View) -> Detections:
        """Boxes in model pixels (n x 4), best first -> what remains after suppression, 0–1 of the frame."""
        xyxy = view.to_frame(np.nan_to_num(pixels, nan=0.0, posinf=1e6, neginf=-1e6))
        real = (xyxy[:, 2] > xyxy[:, 0]) & (xyxy[:, 3] > xyxy[:, 1])  # not all in the padding
        found = Detections(xyxy[real], score[real].astype(np.float32), class_id[real], self.labels)
        return found[self._suppress(found)]

    def _suppress(self, found: Detections) -> NDArray[np.int64]:
        """Greedy suppression within a label and across labels in one pass, which ends when enough are kept."""
        overlap = iou_matrix(found.xyxy, found.xyxy)
        limit = np.where(found.class_id[:, None] == found.class_id, self.nms_iou, self.cross_label_iou)
        return suppress(overlap > limit, self.max_detections)


def tensor(outputs: Outputs, name: str) -> Floats:
    if name not in outputs:
        raise BackendError(f"decoder: there is no output {name!r}; the manifest's outputs are {', '.join(outputs)}")
    return outputs[name]


def sigmoid(x: Floats) -> Floats:
    """Without overflow on either side."""
    squashed: Floats = (0.5 * (1.0 + np.tanh(0.5 * x))).astype(np.float32)
    return squashed


@cache
def grid(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """The cells of every level, row by row: column and row (A x 2), and their stride (A x 1).

    A level has ceil(size / stride) cells, as a padded convolution of that stride gives.
    """
    cells, steps = [], []
    for stride in strides:
        columns, rows = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:rows, :columns]
        cells.append(np.stack([x.ravel(), y.ravel()], 1))
        steps.append(np.full((rows * columns, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)
