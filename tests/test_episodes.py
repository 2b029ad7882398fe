"""Episodes: what an event says, updates, cooldown, age; and what holds for every script."""

from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartbox.types import Event, Scene
from tests.rules.script import ELSEWHERE, OUTSIDE, SPOT, UTC, Script, Thing, person, play, runner, told


def test_what_a_begin_and_its_end_say() -> None:
    begin, end = (e for e in play(runner("fire_lane"), Script([Thing(7, 10, 100)], 140)) if e.phase != "update")
    assert (begin.cls, begin.kind, begin.rule, begin.camera, begin.zone) == (
        "alarm",
        "fire_lane",
        "rule",
        "east",
        "lane",
    )
    assert begin.episode == begin.id
    assert begin.severity == "high"
    assert begin.started_utc == pytest.approx(UTC + 10)
    assert begin.dwell_s == pytest.approx(60)
    assert (begin.ended_utc, begin.end_reason) == (None, None)
    assert (begin.objects[0].subject, begin.objects[0].label, begin.objects[0].xyxy) == ("track:7", "car", SPOT)
    assert (begin.monotonic, begin.time_utc) == (70.0, UTC + 70)
    assert (end.episode, end.end_reason) == (begin.id, "cleared")
    assert end.id != begin.id
    assert end.started_utc == begin.started_utc
    assert end.ended_utc == pytest.approx(UTC + 99.8)  # the last match, not the end of the wait for another
    assert end.dwell_s == pytest.approx(89.8)


def test_updates() -> None:
    events = play(runner("fire_lane", update="60s", escalate="10min"), Script([Thing(1, 10, 300)], 340))
    assert told(events, "update") == [("update", 130.0), ("update", 190.0), ("update", 250.0), ("update", 310.0)]
    assert {e.episode for e in events} == {events[0].id}


def test_a_change_of_severity_is_told_at_once() -> None:
    events = play(runner("fire_lane", update="1h", escalate="300s"), Script([Thing(1, 10, 400)], 440))
    assert told(events, "begin", "update", "end") == [("begin", 70.0), ("update", 310.0), ("cleared", 430.0)]
    assert [e.severity for e in events] == ["high", "critical", "critical"]


def test_cooldown_is_per_subject_and_delays() -> None:
    roams = [person(1, 10, 30), person(1, 30, 60, OUTSIDE), person(1, 60, 400), person(2, 60, 80, ELSEWHERE)]
    events = play(runner("intrusion"), Script(roams, 420))
    assert [(e.objects[0].subject, *told([e])[0]) for e in events if e.phase == "begin"] == [
        ("track:1", "begin", 15.0),
        ("track:2", "begin", 65.0),
        ("track:1", "begin", 335.0),
    ]
    assert told(play(runner("intrusion", cooldown=0), Script(roams, 420)))[2] == ("begin", 65.0)


def test_cooldown_is_not_for_who_comes_later() -> None:
    """A tracker may give the id of who left to the next one at the same place."""
    twice = Script([person(1, 10, 30), person(1, 60, 90)], 120)
    assert told(play(runner("intrusion"), twice), "begin") == [("begin", 15.0), ("begin", 65.0)]


def test_cooldown_of_a_sound() -> None:
    sirens = Script(until=420, sounds=lambda t: {"siren": 0.9 if 10 <= t < 20 or 60 <= t < 70 or 320 <= t < 400 else 0})
    events = play(runner("sound", labels=["siren"]), sirens)
    assert told(events, "begin") == [("begin", 11.0), ("begin", 325.0)]


def test_max_duration() -> None:
    events = play(runner("fire_lane", max_duration="100s", cooldown="50s"), Script([Thing(1, 0, 900)], 400))
    assert told(events) == [
        ("begin", 60.0),
        ("max_duration", 160.0),
        ("begin", 210.0),
        ("max_duration", 310.0),
        ("begin", 360.0),
    ]
    assert len({e.episode for e in events}) == 3


def test_open_tells_where_the_object_is_now() -> None:
    run = runner("fire_lane", update="1h")
    later = (0.42, 0.5, 0.62, 0.7)
    play(run, Script([Thing(1, 0, 80), Thing(1, 80, 100, later)], 90))
    (event,) = run.open
    assert (event.phase, event.objects[0].xyxy) == ("begin", later)
    assert run.occupancy is None
    assert run.counts is None


def test_a_scene_that_is_late_is_ignored() -> None:
    run = runner("intrusion", dwell=0)
    assert len(run.step(next(iter(Script([person(1, 10, 30)], 20, offset=10).scenes())))) == 1
    assert run.step(Scene("east", 9.0, UTC)) == []
    assert run.step(Scene("east", 10.0, UTC)) == []
    assert len(run.open) == 1


def test_zones_of_other_sources_are_not_looked_at() -> None:
    from smartbox.geometry import Zone

    other = Zone("lane", "west", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)))
    assert play(runner("intrusion", zones={"lane": other}), Script([person(1, 0, 50)], 60)) == []


def test_idle_before_the_first_frame_says_nothing() -> None:
    run = runner("absence")
    assert [run.idle(t, UTC + t) for t in (0.0, 50.0, 500.0)] == [[], [], []]
    assert told(play(run, Script([person(1, 500, 700)], 600, offset=500))) == []


def test_a_camera_that_is_not_there_after_a_restart() -> None:
    before = runner("fire_lane")
    play(before, Script([Thing(1, 0, 100)], 90))
    after = runner("fire_lane")
    after.restore(before.open, 5.0, UTC + 100)
    events = [e for t in range(5, 90) for e in after.idle(float(t), UTC + 95 + t)]
    assert told(events) == [("source_lost", 66.0)]


def test_restoring_is_for_the_own_source_and_open_episodes() -> None:
    before = runner("fire_lane")
    ended = play(before, Script([Thing(1, 0, 100)], 140))
    after = runner("fire_lane")
    after.restore(ended[-1:], 0, UTC)
    assert after.open == ()


def test_a_silence_holds_news_back_and_tells_ends() -> None:
    run = runner("fire_lane", update=60, escalate="10min")
    run.silence(100.0)
    cars = Script([Thing(1, 10, 300), Thing(2, 20, 50, ELSEWHERE)], 340)
    assert told(play(run, cars), "begin", "update", "end") == [
        ("begin", 100.0), ("update", 160.0), ("update", 220.0), ("update", 280.0), ("cleared", 330.0),
    ]  # fmt: skip
    run = runner("fire_lane", update=60, escalate="10min")
    script = Script([Thing(1, 0, 150)], 200)
    scenes = list(script.scenes())
    events = [e for scene in scenes[:400] for e in run.step(scene)]  # to 80 s
    run.silence(1000.0)
    events += [e for scene in scenes[400:] for e in run.step(scene)]
    assert told(events, "begin", "update", "end") == [("begin", 60.0), ("cleared", 180.0)]
    run.silence(0.0)
    assert told(play(run, Script([Thing(5, 300, 400, ELSEWHERE)], 450, offset=300)))[0] == ("begin", 360.0)


def test_a_silent_line_still_counts() -> None:
    run = runner("line_crossing")
    run.silence(50.0)
    walk = person(1, 10, 20, lambda t: (0.3 + 0.04 * (t - 10), 0.2, 0.4 + 0.04 * (t - 10), 0.5))
    assert play(run, Script([walk], 30)) == []
    assert run.counts == {"right_to_left": {"person": 1}}


def test_an_acknowledged_episode_tells_only_news() -> None:
    run = runner("fire_lane", update=60, escalate="300s")
    script = Script([Thing(1, 0, 400)], 440)
    scenes = list(script.scenes())
    events = [e for scene in scenes[:500] for e in run.step(scene)]  # to 100 s
    assert run.acknowledge("id-99", "guard", 100.0, UTC + 100) == []
    (seen,) = run.acknowledge(events[0].episode, "guard", 100.0, UTC + 100)
    assert (seen.phase, seen.detail["acknowledged"]) == ("update", {"by": "guard", "at": "2026-09-21T14:15:00.000Z"})
    later = [e for scene in scenes[500:] for e in run.step(scene)]
    assert told(later, "update", "end") == [("update", 300.0), ("cleared", 430.0)]  # critical now, and over
    assert all(e.detail["acknowledged"]["by"] == "guard" for e in later)


def test_an_acknowledgement_survives_a_restart() -> None:
    before = runner("fire_lane", update=60, escalate="1h")
    begin = play(before, Script([Thing(1, 0, 100)], 90))[0]
    before.acknowledge(begin.episode, "guard", 90.0, UTC + 90)
    after = runner("fire_lane", update=60, escalate="1h")
    after.restore(before.open, 0, UTC + 100)
    events = play(after, Script([Thing(1, 1, 200)], 240, offset=1))
    assert told(events, "update", "end") == [("cleared", 230.0)]


def test_who_waits_for_his_alarm_can_be_followed() -> None:
    run = runner("fire_lane")
    scenes = list(Script([Thing(1, 10, 30), Thing(2, 30.2, 200)], 100).scenes())
    shares, numbers = [], set()
    for scene in scenes:
        run.step(scene)
        for waiting in run.waiting:
            shares.append(waiting.share)
            numbers.add(waiting.number)
            assert waiting.started_at == 10.0
    assert numbers == {1}
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0, abs=0.01)
    assert run.waiting == ()
    assert run.number_of(run.open[0].episode) == 1


# What holds for every script -----------------------------------------------------------------------------------------

spans = st.tuples(st.floats(0, 150), st.floats(0.1, 120), st.integers(1, 6), st.sampled_from([SPOT, ELSEWHERE]))


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Cars and persons that come and go, a camera that falls silent, any frame rate."""
    things: list[Thing] = []
    for start, length, number, box in draw(st.lists(spans, max_size=6)):
        if not any(t.id == number and t.start < start + length and start < t.end for t in things):
            things.append(Thing(number, start, start + length, box, draw(st.sampled_from(["car", "truck", "person"]))))
    silent = draw(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 90)), max_size=2))
    fps = draw(st.sampled_from([1.0, 2.0, 5.0]))
    every = draw(st.sampled_from([1, 2, 3]))
    return Script(things, 200, fps, silent=[(a, a + n) for a, n in silent], motion=0.0, infer_every=every)


KINDS = ["intrusion", "fire_lane", "absence", "sleep", "parking"]
SHORT = {
    "intrusion": {"dwell": 3}, "fire_lane": {"vehicle": 10, "clear": 5, "max_duration": 60}, "absence": {"leave": 20},
    "sleep": {"sleep": 10}, "parking": {"overstay": 20},
}  # fmt: skip


def checked(kind: str, script: Script, **more: object) -> list[Event]:
    return play(runner(kind, script.fps, cooldown=0, **SHORT[kind], **more), script)


@settings(max_examples=60, deadline=None)
@given(scripts(), st.sampled_from(KINDS))
def test_every_episode_begins_once_and_ends_at_most_once(script: Script, kind: str) -> None:
    events = checked(kind, script)
    assert len({e.id for e in events}) == len(events)
    for episode in {e.episode for e in events}:
        phases = [e.phase for e in events if e.episode == episode]
        assert phases[0] == "begin"
        assert phases.count("begin") == 1
        assert "end" not in phases[:-1]
    for a, b in pairwise(events):
        assert a.monotonic <= b.monotonic
    for e in events:
        assert e.started_utc <= e.time_utc + 1e-6
        assert e.ended_utc is None or e.started_utc - 1e-6 <= e.ended_utc <= e.time_utc + 1e-6
        assert (e.phase == "end") == (e.end_reason is not None)


@settings(max_examples=25, deadline=None)
@given(scripts(), st.sampled_from(KINDS))
def test_the_same_script_tells_the_same(script: Script, kind: str) -> None:
    assert checked(kind, script) == checked(kind, script)


@settings(max_examples=40, deadline=None)
@given(scripts(), st.sampled_from(KINDS))
def test_no_event_outside_the_schedule(script: Script, kind: str) -> None:
    window = {"timezone": "UTC", "windows": [{"from": "14:14", "to": "14:15"}]}  # 40 s to 100 s of the script
    events = checked(kind, script, schedule=window)
    for e in events:
        assert 40 <= e.monotonic < 100 or (e.end_reason == "schedule" and e.monotonic <= 100 + 92)
    assert sum(e.phase == "begin" for e in events) == sum(e.phase == "end" for e in events)


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 25), st.floats(5, 20), st.floats(15, 60))
def test_the_frame_rate_changes_nothing_but_a_frames_time(fps: float, start: float, length: float) -> None:
    script = Script([Thing(1, start, start + length)], start + length + 20, fps)
    begin, end = (e for e in checked("fire_lane", script) if e.phase != "update")
    assert start + 10 <= begin.monotonic + 1e-6 <= start + 10 + 2 / fps + 2e-6
    stop = start + length + 5
    assert stop - 1 / fps - 1e-6 <= end.monotonic <= stop + 2 / fps + 1e-6


@settings(max_examples=25, deadline=None)
@given(scripts())
def test_a_restart_loses_no_end(script: Script) -> None:
    scenes = list(script.scenes())
    half = len(scenes) // 2
    ids = count()
    first, second = (runner("fire_lane", script.fps, ids=ids, cooldown=0, **SHORT["fire_lane"]) for _ in range(2))
    events = [e for scene in scenes[:half] for e in first.step(scene)]
    second.restore(first.open, scenes[half].time - 0.01, scenes[half].utc)
    events += [e for scene in scenes[half:] for e in second.step(scene)]
    events += second.end_all(400, UTC + 400, "config")
    begun = [e.episode for e in events if e.phase == "begin"]
    assert sorted(begun) == sorted(e.episode for e in events if e.phase == "end")
