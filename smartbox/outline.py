"""Whether a polygon that a person drew can be one."""

from collections.abc import Sequence

from smartbox.types import Point


def entangled(polygon: Sequence[Point]) -> bool:
    """Do two of its sides cross? Corners that touch are no crossing."""
    sides = list(zip(polygon, [*polygon[1:], polygon[0]], strict=True))
    return any(_cross(*side, *other) for i, side in enumerate(sides) for other in sides[i + 2 :])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, p: Point) -> float:
    """Above 0 on one side of the line from a to b, below 0 on the other."""
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
