"""Thresholds and suppression, which all box decoders share."""

from typing import Any

import numpy as np
import pytest

from smartbox.decoders.boxes import Plugin
from smartbox.types import Detections, View

VIEW = View((0.01, 0.01), (0.0, 0.0))


def decode(boxes: list[list[float]], scores: list[list[float]], **changes: Any) -> Detections:
    plugin = Plugin(labels=("car", "truck"), size=(100, 100), **changes)
    return plugin.decode({"boxes": np.array(boxes, np.float32), "scores": np.array(scores, np.float32)}, VIEW)


BOX, NEAR, FAR = [10, 10, 30, 30], [11, 10, 31, 30], [60, 60, 90, 90]


def test_thresholds_per_label() -> None:
    scores = [[0.5, 0], [0, 0.5], [0.34, 0]]
    found = decode([BOX, FAR, [40, 40, 50, 50]], scores)
    assert [found.label(i) for i in range(len(found))] == ["car", "truck"]
    found = decode([BOX, FAR, [40, 40, 50, 50]], scores, label_thresholds={"truck": 0.6, "car": 0.3})
    assert [round(float(s), 2) for s in found.score] == [0.5, 0.34]
    with pytest.raises(ValueError, match="lorry"):
        decode([], [], label_thresholds={"lorry": 0.6})


def test_the_lower_of_two_overlapping_is_dropped() -> None:
    found = decode([BOX, NEAR, FAR], [[0.6, 0], [0.9, 0], [0.7, 0]])
    np.testing.assert_allclose(found.xyxy, np.array([NEAR, FAR]) / 100, atol=1e-6)


def test_one_thing_with_two_names_keeps_the_better() -> None:
    found = decode([BOX, NEAR], [[0.6, 0], [0, 0.9]])
    assert [found.label(i) for i in range(len(found))] == ["truck"]
    assert len(decode([BOX, NEAR], [[0.6, 0], [0, 0.9]], cross_label_iou=1)) == 2
    assert len(decode([BOX, [20, 10, 40, 30]], [[0.6, 0], [0, 0.9]])) == 2


def test_crowds_are_bounded() -> None:
    side = np.arange(1000)
    boxes = np.stack([side % 50 * 2, side // 50 * 4, side % 50 * 2 + 1, side // 50 * 4 + 3], 1)
    scores = np.stack([0.4 + side / 2000, np.zeros(1000)], 1)
    found = decode(boxes.tolist(), scores.tolist(), max_detections=10, max_candidates=300)
    assert len(found) == 10
    np.testing.assert_allclose(found.score, np.sort(scores[:, 0])[::-1][:10], atol=1e-6)


def test_a_box_in_the_padding_is_nothing() -> None:
    assert len(decode([[120, 10, 140, 30]], [[0.9, 0]])) == 0
    np.testing.assert_allclose(decode([[90, 10, 140, 30]], [[0.9, 0]]).xyxy, [[0.9, 0.1, 1.0, 0.3]], atol=1e-6)
