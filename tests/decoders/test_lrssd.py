"""LRSSD's decoding against a plain loop over cells."""

from typing import Any

import numpy as np
import pytest

from smartbox.decoders.lrssd import Plugin
from smartbox.types import View

LABELS = ("person", "car")
SIZE = (64, 48)
STRIDES = (8, 16, 32)
CELLS = 8 * 6 + 4 * 3 + 2 * 2
PIXELS = View((1 / 64, 1 / 48), (0.0, 0.0))


def plugin(**changes: Any) -> Plugin:
    return Plugin(**({"labels": LABELS, "size": SIZE, "strides": STRIDES} | changes))


def index(level: int, row: int, column: int) -> int:
    widths = [-(-SIZE[0] // s) for s in STRIDES]
    heights = [-(-SIZE[1] // s) for s in STRIDES]
    return sum(w * h for w, h in zip(widths[:level], heights[:level], strict=True)) + row * widths[level] + column


@pytest.mark.parametrize(("level", "row", "column"), [(0, 0, 0), (0, 3, 5), (1, 2, 1), (2, 1, 1)])
def test_a_box_is_measured_from_its_cells_centre_in_strides(level: int, row: int, column: int) -> None:
    scores, boxes = np.full((CELLS, 2), -8.0, np.float32), np.zeros((CELLS, 4), np.float32)
    at = index(level, row, column)
    scores[at], boxes[at] = [-9, 3.0], [0.5, 0.25, 0.75, 1.0]
    found = plugin().decode({"scores": scores, "boxes": boxes}, PIXELS)
    stride = STRIDES[level]
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    expected = np.array([x - 0.5 * stride, y - 0.25 * stride, x + 0.75 * stride, y + stride]) / [64, 48, 64, 48]
    np.testing.assert_allclose(found.xyxy, [np.clip(expected, 0, 1)], atol=1e-6)
    assert found.label(0) == "car"
    assert found.score[0] == pytest.approx(1 / (1 + np.exp(-3.0)))


def test_logits_and_scores_decode_alike() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(-2, 2, (CELLS, 2)).astype(np.float32)
    boxes = rng.uniform(0.2, 2, (CELLS, 4)).astype(np.float32)
    for threshold in (0.0, 0.35, 0.9):
        one = plugin(score_threshold=threshold).decode({"scores": logits, "boxes": boxes}, PIXELS)
        squashed = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
        two = plugin(score_threshold=threshold, sigmoid=False).decode({"scores": squashed, "boxes": boxes}, PIXELS)
        np.testing.assert_allclose(one.score, two.score, atol=1e-6)
        np.testing.assert_allclose(one.xyxy, two.xyxy, atol=1e-6)
        assert len(one) > 0


def test_calibration_moves_scores_and_keeps_their_order() -> None:
    logits = np.random.default_rng(3).normal(-2, 2, (CELLS, 2)).astype(np.float32)
    outputs = {"scores": logits, "boxes": np.full((CELLS, 4), 1.0, np.float32)}
    common = {"score_threshold": 0.5, "nms_iou": 1.0, "cross_label_iou": 1.0}
    plain = plugin(**common).decode(outputs, PIXELS)
    lifted = plugin(**common, logit_scale=2.0, logit_offset=1.5).decode(outputs, PIXELS)
    assert len(lifted) > len(plain) > 0
    logit = np.log(plain.score / (1 - plain.score))
    np.testing.assert_allclose(lifted.score[: len(plain)], 1 / (1 + np.exp(-(2 * logit + 1.5))), rtol=1e-4)
