"""Each rule x each behaviour of docs/guide/rules.md; every one comes from a defect seen in some system."""

import re
from datetime import UTC, datetime

import pytest

from smartbox.geometry import Zone
from smartbox.types import Box, Event, Scene, Track
from tests.rules.script import (
    ELSEWHERE,
    LANE,
    OUTSIDE,
    SPOT,
    ZONES,
    Script,
    Thing,
    path,
    person,
    play,
    runner,
    told,
)
from tests.rules.script import UTC as START

MOVES = 0.2
AWAY: Box = (0.85, 0.02, 0.98, 0.12)
LORRY: Box = (0.30, 0.40, 0.78, 0.88)  # in front of SPOT: covers it, lower in the picture


def between(start: float, end: float) -> list[tuple[float, float]]:
    return [(start, end)]


def gaps(thing: Thing, *missing: tuple[float, float]) -> list[Thing]:
    """The same track, not seen in the intervals `missing`."""
    edges = [thing.start, *(t for gap in missing for t in gap), thing.end]
    return [
        Thing(thing.id, a, b, thing.box, thing.label, thing.score) for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def wake(start: float, end: float):  # type: ignore[no-untyped-def]
    """Motion everywhere but between start and end."""
    return lambda t: 0.0 if start <= t < end else MOVES


def now_and_then(time: float) -> float:
    return MOVES if time % 60 < 7 else 0.0


SIREN = {"labels": ["siren"]}


def siren(*on: tuple[float, float]):  # type: ignore[no-untyped-def]
    return lambda t: {"siren": 0.9 if any(a <= t < b for a, b in on) else 0.05}


# Per rule: its settings, what happens, and what is told.
PLAIN = {
    "intrusion": ({}, Script([person(1, 10, 30)], 60), [("begin", 15.0), ("cleared", 35.0)]),
    "intrusion at once": ({"dwell": 0}, Script([person(1, 10, 30)], 60), [("begin", 10.0), ("cleared", 35.0)]),
    "intrusion by a bus": ({}, Script([Thing(1, 10, 30, SPOT, "bus")], 60), [("begin", 15.0), ("cleared", 35.0)]),
    "intrusion by a dog": ({}, Script([Thing(1, 10, 30, SPOT, "dog")], 60), []),
    "intrusion, unsure": ({}, Script([Thing(1, 10, 30, score=0.45)], 60), []),
    "intrusion, tiny": ({}, Script([person(1, 10, 30, (0.5, 0.5, 0.51, 0.515))], 60), []),
    "intrusion, beside": ({}, Script([person(1, 10, 30, OUTSIDE)], 60), []),
    "fire_lane": ({}, Script([Thing(1, 10, 150)], 200), [("begin", 70.0), ("cleared", 180.0)]),
    "fire_lane, passing": ({}, Script([Thing(1, 10, 60)], 200), []),
    "fire_lane, ignored": ({"ignore": ["bus"]}, Script([Thing(1, 10, 150, SPOT, "bus")], 200), []),
    "fire_lane, person": ({}, Script([person(1, 10, 150)], 200), []),
    "absence": ({}, Script([person(1, 0, 60), person(1, 400, 500)], 520), [("begin", 240.0), ("cleared", 405.0)]),
    "absence, short": ({}, Script([person(1, 0, 60), person(1, 230, 400)], 400), []),
    "absence, never manned": ({}, Script([], 400), [("begin", 300.0)]),
    "absence, unmanned at first": ({}, Script([person(1, 290, 400)], 400), []),
    "absence, not armed by a passer-by": ({}, Script([person(1, 5, 9)], 290), []),
    "sleep": ({}, Script([person(1, 0, 300)], 320, motion=wake(20, 250)), [("begin", 140.0), ("cleared", 255.0)]),
    "sleep, awake": ({}, Script([person(1, 0, 300)], 300, motion=MOVES), []),
    "sleep, leaves": ({}, Script([person(1, 0, 200)], 220, motion=0.0), [("begin", 120.0), ("cleared", 205.0)]),
    "sleep, moves now and then": ({}, Script([person(1, 0, 300)], 300, motion=now_and_then), []),
    "sound": (SIREN, Script(until=60, sounds=siren((10, 20))), [("begin", 11.0), ("cleared", 25.0)]),
    "sound, quiet": (SIREN, Script(until=60, sounds=lambda t: {"siren": 0.6}), []),
    "sound, other": (SIREN, Script(until=60, sounds=lambda t: {"dog": 0.9}), []),
    "sound, a click": (SIREN, Script(until=60, sounds=siren((10, 10.4))), []),
}  # fmt: skip


def kind_of(name: str) -> str:
    return re.split("[ ,]", name, maxsplit=1)[0]


@pytest.mark.parametrize("name", PLAIN)
def test_begins_and_ends(name: str) -> None:
    settings, script, expected = PLAIN[name]
    assert told(play(runner(kind_of(name), **settings), script)) == expected


@pytest.mark.parametrize("kind", ["intrusion", "fire_lane", "sleep", "parking", "line_crossing"])
def test_no_detection_at_all(kind: str) -> None:
    assert play(runner(kind), Script([], 600, motion=0.0)) == []


FLICKER = {
    "intrusion": (person(1, 10, 40), [(12, 12.2), (14.6, 14.8), (30, 30.2)], [("begin", 15.0), ("cleared", 45.0)]),
    "fire_lane": (Thing(1, 10, 150), [(20, 20.2), (69.8, 70), (99, 99.2)], [("begin", 70.0), ("cleared", 180.0)]),
    "absence": (person(1, 0, 60), [(20, 20.2), (40, 40.2)], [("begin", 240.0)]),
    "sleep": (person(1, 0, 300), [(20, 20.2), (119.8, 120)], [("begin", 120.0), ("cleared", 305.0)]),
}


@pytest.mark.parametrize("kind", FLICKER)
def test_one_missing_frame_changes_nothing(kind: str) -> None:
    thing, missing, expected = FLICKER[kind]
    assert told(play(runner(kind), Script(gaps(thing, *missing), 320, motion=0.0))) == expected


@pytest.mark.parametrize("fps", [0.7, 5.0, 25.0])
@pytest.mark.parametrize("kind", ["intrusion", "fire_lane", "sleep", "parking"])
def test_one_false_box_every_ten_seconds(kind: str, fps: float) -> None:
    label = "person" if kind == "sleep" else "car"
    same = [Thing(1, t, t + 1 / fps, SPOT, label) for t in range(10, 300, 10)]
    new = [Thing(t, t, t + 1 / fps, SPOT, label) for t in range(10, 300, 10)]
    for things in (same, new):
        assert play(runner(kind, fps), Script(things, 320, fps, motion=0.0)) == []


def test_a_false_person_every_ten_seconds_does_not_man_a_post() -> None:
    things = [person(1, 0, 60), *(person(t, t, t + 0.2) for t in range(75, 300, 10))]
    assert told(play(runner("absence"), Script(things, 300))) == [("begin", 240.0)]


def test_a_false_sound_every_ten_seconds() -> None:
    clicks = siren(*((t, t + 0.2) for t in range(10, 300, 10)))
    assert play(runner("sound", labels=["siren"]), Script(until=300, sounds=clicks)) == []


@pytest.mark.parametrize(("settings", "told"), [({}, 0), ({"score": 0.7}, 1)])
def test_a_bang_needs_a_higher_score_where_none_is_given(settings: dict[str, float], told: int) -> None:
    heard = Script(until=20, sounds=lambda t: {"gunshot": 0.75 if t == 5 else 0.0})
    events = play(runner("sound", labels=["gunshot"], **settings), heard)
    assert [event.phase for event in events].count("begin") == told


def test_one_leaves_and_another_arrives() -> None:
    leaving = path(SPOT, AWAY, 50, 54)
    cars = [Thing(1, 10, 60, leaving), Thing(2, 62, 190)]
    assert told(play(runner("fire_lane"), Script(cars, 240))) == [("begin", 122.0), ("cleared", 220.0)]
    people = [person(1, 10, 30, path(SPOT, AWAY, 20, 24)), person(2, 26, 50)]
    events = play(runner("intrusion"), Script(people, 80))
    assert [e.objects[0].subject for e in events if e.phase == "begin"] == ["track:1", "track:2"]
    assert told(events)[2] == ("begin", 31.0)


def test_a_relieved_guard_is_no_absence() -> None:
    guards = [person(1, 0, 100), person(2, 105, 600, ELSEWHERE)]
    assert play(runner("absence"), Script(guards, 600)) == []


def test_another_sleeper_starts_from_zero() -> None:
    people = [person(1, 0, 90), person(2, 96, 400, ELSEWHERE)]
    assert told(play(runner("sleep"), Script(people, 300, motion=0.0))) == [("begin", 216.0)]


def test_two_people_one_leaves() -> None:
    people = [person(1, 10, 30), person(2, 10, 50, ELSEWHERE)]
    events = play(runner("intrusion"), Script(people, 80))
    assert told(events) == [("begin", 15.0), ("begin", 15.0), ("cleared", 35.0), ("cleared", 55.0)]
    assert len({e.episode for e in events}) == 2
    assert told(play(runner("absence", min_people=1), Script(people, 50))) == []
    pair = [person(1, 0, 400), person(2, 0, 50, ELSEWHERE)]
    assert told(play(runner("absence", min_people=2), Script(pair, 300))) == [("begin", 230.0)]


SHIFT = {"timezone": "UTC", "windows": [{"from": "14:00", "to": "14:15"}]}  # closes 100 s after the script begins
EDGE = datetime(2026, 9, 21, 14, 15, tzinfo=UTC).timestamp() - START


@pytest.mark.parametrize("kind", ["intrusion", "fire_lane", "sleep"])
def test_a_schedule_edge_inside_an_episode(kind: str) -> None:
    assert EDGE == 100.0
    label = "car" if kind == "fire_lane" else "person"
    script = Script([Thing(1, 0, 300, SPOT, label)], 300, motion=0.0)
    events = play(runner(kind, schedule=SHIFT, **({"sleep": 60} if kind == "sleep" else {})), script)
    assert [e.phase for e in events if e.phase != "update"] == ["begin", "end"]
    assert (events[-1].end_reason, events[-1].monotonic) == ("schedule", 100.0)


def test_a_schedule_that_opens_starts_every_dwell_anew() -> None:
    night = {"timezone": "UTC", "windows": [{"from": "14:15", "to": "15:00"}]}
    assert told(play(runner("fire_lane", schedule=night), Script([Thing(1, 0, 300)], 300)))[0] == ("begin", 160.0)
    assert told(play(runner("absence", schedule=night), Script([person(1, 0, 90)], 450))) == [("begin", 400.0)]


def test_a_silent_camera_ends_at_the_schedule_too() -> None:
    script = Script([person(1, 0, 300)], 300, silent=between(90, 290))
    assert told(play(runner("intrusion", schedule=SHIFT), script)) == [("begin", 5.0), ("schedule", 100.8)]


@pytest.mark.parametrize("lost", [1.0, 3.0, 20.0, 29.0, 45.0])
@pytest.mark.parametrize("kind", ["fire_lane", "sleep", "absence"])
def test_camera_loss_during_the_dwell_freezes_it(kind: str, lost: float) -> None:
    things = {
        "fire_lane": [Thing(1, 10, 500)],
        "sleep": [person(1, 10, 500)],
        "absence": [person(1, 0, 15)],
    }[kind]
    dwell = {"fire_lane": 60.0, "sleep": 120.0, "absence": 185.0}[kind]
    script = Script(things, 400, silent=between(30.1, 30.1 + lost), motion=0.0)
    stood = min(2.0, lost + 0.2)  # the last sample before the silence stands for two seconds
    ((_, begun),) = told(play(runner(kind), script), "begin")
    assert begun == pytest.approx(10 + dwell + lost - stood, abs=0.5)


def test_camera_loss_while_open() -> None:
    car = Thing(1, 0, 300)
    short = Script([car], 340, silent=between(100, 129))
    long = Script([car], 340, silent=between(100, 155))
    for script in (short, long):
        assert told(play(runner("fire_lane"), script)) == [("begin", 60.0), ("cleared", 330.0)]


@pytest.mark.parametrize("then", [OUTSIDE, ELSEWHERE, None])
def test_after_a_long_silence_the_object_must_be_where_it_was(then: Box | None) -> None:
    moved = [Thing(1, 150, 200, then)] if then else []
    script = Script([Thing(1, 0, 100), *moved], 200, silent=between(100, 150))
    events = play(runner("fire_lane"), script)
    assert told(events) == [("begin", 60.0), ("source_lost", 155.2)]
    assert events[-1].ended_utc == pytest.approx(START + 99.8)


def test_after_a_long_silence_a_new_id_at_the_same_place_goes_on() -> None:
    script = Script([Thing(1, 0, 100), Thing(8, 151, 200)], 240, silent=between(100, 150))
    events = play(runner("fire_lane"), script)
    assert told(events) == [("begin", 60.0), ("cleared", 230.0)]
    assert events[-1].objects[0].subject == "track:8"


@pytest.mark.parametrize("kind", ["fire_lane", "intrusion", "absence"])
def test_a_dead_camera_does_not_look_like_an_empty_place(kind: str) -> None:
    things = [person(1, 0, 20)] if kind == "absence" else [Thing(1, 0, 900)]
    script = Script(things, 500, silent=between(250, 450))
    events = [e for e in play(runner(kind), script) if e.phase == "end"]
    assert [(e.end_reason, round(e.monotonic)) for e in events] == [("source_lost", 311)]


def test_a_dead_microphone() -> None:
    script = Script(until=200, sounds=siren((10, 500)), silent=between(50, 150))
    events = play(runner("sound", labels=["siren"], cooldown=0), script)
    assert told(events) == [("begin", 11.0), ("source_lost", 110.8), ("begin", 151.0)]


def test_restart_during_the_dwell_starts_it_anew() -> None:
    play(runner("fire_lane"), Script([Thing(1, 0, 40)], 40))
    after = runner("fire_lane")
    assert after.restore([], 45, START + 45) == []
    assert told(play(after, Script([Thing(7, 45, 200)], 150, offset=45))) == [("begin", 105.0)]


@pytest.mark.parametrize("box", [SPOT, (0.42, 0.52, 0.62, 0.72)])
def test_restart_with_the_object_still_there_goes_on(box: Box) -> None:
    before = runner("fire_lane")
    begin = play(before, Script([Thing(1, 0, 100)], 90))[0]
    after = runner("fire_lane")
    after.restore(before.open, 12.0, START + 130)  # another boot: the monotonic clock starts again
    assert [e.episode for e in after.open] == [begin.episode]
    events = play(after, Script([Thing(1, 15, 60, box)], 100, offset=15))
    assert told(events) == [("cleared", 90.0)]
    assert events[-1].episode == begin.episode
    assert events[-1].started_utc == begin.started_utc


@pytest.mark.parametrize("things", [[], [Thing(1, 15, 99, ELSEWHERE)], [person(2, 15, 99)]])
def test_restart_with_the_object_gone_ends(things: list[Thing]) -> None:
    before = runner("fire_lane")
    play(before, Script([Thing(1, 0, 100)], 90))
    after = runner("fire_lane")
    after.restore(before.open, 12.0, START + 130)
    assert told(play(after, Script(things, 60, offset=15))) == [("restart", 20.2)]


def test_restart_of_rules_without_boxes() -> None:
    before = runner("absence")
    play(before, Script([person(1, 0, 20)], 250))
    assert before.open
    after = runner("absence")
    after.restore(before.open, 0, START + 300)
    assert told(play(after, Script([person(1, 50, 90)], 90))) == [("cleared", 55.0)]


@pytest.mark.parametrize("gap", [0.0, 0.2, 1.5, 3.5])
@pytest.mark.parametrize("at", [40.0, 69.9, 120.0])
def test_the_tracker_switches_ids_while_a_car_stands(at: float, gap: float) -> None:
    cars = [Thing(1, 10, at), Thing(2, at + gap, 150, (0.405, 0.505, 0.6, 0.7), "truck")]
    events = play(runner("fire_lane"), Script(cars, 200))
    assert [what for what, _ in told(events)] == ["begin", "cleared"]
    assert told(events)[0][1] == pytest.approx(70, abs=gap + 0.2)
    assert len({e.episode for e in events}) == 1


def test_ids_switch_every_few_seconds() -> None:
    cars = [Thing(i, 10 + 4 * i, 14 + 4 * i) for i in range(40)]
    assert told(play(runner("fire_lane"), Script(cars, 220))) == [("begin", 70.0), ("cleared", 200.0)]
    sleepers = [person(t.id, t.start, t.end) for t in cars]
    assert told(play(runner("sleep"), Script(sleepers, 200, motion=0.0)))[0] == ("begin", 130.0)


def test_an_id_switch_of_a_walker() -> None:
    walk = path((0.22, 0.5, 0.32, 0.75), (0.68, 0.5, 0.78, 0.75), 10, 18)
    people = [person(1, 10, 13, walk), person(2, 13.2, 18, walk)]
    events = play(runner("intrusion"), Script(people, 40))
    assert told(events) == [("begin", 15.0), ("cleared", 23.0)]


def test_one_car_found_as_car_and_as_truck_is_one() -> None:
    cars = [Thing(1, 10, 150), Thing(2, 12, 100, (0.41, 0.5, 0.61, 0.7), "truck", 0.6)]
    assert told(play(runner("fire_lane"), Script(cars, 200))) == [("begin", 70.0), ("cleared", 180.0)]
    lost = [Thing(1, 10, 100), Thing(2, 12, 150, (0.41, 0.5, 0.61, 0.7), "truck", 0.6)]
    assert told(play(runner("fire_lane"), Script(lost, 200))) == [("begin", 70.0), ("cleared", 180.0)]


def test_a_score_that_wavers_ends_nothing_and_begins_nothing() -> None:
    sure, less = Thing(1, 10, 90), Thing(1, 90, 150, score=0.45)
    assert told(play(runner("fire_lane"), Script([sure, less], 200))) == [("begin", 70.0), ("cleared", 180.0)]
    assert play(runner("fire_lane"), Script([Thing(1, 10, 150, score=0.45)], 200)) == []


def test_headlights_at_night() -> None:
    """Glare makes boxes that wander through the lane, and hides the parked car for a moment."""
    glare = [Thing(50 + i, t, t + 3, path(OUTSIDE, ELSEWHERE, t, t + 3)) for i, t in enumerate(range(12, 200, 9))]
    assert play(runner("fire_lane"), Script(glare, 240)) == []
    car = gaps(Thing(1, 10, 200), (40, 41.5), (65, 67), (120, 123))
    assert told(play(runner("fire_lane"), Script([*glare, *car], 240)))[:1] == [("begin", 70.0)]


@pytest.mark.parametrize("new_id", [False, True])
@pytest.mark.parametrize(("start", "length"), [(20, 10), (30, 25), (40, 29), (60, 25), (100, 29)])
def test_a_lorry_passes_in_front_of_the_parked_car(start: float, length: float, new_id: bool) -> None:
    end = start + length
    cars = [Thing(1, 10, start), Thing(3 if new_id else 1, end, 250)]
    lorry = Thing(2, start - 5, end + 5, path(OUTSIDE, LORRY, start - 5, start), "truck")
    events = play(runner("fire_lane", vehicle=60), Script([*cars, lorry], 300))
    events = [e for e in events if e.objects[0].subject != "track:2"]
    assert [what for what, _ in told(events)] == ["begin", "cleared"]
    assert told(events)[0][1] == pytest.approx(max(70.0, end if start < 70 else 70.0), abs=0.3)


def test_a_car_that_left_behind_the_lorry_is_given_up() -> None:
    lorry = Thing(2, 75, 200, path(OUTSIDE, LORRY, 75, 80), "truck")
    events = play(runner("fire_lane", clear=10), Script([Thing(1, 0, 80), lorry], 190))
    first = [e for e in events if e.objects[0].subject == "track:1"]
    assert told(first) == [("begin", 60.0), ("cleared", 120.0)]  # hidden for 30 s, then missed for 10


def test_a_sudden_lorry_gives_the_place_back() -> None:
    """The first detection of a fast lorry lies over the car; the car's own track comes back."""
    over = path((0.41, 0.51, 0.61, 0.72), (0.85, 0.7, 0.99, 0.9), 30, 32)
    cars = [Thing(1, 10, 30), Thing(1, 31, 150)]
    events = play(runner("fire_lane"), Script([*cars, Thing(2, 30, 33, over, "truck")], 200))
    assert told(events) == [("begin", 70.0), ("cleared", 180.0)]


BUS, REAR, BEFORE = (0.08, 0.17, 0.78, 0.6), (0.2, 0.43, 0.42, 0.59), (0.2, 0.43, 0.42, 0.62)


@pytest.mark.parametrize(("box", "label", "alarms"), [(REAR, "car", 1), (BEFORE, "car", 2), (REAR, "person", 1)])
def test_the_rear_of_a_bus_is_no_car_of_its_own(box: Box, label: str, alarms: int) -> None:
    bus = Thing(1, 10, 200, BUS, "bus", score=0.9)
    events = play(runner("fire_lane"), Script([bus, Thing(2, 11, 200, box, label, score=0.55)], 200))
    assert len(told(events, "begin")) == alarms
    people = [Thing(1, 10, 200, BUS, "person", score=0.9), Thing(2, 11, 200, box, "person", score=0.55)]
    assert len(told(play(runner("loitering"), Script(people, 200)), "begin")) == 2  # a child before its mother


CAB, LORRY_OF_IT = (0.60, 0.29, 0.73, 0.565), (0.35, 0.3, 0.73, 0.56)
TALLER = (0.60, 0.21, 0.77, 0.565)  # that cab, with a passing car for a moment


@pytest.mark.parametrize("gap", [(90, 91), (90, 140), None])
def test_the_cab_of_a_lorry_found_before_the_lorry_is_the_lorry(gap: tuple[float, float] | None) -> None:
    """One alarm that lasts, whichever of the two is found, and while their boxes waver."""
    lorry = Thing(2, 32, 200, LORRY_OF_IT, "truck", score=0.6)
    lost, back = gap or (60, 64)
    cab = [Thing(1, 10, lost, CAB), Thing(1, back, 200, CAB)]
    if not gap:
        cab.append(Thing(1, lost, back, TALLER))
    assert told(play(runner("fire_lane"), Script([*cab, lorry], 240))) == [("begin", 70.0), ("cleared", 230.0)]


@pytest.mark.parametrize("score", [0.9, 0.68])
def test_a_lorry_that_drives_up_behind_a_car_is_another(score: float) -> None:
    arriving = path((-0.4, 0.3, -0.02, 0.56), LORRY_OF_IT, 30, 34)
    both = [Thing(1, 10, 200, CAB, score=score), Thing(2, 30, 200, arriving, "truck")]
    events = play(runner("fire_lane"), Script(both, 200))
    assert len(told(events, "begin")) == 2


@pytest.mark.parametrize("fault", ["frozen", "dark"])
def test_sleep_is_silent_on_a_bad_picture(fault: str) -> None:
    sleeper = [person(1, 0, 300)]
    bad = Script(sleeper, 300, motion=0.0, faults={(0, 300): fault})  # type: ignore[dict-item]
    assert play(runner("sleep"), bad) == []
    later = Script(sleeper, 300, motion=0.0, faults={(30, 60): fault})  # type: ignore[dict-item]
    ((_, begun),) = told(play(runner("sleep"), later), "begin")
    assert begun == pytest.approx(148, abs=0.5)


@pytest.mark.parametrize("fault", ["dark", "bright", "blurred", "moved"])
def test_absence_waits_while_the_picture_would_hide_a_guard(fault: str) -> None:
    """He is not found while it is covered, and that is no absence; who is found in spite of it mans the post."""
    covered = Script([person(1, 0, 40), person(2, 90, 300)], 300, faults={(43, 90): fault})  # type: ignore[dict-item]
    assert play(runner("absence", leave=20), covered) == []
    found = Script([person(1, 0, 60)], 200, faults={(0, 60): fault})  # type: ignore[dict-item]
    assert told(play(runner("absence", leave=20), found), "begin") == [("begin", 80.0)]
    gone = Script([person(1, 0, 40)], 200, faults={(43, 63): fault})  # type: ignore[dict-item]
    ((_, begun),) = told(play(runner("absence", leave=20), gone), "begin")
    assert begun == pytest.approx(80, abs=2.0)


def test_sleep_says_nothing_without_motion_or_about_unseen_people() -> None:
    assert play(runner("sleep"), Script([person(1, 0, 300)], 300)) == []
    unseen = Script([person(1, 0, 1)], 300, motion=0.0, infer_every=5000)
    assert told(play(runner("sleep"), unseen)) == [("begin", 120.0)]  # carried on by the gate: nothing moved


def test_who_works_with_pauses_is_awake_until_he_is_not() -> None:
    def hands(time: float) -> float:
        return 0.0 if time >= 100 or time % 4 < 1.6 else MOVES

    events = play(runner("sleep", sleep=30), Script([person(1, 0, 200)], 200, motion=hands))
    ((_, begun),) = told(events, "begin")
    assert begun == pytest.approx(130, abs=3)


@pytest.mark.parametrize("jump", [86400.0, -3600.0, -START])
def test_a_clock_jump_makes_and_hides_no_alarm(jump: float) -> None:
    def shape(events: list[Event]) -> list[tuple[str, float, float]]:
        return [(e.phase, e.monotonic, e.dwell_s) for e in events]

    calm = Script([Thing(1, 10, 150)], 200)
    for at in (30.0, 100.0):
        jumpy = Script(calm.things, 200, jumps={at: jump})
        events = play(runner("fire_lane"), jumpy)
        assert shape(events) == shape(play(runner("fire_lane"), calm))
        begin = events[0]
        assert begin.time_utc - begin.started_utc == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("polygon", "expected"), [(LANE.polygon, "cleared"), (((0, 0), (0.1, 0), (0.1, 0.1)), "config")]
)
def test_a_zone_edited_during_an_episode(polygon: tuple[tuple[float, float], ...], expected: str) -> None:
    before = runner("fire_lane")
    play(before, Script([Thing(1, 0, 150)], 90))
    edited = Zone("lane", "east", polygon)
    after = runner("fire_lane", zones={**ZONES, "lane": edited})
    after.restore(before.open, 90.0, START + 90, "config")
    assert [what for what, _ in told(play(after, Script([Thing(1, 90.2, 150)], 200, offset=90.2)))] == [expected]


def test_a_rule_removed_during_an_episode() -> None:
    run = runner("fire_lane")
    play(run, Script([Thing(1, 0, 150)], 90))
    assert told(run.end_all(91, START + 91, "config")) == [("config", 91)]
    assert run.open == ()


@pytest.mark.parametrize("pause", [12.0, 20.0, 60.0])
def test_dwell_does_not_add_up_over_visits(pause: float) -> None:
    visits = [Thing(1, t, t + 40) for t in (10.0, 50 + pause, 90 + 2 * pause)]
    assert play(runner("fire_lane"), Script(visits, 300)) == []
    people = [person(1, 10 + i * (3 + pause), 13 + i * (3 + pause)) for i in range(3)]
    assert play(runner("intrusion"), Script(people, 300)) == []


def test_a_guard_who_is_back_for_a_while_starts_the_absence_anew() -> None:
    guard = [person(1, 0, 60), person(1, 200, 206), person(1, 380, 400)]
    assert play(runner("absence"), Script(guard, 400)) == []


@pytest.mark.parametrize("told_after", [0.0, 6.0])
def test_an_object_counts_from_when_it_came_to_rest(told_after: float) -> None:
    bag = Thing(1, 10, 100, label="object", first=10 + told_after)
    assert told(play(runner("left_object"), Script(objects=[bag], until=130))) == [("begin", 70.0), ("cleared", 110.0)]


def test_an_object_that_lay_there_before_the_schedule_counts_from_its_start() -> None:
    night = {"timezone": "UTC", "windows": [{"from": "14:15", "to": "15:00"}]}
    bag = Thing(1, 10, 300, label="object")
    assert told(play(runner("left_object", schedule=night), Script(objects=[bag], until=250))) == [("begin", 160.0)]


def test_what_is_too_large_to_be_left_by_a_person() -> None:
    pile = Thing(1, 10, 200, (0.25, 0.45, 0.75, 0.85), label="object")
    assert play(runner("left_object"), Script(objects=[pile], until=200)) == []
    assert told(play(runner("fire_lane"), Script(objects=[pile], until=200))) == [("begin", 130.0)]
    assert play(runner("fire_lane", object=None), Script(objects=[pile], until=200)) == []


def test_a_dark_picture_does_not_take_the_bag_away() -> None:
    bag = gaps(Thing(1, 10, 300, label="object"), (100, 120))
    script = Script(objects=bag, until=250, faults={(100, 120): "dark"})
    assert told(play(runner("left_object"), script)) == [("begin", 70.0)]


def test_suitcases_of_a_model_that_knows_them() -> None:
    case = Thing(1, 10, 200, label="suitcase")
    assert play(runner("left_object"), Script([case], 200)) == []
    assert told(play(runner("left_object", labels=["suitcase"]), Script([case], 200))) == [("begin", 70.0)]


def test_a_bag_that_is_mistaken_for_a_car_is_left_and_no_object_in_the_lane() -> None:
    """In the lane the car that it is taken for is told."""
    objects = [Thing(1, 10, 50, label="object"), Thing(1, 50, 300, label="car")]
    assert told(play(runner("left_object"), Script(objects=objects, until=250))) == [("begin", 70.0)]
    assert play(runner("fire_lane"), Script(objects=objects, until=250)) == []


def test_who_is_cut_off_by_the_lower_edge_stands_in_a_zone_that_is_drawn_to_it() -> None:
    below = {"lane": Zone("lane", "east", ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)))}
    guard = person(1, 10, 60, (0.4, 0.6, 0.6, 1.0))
    assert len(play(runner("intrusion", zones=below), Script([guard], 50))) == 1


def test_an_object_in_the_lane_escalates_too() -> None:
    pallet = Thing(1, 10, 400, label="object")
    events = play(runner("fire_lane", update="1h"), Script(objects=[pallet], until=440))
    assert [(e.phase, round(e.monotonic), e.severity) for e in events] == [
        ("begin", 130, "high"), ("update", 310, "critical"), ("end", 430, "critical"),
    ]  # fmt: skip


@pytest.mark.parametrize(("missed_for", "taken", "begins"), [(2.4, False, 1), (8.0, False, 0), (2.4, True, 0)])
def test_in_a_crowd_one_who_is_behind_another_counts(missed_for: float, taken: bool, begins: int) -> None:
    """For three seconds, where nobody else is found at his place."""
    run, heard = runner("crowd", n=2, dwell=10), list[Event]()
    first, second = (0.3, 0.5, 0.4, 0.7), (0.5, 0.5, 0.6, 0.7)
    for i in range(150):
        time = i / 5
        last = time if time < 5 else time - (time - 5) % missed_for  # found now and then
        tracks = [track_of(1, first, time, time), track_of(2, second, time, last)]
        if taken and last < time:
            tracks[0] = track_of(1, second, time, time)
        heard += run.step(Scene("east", time, time, tracks=tuple(tracks)))
    assert sum(e.phase == "begin" for e in heard) == begins


def track_of(id: int, box: Box, time: float, last_seen: float) -> Track:
    foot = ((box[0] + box[2]) / 2, box[3])
    return Track(id, "person", box, 0.9, -10.0, last_seen, -10.0, (foot, foot), seen=last_seen == time)


def test_a_crowd_that_thins_out_and_one_that_wavers() -> None:
    def crowd(*sizes: tuple[float, float, int]) -> list[Thing]:
        places = [(0.21 + 0.055 * i, 0.5, 0.25 + 0.055 * i, 0.8) for i in range(10)]
        return [person(i, a, b, places[i]) for a, b, n in sizes for i in range(n)]

    wavers = crowd((10, 60, 10), (60, 120, 8), (120, 160, 7))
    assert told(play(runner("crowd", n=10), Script(wavers, 170))) == [("begin", 20.0), ("cleared", 130.0)]
    assert play(runner("crowd", n=10), Script(crowd((10, 160, 9)), 170)) == []
    (begin,) = play(runner("crowd", n=10, update="1h"), Script(crowd((10, 60, 10)), 50))
    assert (begin.objects[0].subject, begin.detail) == ("crowd:lane", {"people": 10, "n": 10})


def test_parking_while_waiting_in_traffic_and_the_bus_at_its_stop() -> None:
    queue = [Thing(i, t, t + 45, path(OUTSIDE, SPOT, t, t + 4)) for i, t in enumerate(range(10, 310, 50))]
    assert play(runner("illegal_parking", grace=60), Script(queue, 350)) == []
    bus = Script([Thing(1, 10, 500, SPOT, "bus")], 500)
    assert told(play(runner("illegal_parking"), bus)) == [("begin", 325.0)]
    assert play(runner("illegal_parking", ignore=["bus"]), bus) == []


@pytest.mark.parametrize(("out", "begins"), [(5.0, 70.0), (10.0, 70.0), (12.0, 102.0)])
def test_steps_outside_up_to_ten_seconds_belong_to_the_stay(out: float, begins: float) -> None:
    away = 30 + out
    stay = [person(1, 10, 30), person(1, 30, away, OUTSIDE), person(1, away, 200)]
    assert told(play(runner("loitering"), Script(stay, 150))) == [("begin", begins)]


def test_each_fault_is_an_episode_of_its_own() -> None:
    faults = {(10.0, 60.0): "dark", (40.0, 90.0): "moved", (100.0, 105.0): "blurred"}
    events = play(runner("tamper"), Script(faults=faults, until=130))  # type: ignore[arg-type]
    assert told(events) == [("begin", 20.0), ("begin", 50.0), ("cleared", 70.0), ("cleared", 100.0)]
    assert [e.objects[0].subject for e in events if e.phase == "begin"] == ["picture:dark", "picture:moved"]
    assert events[0].zone is None
    assert play(runner("tamper", faults=["frozen"]), Script(faults=faults, until=130)) == []  # type: ignore[arg-type]
