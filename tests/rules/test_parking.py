"""parking: which car stands in which slot, states with hysteresis, a full lot, overstaying."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from smartbox.geometry import Zone
from smartbox.types import Box, Event, Scene, Track
from tests.rules.script import LOT, Script, Thing, path, play, runner, told

DOOR: Box = (0.8, 0.1, 0.95, 0.2)
LORRY: Box = (0.05, 0.4, 0.6, 0.75)


def parked(i: int) -> Box:
    """A car in slot Pi, seen from above."""
    return (0.1 + 0.1 * i, 0.49, 0.19 + 0.1 * i, 0.70)


def cars(*slots: int, start: float = 10, end: float = 400) -> list[Thing]:
    return [Thing(i + 1, start, end, parked(i)) for i in slots]


def by_subject(events: list[Event], subject: str) -> list[tuple[str, float]]:
    return told([e for e in events if e.objects[0].subject == subject])


def test_states_change_after_hold() -> None:
    run = runner("parking")
    states: dict[float, Mapping[str, str] | None] = {}
    for scene in Script(cars(1, end=60), 80).scenes():
        run.step(scene)
        states[round(scene.time, 1)] = run.occupancy
    slots = ["P0", "P1", "P2", "P3"]
    assert states[9.8] == dict.fromkeys(slots, "unknown")
    assert states[10.0] == dict.fromkeys(slots, "free")
    assert states[19.8] == dict.fromkeys(slots, "free")
    assert states[20.0] == {**dict.fromkeys(slots, "free"), "P1": "occupied"}
    assert states[69.8] == states[20.0]
    assert states[70.0] == states[10.0]


def test_states_are_unknown_while_the_camera_is_silent() -> None:
    run = runner("parking")
    play(run, Script(cars(1), 60))
    assert run.idle(80, 0) == []
    assert run.occupancy == {"P0": "free", "P1": "occupied", "P2": "free", "P3": "free"}
    run.idle(95, 0)
    assert run.occupancy == dict.fromkeys(["P0", "P1", "P2", "P3"], "unknown")
    play(run, Script([Thing(9, 100, 200, parked(1))], 111, offset=100))
    assert run.occupancy == {"P0": "free", "P1": "occupied", "P2": "free", "P3": "free"}


def test_cars_that_drive_by_occupy_nothing() -> None:
    passing = [Thing(i, 10 * i, 10 * i + 8, path(DOOR, parked(i % 4), 10 * i, 10 * i + 6)) for i in range(1, 9)]
    run = runner("parking", overstay=20)
    assert play(run, Script(passing, 120)) == []
    assert set(run.occupancy.values()) == {"free"}  # type: ignore[union-attr]


def test_a_full_lot() -> None:
    events = play(runner("parking"), Script([*cars(0, 1, 2), *cars(3, start=50, end=120)], 300))
    assert by_subject(events, "lot") == [("begin", 60.2), ("cleared", 190.2)]
    begin = events[0]
    assert (begin.cls, begin.zone, begin.severity) == ("alarm", "lot", "low")
    assert begin.detail == {"event": "lot_full", "occupied": 4, "slots": 4}


def test_the_lines_for_full_and_free_differ() -> None:
    settings = {"full_ratio": 0.75, "free_ratio": 0.5}
    one_leaves = [*cars(0, 1), *cars(2, end=60)]
    assert by_subject(play(runner("parking", **settings), Script(one_leaves, 300)), "lot") == [("begin", 20.2)]
    two_leave = [*cars(0), *cars(1, 2, end=60)]
    events = play(runner("parking", **settings), Script(two_leave, 300))
    assert by_subject(events, "lot") == [("begin", 20.2), ("cleared", 130.2)]


def test_a_car_that_comes_and_goes_does_not_free_the_lot() -> None:
    changing = [*cars(0, 1, 2), *cars(3, end=100), Thing(9, 140, 400, parked(3))]
    assert by_subject(play(runner("parking"), Script(changing, 300)), "lot") == [("begin", 20.2)]


def test_overstay() -> None:
    events = play(runner("parking", overstay="60s"), Script([*cars(0, end=100), *cars(2, end=60)], 200))
    assert told(events) == [("begin", 70.0), ("cleared", 110.0)]
    assert events[0].objects[0].subject == "slot:P0"
    assert events[0].detail == {"event": "overstay"}


def test_nobody_overstays_without_the_setting() -> None:
    assert play(runner("parking"), Script(cars(0, 2), 400)) == []


def test_overstaying_survives_new_ids_missing_frames_and_a_lorry() -> None:
    flicker = [Thing(20 + i, 10 + 7 * i, 16.5 + 7 * i, parked(0)) for i in range(20)]
    assert told(play(runner("parking", overstay=60), Script(flicker, 140))) == [("begin", 70.0)]
    hidden = [*cars(0, end=40), *cars(0, start=65, end=200)]
    lorry = Thing(8, 38, 66, path(DOOR, LORRY, 38, 40), "truck")
    events = play(runner("parking", overstay=60), Script([*hidden, lorry], 200))
    assert by_subject(events, "slot:P0") == [("begin", 70.0)]


def test_the_next_car_starts_from_zero() -> None:
    two = [*cars(0, end=60), Thing(9, 75, 200, parked(0))]
    assert told(play(runner("parking", overstay=60), Script(two, 200))) == [("begin", 135.0)]


def test_restart_keeps_an_overstay() -> None:
    before = runner("parking", overstay=60)
    begin = play(before, Script(cars(0), 100))[0]
    after = runner("parking", overstay=60)
    after.restore(before.open, 0, begin.time_utc + 40)
    events = play(after, Script(cars(0, start=0, end=50), 100))
    assert told(events) == [("cleared", 60.0)]
    assert events[0].episode == begin.episode


LOW = Zone(
    "lot",
    "east",
    slots={
        "back": ((0.3, 0.40), (0.5, 0.40), (0.5, 0.46), (0.3, 0.46)),
        "front": ((0.3, 0.50), (0.5, 0.50), (0.5, 0.58), (0.3, 0.58)),
    },
)
ABOVE = Zone(
    "lot",
    "east",
    slots={
        "a": ((0.1, 0.1), (0.2, 0.1), (0.2, 0.4), (0.1, 0.4)),
        "b": ((0.2, 0.1), (0.3, 0.1), (0.3, 0.4), (0.2, 0.4)),
    },
)


@pytest.mark.parametrize(
    ("zone", "box", "slot"),
    [
        (LOW, (0.3, 0.40, 0.5, 0.58), "slot:front"),  # flat view: the car in front hides the slot behind
        (LOW, (0.3, 0.30, 0.5, 0.46), "slot:back"),
        (ABOVE, (0.11, 0.12, 0.19, 0.38), "slot:a"),  # from above: the box is the slot
        (ABOVE, (0.14, 0.12, 0.25, 0.38), "slot:a"),  # parked askew
        (ABOVE, (0.19, 0.12, 0.29, 0.38), "slot:b"),
        (ABOVE, (0.1, 0.38, 0.3, 0.6), None),  # on the road before them
    ],
)
def test_which_slot_a_box_stands_in(zone: Zone, box: Box, slot: str | None) -> None:
    rule = runner("parking").rule
    track = Track(1, "car", box, 0.9, 0, 0, -9, ((0, 0), (0, 0)))
    assert [m.subject for m in rule.matches(Scene("east", 0, 0, (track,)), [zone], frozenset())] == (
        [slot] if slot else []
    )


def test_a_slot_named_twice_is_told() -> None:
    twin = Zone("other", "east", slots=LOW.slots)
    assert "'front'" in runner("parking").rule.problems([LOW, twin])[1]


Scores = dict[str, dict[str, float]]


def looks(*taken: tuple[str, float, float, float]) -> Callable[[float], Scores]:
    """What a classifier says: (slot, from, until, score of occupied); free at 0.1 else."""

    def at(time: float) -> Scores:
        scores = dict.fromkeys(LOT.slots, 0.1)
        scores |= {slot: score for slot, start, end, score in taken if start <= time < end}
        return {slot: {"free": 1 - score, "occupied": score} for slot, score in scores.items()}

    return at


def judged(slots: Callable[[float], Scores], until: float = 300, **more: Any) -> Script:
    return Script(until=until, slots=slots, **more)


def test_a_classifier_of_slots_decides_without_any_box() -> None:
    run = runner("parking", model="slots")
    states: dict[float, Mapping[str, str] | None] = {}
    for scene in judged(looks(("P1", 10, 60, 0.95)), 80).scenes():
        run.step(scene)
        states[round(scene.time, 1)] = run.occupancy
    free = dict.fromkeys(LOT.slots, "free")
    assert states[9.8] == dict.fromkeys(LOT.slots, "unknown")
    assert states[19.8] == free
    assert states[20.0] == free | {"P1": "occupied"} == states[69.8]
    assert states[70.0] == free


def test_boxes_say_nothing_beside_a_classifier() -> None:
    run = runner("parking", model="slots")
    play(run, judged(looks(), 60, things=cars(0, 1, 2, 3)))
    assert set((run.occupancy or {}).values()) == {"free"}


def test_between_the_two_scores_nothing_changes() -> None:
    run = runner("parking", model="slots", overstay=60)
    wavering = looks(("P0", 10, 40, 0.9), ("P0", 40, 250, 0.45), ("P2", 0, 300, 0.55))
    events = play(run, judged(wavering, 300))
    assert told(events) == [("begin", 70.0), ("cleared", 260.0)]
    assert events[0].objects[0].subject == "slot:P0"


def test_a_full_lot_by_classifier() -> None:
    taken = [(f"P{i}", 10.0, 300.0, 0.9) for i in range(3)]
    events = play(runner("parking", model="slots"), judged(looks(*taken, ("P3", 50, 120, 0.9))))
    assert by_subject(events, "lot") == [("begin", 60.2), ("cleared", 190.2)]


@pytest.mark.parametrize("fps", [1.0, 5.0, 25.0])
def test_somebody_who_walks_through_a_slot_takes_it_for_no_moment(fps: float) -> None:
    walks = [("P1", t, t + 4, 0.9) for t in range(10, 280, 20)]
    run = runner("parking", fps, model="slots", overstay=20)
    assert play(run, judged(looks(*walks), fps=fps)) == []
    assert set((run.occupancy or {}).values()) == {"free"}


def test_a_model_that_fails_makes_states_unknown_not_free() -> None:
    def fails(time: float) -> Scores:
        return looks(("P1", 0, 300, 0.9))(time) if time < 60 else {}

    run = runner("parking", model="slots", overstay=30)
    events = play(run, judged(fails, 150))
    assert told(events) == [("begin", 30.0), ("source_lost", 120.0)]
    assert set((run.occupancy or {}).values()) == {"unknown"}


def test_a_dark_picture_frees_no_slot() -> None:
    run = runner("parking", model="slots")
    night = judged(looks(("P1", 0, 50, 0.9)), 75, faults={(50, 75): "dark"})
    play(run, night)
    assert (run.occupancy or {})["P1"] == "occupied"


def test_settings_that_do_nothing_are_refused() -> None:
    with pytest.raises(ValidationError, match="needs a classifier of slots"):
        runner("parking", occupied_score=0.7)
    with pytest.raises(ValidationError, match="does nothing with `model`"):
        runner("parking", model="slots", min_cover=0.5)
