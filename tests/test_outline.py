"""Polygons as people draw them."""

import pytest

from smartbox.outline import entangled


@pytest.mark.parametrize(
    ("corners", "crossed"),
    [
        ([(0, 0), (1, 0), (1, 1), (0, 1)], False),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], True),
        ([(0, 0), (1, 0), (0.2, 0.2), (0, 1)], False),  # concave
        ([(0, 0), (1, 0), (1, 1), (0, 0)], False),  # closed by its first corner
        ([(0, 0), (1, 0), (1, 1), (0.5, -0.5), (0, 1)], True),
        ([(0, 0), (1, 0), (1, 1)], False),
    ],
)
def test_sides_that_cross(corners: list[tuple[float, float]], crossed: bool) -> None:
    assert entangled(corners) is crossed
    assert entangled(corners[::-1]) is crossed
