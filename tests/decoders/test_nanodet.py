"""NanoDet's distributions against a plain loop."""

from typing import Any

import numpy as np
import pytest

from smartbox.decoders.nanodet import Plugin
from smartbox.errors import BackendError
from smartbox.types import View

SIZE = (64, 64)
PIXELS = View((1 / 64, 1 / 64), (0.0, 0.0))


def plugin(**changes: Any) -> Plugin:
    return Plugin(**({"labels": ("person", "car"), "size": SIZE, "strides": (8, 16), "reg_max": 3} | changes))


def rows() -> np.ndarray[Any, Any]:
    table = np.zeros((64 + 16, 2 + 4 * 4), np.float32)
    table[64 + 4 * 1 + 2, 1] = 0.8  # a car in row 1, column 2 of the level with stride 16
    table[64 + 4 * 1 + 2, 2:] = np.log(  # distances 1, 0.5, 2, 1.5 strides
        np.array([[0, 1, 0, 0], [0.5, 0.5, 0, 0], [0, 0, 1, 0], [0, 0.5, 0.5, 0]]) + 1e-9
    ).ravel()
    return table


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_a_side_is_the_mean_of_its_distribution_in_strides(offset: float) -> None:
    found = plugin(offset=offset).decode({"out": rows()}, PIXELS)
    x, y = (2 + offset) * 16, (1 + offset) * 16
    expected = np.array([x - 16, y - 8, x + 32, y + 24]) / 64
    np.testing.assert_allclose(found.xyxy, [np.clip(expected, 0, 1)], atol=1e-5)
    assert (found.label(0), len(found)) == ("car", 1)


def test_logits_are_squashed_first() -> None:
    table = rows()
    table[:, :2] = -9
    table[64 + 6, 1] = np.log(0.8 / 0.2)
    found = plugin(sigmoid=True).decode({"out": table}, PIXELS)
    assert found.score[0] == pytest.approx(0.8)


def test_another_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(BackendError, match=r"'out' is \(80, 17\), should be \(80, 18\)"):
        plugin().decode({"out": rows()[:, :-1]}, PIXELS)
