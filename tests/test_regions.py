"""Crops round small things: bounded, round what moves or is followed, and nothing counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.regions import choose, merge, tiles, window
from smartbox.types import Box, Detections, Motion, Track

FRAME, MODEL = (1280, 720), (320, 320)
LABELS = ("person", "car", "truck")
GROUPS = {"car": "vehicle", "truck": "vehicle"}


def still() -> Motion:
    return Motion(np.zeros((25, 44), np.float32))


def moving(*cells: tuple[int, int]) -> Motion:
    rate = np.zeros((25, 44), np.float32)
    for row, column in cells:
        rate[row, column] = 1.0
    return Motion(rate)


def track(box: Box, number: int = 1) -> Track:
    return Track(number, "person", box, 0.9, 0.0, 0.0, 0.0, ((0, 0), (0, 0)))


def found(*rows: tuple[Box, float, str]) -> Detections:
    boxes = np.array([r[0] for r in rows], np.float32).reshape(-1, 4)
    return Detections(
        boxes, np.array([r[1] for r in rows], np.float32), np.array([LABELS.index(r[2]) for r in rows], int), LABELS
    )


def test_a_crop_shows_three_times_as_much_but_never_more_than_there_is() -> None:
    assert window(FRAME, MODEL) == pytest.approx((1 / 3, 16 / 27))
    assert window((640, 360), MODEL) == pytest.approx((0.5, 320 / 360))  # 1:1
    assert window((352, 288), MODEL) is None


def test_a_small_track_and_a_small_motion_get_a_crop_a_large_one_none() -> None:
    small, large = (0.1, 0.1, 0.12, 0.2), (0.5, 0.2, 0.7, 0.9)
    (crop,) = choose(FRAME, MODEL, 4, still(), [track(small), track(large, 2)])
    assert crop[0] <= small[0] and small[2] <= crop[2]
    (crop,) = choose(FRAME, MODEL, 4, moving((5, 40)), [track(large)])
    assert crop[2] == pytest.approx(1.0)
    assert choose(FRAME, MODEL, 4, still(), []) == ()
    assert choose(FRAME, MODEL, 4, moving((12, 25)), [track(large)]) == ()  # it is the large one that moves


def test_neighbours_share_a_crop() -> None:
    people = [track((0.1 + 0.03 * i, 0.1, 0.12 + 0.03 * i, 0.2), i) for i in range(5)]
    assert len(choose(FRAME, MODEL, 4, still(), people)) == 1


@given(
    st.lists(st.tuples(st.floats(0, 0.95), st.floats(0, 0.85)), max_size=12),
    st.integers(0, 8),
    st.integers(200, 4000),
    st.integers(200, 3000),
)
def test_crops_are_bounded_inside_the_frame_and_of_one_size(
    corners: list[tuple[float, float]], most: int, width: int, height: int
) -> None:
    tracks = [track((x, y, x + 0.02, y + 0.05), i) for i, (x, y) in enumerate(corners)]
    crops = choose((width, height), MODEL, most, still(), tracks)
    assert len(crops) <= most
    for x0, y0, x1, y1 in crops:
        assert -1e-9 <= x0 < x1 <= 1 + 1e-9
        assert -1e-9 <= y0 < y1 <= 1 + 1e-9
        assert (x1 - x0, y1 - y0) == pytest.approx(window((width, height), MODEL))


def test_the_first_look_searches_the_whole_picture() -> None:
    crops = choose(FRAME, MODEL, 8, None, [])
    np.testing.assert_allclose(crops, tiles((1 / 3, 16 / 27), 8))
    for x, y in ((0.01, 0.01), (0.5, 0.5), (0.99, 0.99)):
        assert any(c[0] <= x <= c[2] and c[1] <= y <= c[3] for c in crops)


def test_what_is_seen_twice_is_there_once_with_the_better_score() -> None:
    crop = (0.0, 0.0, 0.5, 0.5)
    whole = found(((0.1, 0.1, 0.2, 0.2), 0.5, "car"))
    again = found(((0.1, 0.1, 0.2, 0.21), 0.8, "truck"), ((0.3, 0.3, 0.34, 0.4), 0.6, "person"))
    both = merge(whole, [(crop, again)], GROUPS)
    assert [both.label(i) for i in range(len(both))] == ["truck", "person"]


def test_what_a_crop_cuts_is_left_to_the_whole_but_not_at_the_frames_own_edge() -> None:
    crop = (0.0, 0.0, 0.5, 0.5)
    cut = found(((0.45, 0.1, 0.5, 0.2), 0.9, "person"))
    at_frame = found(((0.0, 0.1, 0.05, 0.2), 0.9, "person"))
    assert len(merge(found(), [(crop, cut)], {})) == 0
    assert len(merge(found(), [(crop, at_frame)], {})) == 1
