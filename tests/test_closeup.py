"""What classifiers are shown: which slots and people, when, how many; and what a pipeline makes of their answers."""

from typing import Any

import numpy as np
import pytest

from smartbox import crops
from smartbox.closeup import PEOPLE, Closeup, Kind, Looking
from smartbox.geometry import Zone
from smartbox.manifest import InputSpec
from smartbox.types import Box, Frame, Track

SPEC = InputSpec(name="image", shape=(None, 32, 32, 3), layout="NHWC", colour="BGR")
LOT = Zone("lot", "east", slots={"A": ((0.1, 0.1), (0.3, 0.1), (0.3, 0.3), (0.1, 0.3)), "B": ((0.5, 0.5),) * 3})
POST = Zone("post", "east", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
SCORES = {"free": 0.2, "occupied": 0.8}


def frame(time: float, image: Any = None) -> Frame:
    return Frame.of("east", 0, time, time, np.zeros((200, 400, 3), np.uint8) if image is None else image)


def track(id: int, box: Box = (0.1, 0.2, 0.2, 0.8), label: str = "person", seen: bool = True) -> Track:
    return Track(id, label, box, 0.9, 0.0, 0.0, 0.0, ((0, 0), (0, 0)), seen)


def looking(kind: Kind) -> Looking:
    zone = Zone("lot", "east", slots={"A": LOT.slots["A"]}) if kind == "slots" else POST
    return Looking(Closeup(kind, "model", SPEC, (zone,)))


def test_slots_are_shown_all_at_once_every_two_seconds() -> None:
    look = looking("slots")
    asked = [t / 5 for t in range(26) if look.wanted(frame(t / 5), ())]
    assert asked == [0.0, 2.0, 4.0]
    assert look.wanted(frame(9.0), ())["A"].shape == (32, 32, 3)


def test_people_in_the_zone_are_shown_and_nobody_else() -> None:
    look = looking("people")
    others = [
        track(2, (0.7, 0.2, 0.8, 0.8)),  # elsewhere
        track(3, label="car"),
        track(4, seen=False),  # only guessed at
        track(5, (0.1, 0.2, 0.11, 0.25)),  # ten pixels
    ]
    assert set(look.wanted(frame(0.0), [track(1), *others])) == {"1"}
    assert look.wanted(frame(0.5), [track(1)]) == {}
    assert set(look.wanted(frame(1.0), [track(1)])) == {"1"}


def test_nobody_there_costs_no_turn() -> None:
    look = looking("people")
    assert look.wanted(frame(0.0), []) == {}
    assert set(look.wanted(frame(0.2), [track(1)])) == {"1"}


def test_a_crowd_is_shown_by_turns() -> None:
    look = looking("people")
    crowd = [track(i) for i in range(2 * PEOPLE)]
    seen: list[set[str]] = []
    for time in (0.0, 1.0):
        wanted = look.wanted(frame(time), crowd)
        seen.append(set(wanted))
        for subject in wanted:
            look.take(subject, time, SCORES)
    assert [len(s) for s in seen] == [PEOPLE, PEOPLE]
    assert not seen[0] & seen[1]


def test_old_answers_are_forgotten() -> None:
    look = looking("slots")
    look.take("A", 10.0, SCORES)
    assert look.said(20.0) == {"A": SCORES}
    assert look.said(20.1) == {}


def test_a_slot_is_warped_so_that_its_corners_are_the_crops() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 80:120] = 255
    polygon = ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))
    square = crops.warped(image, polygon, 20, margin=1.0)
    assert square.shape == (20, 20, 3)
    assert square[2:-2, 2:-2].min() > 200
    assert crops.warped(image, polygon, 20, margin=2.0)[:3].max() < 50


@pytest.mark.parametrize("turn", range(4))
def test_it_does_not_matter_which_corner_was_drawn_first(turn: int) -> None:
    corners = ((0.1, 0.15), (0.6, 0.1), (0.7, 0.6), (0.15, 0.7))
    rolled = corners[turn:] + corners[:turn]
    expected = crops.quad(corners, 100, 100)
    assert np.allclose(crops.quad(rolled, 100, 100), expected)
    assert np.allclose(crops.quad(rolled[::-1], 100, 100), expected)
    assert expected[0].tolist() == pytest.approx([10, 15])


def test_other_polygons_have_the_rectangle_round_them() -> None:
    corners = crops.quad(((0.1, 0.1), (0.5, 0.1), (0.6, 0.3), (0.5, 0.5), (0.1, 0.5)), 100, 100)
    assert np.allclose(corners, [[10, 10], [60, 10], [60, 50], [10, 50]], atol=1)


def test_the_square_round_a_person_is_cut_at_the_edges() -> None:
    box = crops.around((0.4, 0.2, 0.5, 0.8), 400, 200)
    assert box == pytest.approx((0.45 - 0.18, 0.5 - 0.36, 0.45 + 0.18, 0.5 + 0.36))
    assert crops.around((0.0, 0.0, 0.1, 1.0), 400, 200)[:2] == (0.0, 0.0)
    assert crops.person(frame(0.0), (0.0, 0.0, 0.1, 1.0), SPEC).shape == (32, 32, 3)
