"""The dwell machine against its definition in docs/guide/rules.md."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.dwell import Dwell, DwellSpec, freeze_gap


def follow(spec: DwellSpec, holds: Callable[[float], bool | None], fps: float, until: float) -> list[tuple[str, float]]:
    """What happens to one subject, and when; the machine is fed as the runner feeds it."""
    told: list[tuple[str, float]] = []
    dwell: Dwell | None = None
    for i in range(int(until * fps) + 1):
        time = i / fps
        if dwell is None:
            if holds(time):
                dwell = Dwell(spec, time)
        else:
            dwell.sample(time, 1 / fps, holds(time))
        if dwell and dwell.over:
            told.append(("end" if dwell.begun else "drop", time))
            dwell = None
        elif dwell and dwell.ready:
            dwell.begun = True
            told.append(("begin", time))
    return told


def test_begins_after_dwell_and_ends_after_end() -> None:
    told = follow(DwellSpec(60, 30), lambda t: 10 <= t < 100, 5, 200)
    assert told == [("begin", 70.0), ("end", 130.0)]


def test_dwell_zero_begins_at_the_first_match() -> None:
    assert follow(DwellSpec(0, 5), lambda t: t == 10, 5, 20)[0] == ("begin", 10.0)


@pytest.mark.parametrize(
    ("hit", "of", "begins"),
    [(1, 10, False), (5, 10, False), (6, 10, True), (7, 10, True), (10, 10, True)],
)
def test_the_share_decides_whether_it_begins(hit: int, of: int, begins: bool) -> None:
    told = follow(DwellSpec(60, 30), lambda t: round(t * 5) % of < hit, 5, 120)
    assert (("begin" in dict(told)) is begins) or pytest.fail(str(told))


@pytest.mark.parametrize("gap", [1.0, 4.0, 7.8])
def test_an_open_episode_bears_gaps_shorter_than_its_end(gap: float) -> None:
    told = follow(DwellSpec(10, 8), lambda t: not 50 <= t < 50 + gap, 5, 100)
    assert told == [("begin", 10.0)]


def test_a_candidate_is_dropped_when_its_share_falls() -> None:
    assert follow(DwellSpec(60, 30), lambda t: t < 20, 5, 60) == [("drop", 28.2)]  # 1.8 s of the last 10 s


def test_a_candidate_that_would_have_ended_starts_anew() -> None:
    told = follow(DwellSpec(60, 5), lambda t: not 40 <= t < 46, 5, 150)
    assert told == [("drop", 45.0), ("begin", 106.0)]


def test_who_has_left_does_not_begin() -> None:
    assert [what for what, _ in follow(DwellSpec(5, 5), lambda t: 10 <= t < 14.8, 5, 40)] == ["drop"]


def test_hidden_time_runs_on_but_says_nothing() -> None:
    told = follow(DwellSpec(60, 30), lambda t: None if 20 <= t < 50 else True, 5, 100)
    assert told == [("begin", 60.0)]
    told = follow(DwellSpec(60, 30), lambda t: None if 50 <= t < 75 else True, 5, 100)
    assert told == [("begin", 75.0)]  # nothing begins while hidden


def test_silence_adds_no_time() -> None:
    dwell = Dwell(DwellSpec(60, 30), 0.0)
    for time in range(1, 31):
        dwell.sample(time, 1, True)
    dwell.sample(130.0, freeze_gap(5), True)
    assert dwell.elapsed == 32.0


@pytest.mark.parametrize(("fps", "gap"), [(25, 2.0), (5, 2.0), (1, 2.5), (0.5, 5.0)])
def test_the_freeze_gap_follows_the_frame_rate(fps: float, gap: float) -> None:
    assert freeze_gap(fps) == gap


def test_a_resumed_one_goes_on_where_it_was() -> None:
    dwell = Dwell.resumed(DwellSpec(60, 30), last_match=100.0, elapsed=80.0)
    dwell.sample(110.0, 2.0, True)
    assert dwell.begun
    assert not dwell.over
    assert (dwell.elapsed, dwell.last_match) == (82.0, 110.0)


@given(
    fps=st.floats(1, 25),
    start=st.floats(0, 20),
    length=st.floats(0, 120),
    dwell=st.floats(0, 60),
    end=st.floats(0.5, 30),
)
def test_every_frame_rate_tells_the_same_within_a_frame(
    fps: float, start: float, length: float, dwell: float, end: float
) -> None:
    stop = start + length
    frame = 1 / fps + 1e-4
    told = follow(DwellSpec(dwell, end), lambda t: start <= t < stop, fps, stop + dwell + end + 5)
    begins = [time for what, time in told if what == "begin"]
    if length >= dwell + 2 * frame:
        assert len(begins) == 1
        assert start + dwell - 1e-4 <= begins[0] <= start + dwell + 2 * frame  # of the first match, then of the begin
        assert told[-1][0] == "end"
        assert stop + end - frame <= told[-1][1] <= stop + end + 2 * frame
    if length < dwell - 1e-4:
        assert not begins


@given(st.lists(st.booleans(), min_size=1, max_size=400), st.floats(0, 20), st.floats(0.5, 20), st.floats(1, 25))
def test_begins_and_ends_alternate(pattern: list[bool], dwell: float, end: float, fps: float) -> None:
    def holds(time: float) -> bool:
        i = round(time * fps)
        return i < len(pattern) and pattern[i]

    told = [what for what, _ in follow(DwellSpec(dwell, end), holds, fps, len(pattern) / fps + 60)]
    kept = [what for what in told if what != "drop"]
    assert kept == ["begin", "end"] * (len(kept) // 2)
