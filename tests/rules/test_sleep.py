"""sleep with a posture model: what counts as asleep, what wakes, and what it rests on."""

from collections.abc import Callable, Mapping

import pytest

from smartbox.types import Event
from tests.rules.script import Script, person, play, runner, told

Postures = Callable[[float], Mapping[int, Mapping[str, float]]]
UPRIGHT = {"upright": 0.9, "head-down": 0.05, "lying": 0.02, "unsure": 0.03}
DOWN = {"upright": 0.02, "head-down": 0.93, "lying": 0.02, "unsure": 0.03}
LYING = {"upright": 0.01, "head-down": 0.33, "lying": 0.6, "unsure": 0.06}
BENT = {"upright": 0.25, "head-down": 0.72, "lying": 0.02, "unsure": 0.01}  # low over a book
UNSURE = {"upright": 0.2, "head-down": 0.3, "lying": 0.1, "unsure": 0.4}


def postures(*spans: tuple[float, float, Mapping[str, float]], otherwise: Mapping[str, float] = UPRIGHT) -> Postures:
    def at(time: float) -> Mapping[int, Mapping[str, float]]:
        return {1: next((p for a, b, p in spans if a <= time < b), otherwise)}

    return at


def asleep(said: Postures, until: float = 320, motion: float | Callable[[float], float] = 0.0) -> Script:
    return Script([person(1, 0, until)], until, motion=motion, postures=said)


def watch(script: Script, **settings: object) -> list[Event]:
    return play(runner("sleep", model="postures", **settings), script)


@pytest.mark.parametrize("posture", [DOWN, LYING])
def test_head_down_or_lying_is_an_alarm(posture: Mapping[str, float]) -> None:
    events = watch(asleep(postures((20, 250, posture))))
    assert told(events) == [("begin", 140.0), ("cleared", 255.0)]
    begin = events[0]
    assert (begin.cls, begin.severity) == ("alarm", "medium")
    assert begin.detail["basis"] == "posture"
    assert begin.detail["posture"] == max(("head-down", "lying"), key=lambda label: posture[label])
    assert begin.detail["posture_score"] == pytest.approx(posture["head-down"] + posture["lying"])


def test_a_reader_who_keeps_still_is_awake() -> None:
    assert watch(asleep(postures())) == []


@pytest.mark.parametrize("sure", [0, 1, 2])
def test_who_bends_low_over_a_book_is_awake_though_some_looks_are_sure(sure: int) -> None:
    """Seen of a simulated reader in dark clothes: 0.5 to 0.8 for head-down, at one look in five more."""

    def said(time: float) -> Mapping[int, Mapping[str, float]]:
        return {1: DOWN if int(time) % 5 < sure else BENT}

    assert watch(asleep(said)) == []
    assert watch(asleep(said), sleep="15s", wake="3s") == []


def test_who_sleeps_needs_to_be_plain_only_at_first() -> None:
    said = postures((0, 130, DOWN), (130, 250, BENT))
    assert told(watch(asleep(said))) == [("begin", 120.0), ("cleared", 255.0)]


def test_a_lower_posture_score_is_content_with_less() -> None:
    assert told(watch(asleep(postures(otherwise=BENT)), posture_score=0.6), "begin") == [("begin", 120.0)]


def test_stillness_counts_unless_upright_is_plain_whatever_the_posture_score() -> None:
    doubtful = {"upright": 0.7, "head-down": 0.2, "lying": 0.05, "unsure": 0.05}
    assert watch(asleep(postures(otherwise=doubtful)), still_only=True) == []


@pytest.mark.parametrize("nothing", [UNSURE, {}])
def test_what_nobody_can_tell_is_no_sleep(nothing: Mapping[str, float]) -> None:
    assert watch(asleep(postures(otherwise=nothing))) == []


def test_some_doubtful_looks_hide_no_sleeper() -> None:
    def said(time: float) -> Mapping[int, Mapping[str, float]]:
        return {1: UNSURE if time % 4 < 1.2 else DOWN}

    ((_, begun),) = told(watch(asleep(said)), "begin")
    assert begun == pytest.approx(120, abs=3)


def test_clear_motion_wakes_whatever_the_posture() -> None:
    def stirs(time: float) -> float:
        return 0.3 if time >= 200 else 0.05  # breathing and noise are no motion

    assert told(watch(asleep(postures(otherwise=DOWN), motion=stirs))) == [("begin", 120.0), ("cleared", 205.0)]


def test_stillness_alone_stays_a_notice() -> None:
    (begin,) = [e for e in watch(asleep(postures(otherwise=UNSURE)), still_only=True) if e.phase == "begin"]
    assert (begin.cls, begin.severity, begin.detail) == ("notice", "low", {"basis": "still"})
    assert watch(asleep(postures()), still_only=True) == []  # plainly upright
    (begin,) = [e for e in watch(asleep(postures(otherwise=DOWN)), still_only=True) if e.phase == "begin"]
    assert begin.cls == "alarm"


def test_a_severity_that_was_set_holds_for_both() -> None:
    (begin, *_) = play(runner("sleep", severity="high"), Script([person(1, 0, 200)], 200, motion=0.0))
    assert (begin.cls, begin.severity) == ("notice", "high")


@pytest.mark.parametrize("fault", ["frozen", "dark"])
def test_a_bad_picture_says_nothing(fault: str) -> None:
    script = Script(
        [person(1, 0, 300)], 300, motion=0.0, postures=postures(otherwise=DOWN), faults={(0, 300): fault}  # type: ignore[dict-item]
    )  # fmt: skip
    assert watch(script) == []


def test_the_posture_is_that_of_the_person_in_the_zone() -> None:
    other = Script([person(2, 0, 300)], 300, motion=0.0, postures=postures(otherwise=DOWN))
    assert watch(other) == []


def test_one_missing_frame_changes_nothing() -> None:
    things = [person(1, 0, 60), person(1, 60.2, 119.8), person(1, 120, 300)]
    script = Script(things, 320, motion=0.0, postures=postures(otherwise=DOWN))
    assert told(watch(script)) == [("begin", 120.0), ("cleared", 305.0)]
