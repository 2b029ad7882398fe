"""Geometry by its laws, with a few drawn examples."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smartbox.geometry import (
    area,
    bottom_center,
    center,
    clip,
    contains,
    covered,
    crosses,
    iou,
    iou_matrix,
    letterbox,
    nms,
    overlap,
)
from smartbox.types import Box, Point

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
HORSESHOE = ((0.1, 0.1), (0.9, 0.1), (0.9, 0.9), (0.6, 0.9), (0.6, 0.4), (0.4, 0.4), (0.4, 0.9), (0.1, 0.9))

unit = st.integers(0, 64).map(lambda n: n / 64)  # exact in floating point
point = st.tuples(unit, unit)
box = st.tuples(unit, unit, unit, unit).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]) + 1 / 64, max(b[1], b[3]) + 1 / 64)
)


@st.composite
def polygons(draw: st.DrawFn) -> list[Point]:
    """Star-shaped round a centre, so that no edges cross: convex and concave ones."""
    n = draw(st.integers(3, 10))
    radius = draw(st.lists(st.floats(0.05, 0.5), min_size=n, max_size=n))
    turn = draw(st.floats(0, 1))
    angles = [2 * np.pi * (i + turn) / n for i in range(n)]
    return [(0.5 + r * float(np.cos(a)), 0.5 + r * float(np.sin(a))) for r, a in zip(radius, angles, strict=True)]


def raster(polygon: list[Point], size: int = 800) -> np.ndarray:
    points = np.round(np.array(polygon) * size * 256).astype(np.int32)
    return cv2.fillPoly(np.zeros((size, size), np.uint8), [points], 1, shift=8)


# --- polygons


@pytest.mark.parametrize(
    ("polygon", "at", "inside"),
    [
        (SQUARE, (0.5, 0.5), True),
        (SQUARE, (0.1, 0.5), False),
        (SQUARE, (0.5, 0.81), False),
        (HORSESHOE, (0.5, 0.2), True),
        (HORSESHOE, (0.5, 0.6), False),
        (HORSESHOE, (0.2, 0.8), True),
    ],
)
def test_inside(polygon: tuple[Point, ...], at: Point, inside: bool) -> None:
    assert contains(polygon, at) is inside


def test_a_point_on_a_border_shared_by_two_zones_is_in_exactly_one() -> None:
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    right = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
    assert contains(left, (0.5, 0.5)) + contains(right, (0.5, 0.5)) == 1


def test_what_the_lower_edge_cuts_off_stands_in_the_picture() -> None:
    whole = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    assert contains(whole, bottom_center((0.2, 0.5, 0.4, 1.0)))
    assert bottom_center((0.2, 0.5, 0.4, 0.9)) == pytest.approx((0.3, 0.9))


@given(polygons(), point)
def test_inside_does_not_depend_on_the_first_corner_or_the_direction(polygon: list[Point], at: Point) -> None:
    assert contains(polygon, at) == contains(polygon[2:] + polygon[:2], at) == contains(polygon[::-1], at)


@given(polygons())
def test_area_agrees_with_counting_pixels(polygon: list[Point]) -> None:
    around = sum(float(np.hypot(*np.subtract(p, q))) for p, q in zip(polygon, polygon[1:] + polygon[:1], strict=True))
    assert area(polygon) == pytest.approx(raster(polygon).mean(), abs=1.5 * around / 800 + 1e-4)
    assert area(polygon) == pytest.approx(area(polygon[::-1]))


@given(polygons(), box)
def test_overlap_agrees_with_counting_pixels(polygon: list[Point], of: Box) -> None:
    x0, y0, x1, y1 = (round(v * 800) for v in of)
    assume(x1 <= 800 and y1 <= 800)
    around = 2 * (of[2] - of[0] + of[3] - of[1])
    size = (of[2] - of[0]) * (of[3] - of[1])
    counted = raster(polygon)[y0:y1, x0:x1].mean()
    edge = 3 * (around + 4) / 800  # pixels that an edge of either may halve
    assert overlap(polygon, of) * size == pytest.approx(counted * size, abs=edge * min(1, 8 * size) + 2e-4)


@given(polygons(), box)
def test_shares_are_shares_of_the_same_piece(polygon: list[Point], of: Box) -> None:
    assume(area(polygon) > 1e-3)
    share, cover = overlap(polygon, of), covered(polygon, of)
    assert 0 <= share <= 1 + 1e-9
    assert 0 <= cover <= 1 + 1e-9
    size = (of[2] - of[0]) * (of[3] - of[1])
    assert share * size == pytest.approx(cover * area(polygon), abs=1e-9)


@given(polygons(), box)
def test_what_is_clipped_lies_in_the_box(polygon: list[Point], of: Box) -> None:
    for x, y in clip(polygon, of):
        assert of[0] - 1e-9 <= x <= of[2] + 1e-9
        assert of[1] - 1e-9 <= y <= of[3] + 1e-9


def test_a_box_within_a_zone_overlaps_it_wholly_and_one_outside_not() -> None:
    assert overlap(SQUARE, (0.3, 0.3, 0.6, 0.7)) == pytest.approx(1)
    assert overlap(SQUARE, (0.85, 0.3, 0.9, 0.7)) == 0
    assert overlap(SQUARE, (0.0, 0.3, 0.4, 0.7)) == pytest.approx(0.5)
    assert overlap(HORSESHOE, (0.4, 0.4, 0.6, 0.9)) == pytest.approx(0)
    assert covered(SQUARE, (0.0, 0.0, 1.0, 1.0)) == pytest.approx(1)


@pytest.mark.parametrize("flat", [(0.3, 0.3, 0.3, 0.7), (0.5, 0.5, 0.5, 0.5), (0.6, 0.3, 0.4, 0.7)])
def test_a_box_without_area_overlaps_nothing(flat: Box) -> None:
    assert overlap(SQUARE, flat) == 0


# --- boxes


def test_anchors() -> None:
    assert bottom_center((0.2, 0.1, 0.4, 0.7)) == pytest.approx((0.3, 0.7))
    assert center((0.2, 0.1, 0.4, 0.7)) == pytest.approx((0.3, 0.4))


@given(box, box)
def test_iou_is_symmetric_and_one_for_itself(a: Box, b: Box) -> None:
    assert iou(a, b) == pytest.approx(iou(b, a))
    assert 0 <= iou(a, b) <= 1 + 1e-6
    assert iou(a, a) == pytest.approx(1)


@given(st.lists(box, max_size=5), st.lists(box, max_size=5))
def test_iou_of_all_pairs_is_that_of_each(a: list[Box], b: list[Box]) -> None:
    matrix = iou_matrix(np.array(a, np.float32).reshape(-1, 4), np.array(b, np.float32).reshape(-1, 4))
    assert matrix.shape == (len(a), len(b))
    assert matrix.dtype == np.float32
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            w, h = min(p[2], q[2]) - max(p[0], q[0]), min(p[3], q[3]) - max(p[1], q[1])
            inter = max(0, w) * max(0, h)
            union = (p[2] - p[0]) * (p[3] - p[1]) + (q[2] - q[0]) * (q[3] - q[1]) - inter
            assert matrix[i, j] == pytest.approx(inter / union, abs=1e-5)


def test_iou_of_a_box_without_area_is_none_at_all() -> None:
    assert iou((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5)) == 0


@given(st.lists(st.tuples(box, st.floats(0, 1, width=32), st.integers(0, 79)), max_size=12), st.floats(0.1, 0.9))
def test_nms_keeps_the_best_of_what_overlaps(found: list[tuple[Box, float, int]], threshold: float) -> None:
    xyxy = np.array([f[0] for f in found], np.float32).reshape(-1, 4)
    score = np.array([f[1] for f in found], np.float32)
    kind = np.array([f[2] for f in found], np.int64)
    kept = nms(xyxy, score, kind, threshold).tolist()
    ious, near = iou_matrix(xyxy, xyxy), 1e-3  # classes are shifted apart in float32
    assert all(score[i] >= score[j] for i, j in pairwise(kept))
    for i in range(len(found)):
        rivals = [j for j in kept if j != i and kind[j] == kind[i]]
        if i in kept:
            assert all(ious[i, j] <= threshold + near for j in rivals)
        else:
            assert any(ious[i, j] > threshold - near and score[j] >= score[i] for j in rivals)


# --- letterbox

side = st.integers(8, 4000)


@given(st.tuples(side, side), st.sampled_from([(320, 320), (416, 416), (320, 192)]))
def test_a_letterbox_fits_fills_and_keeps_the_shape(size: tuple[int, int], model: tuple[int, int]) -> None:
    ratio, (w, h), view = letterbox(size, model)
    assert w <= model[0]
    assert h <= model[1]
    assert w == model[0] or h == model[1]
    assert w == pytest.approx(size[0] * ratio, abs=1)
    assert h == pytest.approx(size[1] * ratio, abs=1)
    whole = view.to_frame(np.array([[0, 0, w, h]], np.float32))
    assert whole[0].tolist() == pytest.approx([0, 0, 1, 1], abs=1e-6)


@given(st.tuples(side, side), box)
def test_boxes_come_back_from_the_letterbox(size: tuple[int, int], of: Box) -> None:
    assume(max(of) <= 1)
    _, (w, h), view = letterbox(size, (320, 320))
    model = np.array([of], np.float32) * np.array([w, h, w, h], np.float32)
    assert view.to_frame(model)[0].tolist() == pytest.approx(of, abs=1e-6)


# --- lines

LINE = ((0.2, 0.5), (0.8, 0.5))  # walked to the right: its left is up


@pytest.mark.parametrize(
    ("before", "now", "way"),
    [
        ((0.5, 0.4), (0.5, 0.6), 1),
        ((0.5, 0.6), (0.5, 0.4), -1),
        ((0.5, 0.4), (0.5, 0.45), 0),
        ((0.1, 0.4), (0.1, 0.6), 0),  # past its end
        ((0.9, 0.4), (0.9, 0.6), 0),
        ((0.1, 0.3), (0.9, 0.7), 1),
        ((0.5, 0.5), (0.5, 0.5), 0),
    ],
)
def test_crossing(before: Point, now: Point, way: int) -> None:
    assert crosses(LINE, before, now) == way


@given(point, point, point, point)
def test_crossing_back_is_the_opposite_and_so_is_a_turned_line(a: Point, b: Point, p: Point, q: Point) -> None:
    assert crosses((a, b), p, q) == -crosses((a, b), q, p)

    def side(u: Point, v: Point, z: Point) -> float:
        return (v[0] - u[0]) * (z[1] - u[1]) - (v[1] - u[1]) * (z[0] - u[0])

    # A point on the line belongs to one side, and one of its ends to the line, by definition.
    if side(a, b, p) and side(a, b, q) and side(p, q, a) and side(p, q, b):
        assert crosses((b, a), p, q) == -crosses((a, b), p, q)


@given(st.lists(point, min_size=2, max_size=20))
def test_a_walk_crosses_a_long_line_as_often_as_it_changes_sides(walk: list[Point]) -> None:
    long = ((-10.0, 0.5), (10.0, 0.5))
    net = sum(crosses(long, p, q) for p, q in pairwise(walk))
    assert net == (walk[-1][1] >= 0.5) - (walk[0][1] >= 0.5)


@given(point, point)
def test_two_halves_of_a_line_count_a_step_once(p: Point, q: Point) -> None:
    """Also a step exactly through the joint."""
    halves = (((-1.0, 0.5), (0.5, 0.5)), ((0.5, 0.5), (2.0, 0.5)))
    whole = crosses(((-1.0, 0.5), (2.0, 0.5)), p, q)
    assert sum(crosses(half, p, q) for half in halves) == whole
