"""line_crossing: direction, hysteresis, counts."""

import pytest

from smartbox.geometry import Zone
from smartbox.types import Box, Event, Scene, Track
from tests.rules.script import Script, Thing, path, person, play, runner, told

WEST: Box = (0.25, 0.3, 0.35, 0.5)
EAST: Box = (0.65, 0.3, 0.75, 0.5)


def around(x: float) -> Box:
    """A box whose bottom centre is at x; the line stands at 0.5 and is walked downwards, so that its left is east."""
    return (x - 0.05, 0.3, x + 0.05, 0.5)


def directions(events: list[Event]) -> list[str]:
    return [e.detail["direction"] for e in events if e.phase == "begin"]


def test_a_crossing_is_a_begin_and_its_end_at_once() -> None:
    begin, end = play(runner("line_crossing"), Script([person(1, 0, 30, path(WEST, EAST, 5, 15))], 40))
    assert (begin.phase, end.phase, end.end_reason) == ("begin", "end", "cleared")
    assert begin.episode == end.episode == begin.id != end.id
    assert begin.monotonic == end.monotonic == pytest.approx(10.2, abs=0.21)
    assert begin.detail == {"direction": "right_to_left", "counts": {"right_to_left": {"person": 1}}}
    assert begin.zone == "line"


def test_running_counts_per_direction_and_label() -> None:
    things = [
        person(1, 0, 30, path(WEST, EAST, 5, 15)),
        person(2, 0, 30, path(WEST, EAST, 8, 18)),
        person(3, 0, 30, path(EAST, WEST, 9, 19)),
        Thing(4, 0, 30, path(EAST, WEST, 3, 6)),
    ]
    run = runner("line_crossing")
    events = play(run, Script(things, 40))
    assert len(events) == 8
    assert run.counts == {"left_to_right": {"person": 1, "car": 1}, "right_to_left": {"person": 2}}
    assert events[-1].detail["counts"] == run.counts


@pytest.mark.parametrize("direction", ["left_to_right", "right_to_left"])
def test_only_one_direction(direction: str) -> None:
    things = [person(1, 0, 30, path(WEST, EAST, 5, 15)), person(2, 0, 30, path(EAST, WEST, 8, 18))]
    assert directions(play(runner("line_crossing", direction=direction), Script(things, 40))) == [direction]


def test_standing_on_the_line_is_no_crossing() -> None:
    jitter = Thing(1, 0, 60, lambda t: around(0.5 + 0.008 * (-1) ** round(t * 5)), "person")
    assert play(runner("line_crossing"), Script([jitter], 60)) == []


def test_touching_the_line_and_turning_back_is_no_crossing() -> None:
    turn = Thing(1, 0, 60, lambda t: around(0.3 + min(t, 60 - t) / 30 * 0.207), "person")
    assert play(runner("line_crossing"), Script([turn], 60)) == []


def test_pausing_on_the_line_is_one_crossing() -> None:
    pause = Thing(1, 0, 60, lambda t: around(0.3 + 0.2 * min(t, 10) / 10 + 0.2 * max(0, t - 40) / 10), "person")
    assert directions(play(runner("line_crossing"), Script([pause], 49))) == ["right_to_left"]


def test_there_and_back_are_two() -> None:
    both = Thing(1, 0, 60, lambda t: around(0.3 + min(t, 60 - t) / 30 * 0.4), "person")
    assert directions(play(runner("line_crossing"), Script([both], 60))) == ["right_to_left", "left_to_right"]
    assert len(play(runner("line_crossing", cooldown="5min"), Script([both], 60))) == 2


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0, 25.0])
@pytest.mark.parametrize("infer_every", [1, 3])
def test_frame_rate_and_gated_frames_do_not_matter(fps: float, infer_every: int) -> None:
    script = Script([person(1, 0, 30, path(WEST, EAST, 5, 15))], 40, fps, infer_every=infer_every)
    events = play(runner("line_crossing", fps), script)
    assert directions(events) == ["right_to_left"]
    assert events[0].monotonic == pytest.approx(10.3, abs=infer_every / fps + 0.3)


def test_beside_the_lines_end_is_no_crossing() -> None:
    run = runner("line_crossing")
    low = (0.25, 0.9, 0.35, 1.1), (0.65, 0.9, 0.75, 1.1)  # bottom centres below the line's end
    assert play(run, Script([person(1, 0, 30, path(*low, 5, 15))], 40)) == []


def test_nobody_crosses_by_being_missed() -> None:
    walk = path(WEST, EAST, 5, 15)
    seen = [person(1, 0, 9, walk), person(1, 11, 30, walk)]
    assert directions(play(runner("line_crossing"), Script(seen, 40))) == ["right_to_left"]


def test_the_step_before_a_track_was_believed_counts() -> None:
    run = runner("line_crossing")
    quick = Track(1, "person", around(0.6), 0.9, 0.0, 0.2, 0.2, ((0.4, 0.5), (0.6, 0.5)))
    assert directions(run.step(Scene("east", 0.2, 0.2, (quick,)))) == ["right_to_left"]


def test_by_the_centre() -> None:
    walk = path((0.25, 0.9, 0.35, 1.1), (0.65, 0.9, 0.75, 1.1), 5, 15)  # its bottom passes beyond the line's end
    run = runner("line_crossing", anchor="center", zones={"line": Zone("line", "east", line=((0.5, 0.0), (0.5, 1.05)))})
    assert directions(play(run, Script([person(1, 0, 30, walk)], 40))) == ["right_to_left"]


def test_off_the_schedule() -> None:
    never = {"timezone": "UTC", "windows": [{"from": "02:00", "to": "03:00"}]}
    walker = Script([person(1, 0, 30, path(WEST, EAST, 5, 15))], 40)
    assert told(play(runner("line_crossing", schedule=never), walker)) == []


def test_a_wavering_box_of_who_stands_crosses_nothing_and_who_then_walks_on_does() -> None:
    """With his legs and without them a box ends now here and now there; the tracker knows that he has not moved."""
    run, told = runner("line_crossing"), list[Event]()
    trail = (0.4, 0.5)
    for i in range(100):
        time = i / 5
        stands = 2.0 <= time < 15.0
        x = 0.53 if stands and i % 3 == 0 else 0.47 if stands else 0.40 if time < 2.0 else 0.60
        before, trail = trail, (x, 0.5)
        moved = 1.0 if stands else time
        track = Track(1, "person", around(x), 0.9, 0.0, time, moved, (before, trail))
        told += [e for e in run.step(Scene("east", time, time, tracks=(track,))) if e.phase == "begin"]
    assert [e.monotonic for e in told] == [15.0]
