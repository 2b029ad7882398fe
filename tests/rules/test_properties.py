"""What holds for every rule and everything that may happen before it."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smartbox.types import Event
from tests.rules.test_table import COLUMNS, Row, Span, events_of

INSTANT = {"line"}
LASTING = sorted(COLUMNS.keys() - INSTANT)


visits = st.tuples(st.floats(12, 150), st.floats(0.1, 90), st.integers(1, 4), st.integers(0, 1))


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Up to five visits of four subjects at two places, silences, glare; any frame rate."""
    spans: list[Span] = []
    for start, length, who, place in draw(st.lists(visits, min_size=1, max_size=5)):
        if not any(s.who == who and s.start < start + length and start < s.end for s in spans):
            spans.append(Span(start, start + length, who, place))
    merged: list[list[float]] = []
    for start, end in sorted((s.start, s.end) for s in spans):
        if merged and start <= merged[-1][1] + 0.1:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    away = [0.0, *(t for pair in merged for t in pair), 1e9]
    silent = draw(st.lists(st.tuples(st.floats(0, 160), st.floats(0, 80)), max_size=2))
    return Row(
        sorted(spans),
        until=180,
        fps=draw(st.sampled_from([1.0, 2.0, 5.0])),
        guards=[Span(a, b) for a, b in zip(away[::2], away[1::2], strict=True)],
        silent=[(a, min(a + n, 175.0)) for a, n in silent],  # a picture at the end says what has ended meanwhile
        glare=draw(st.booleans()),
    )


def simple(start: float, end: float, fps: float, until: float) -> Row:
    return Row((Span(start, end),), until=until, fps=fps)


@settings(max_examples=50)
@given(rows(), st.sampled_from(sorted(COLUMNS)))
@example(Row((Span(12, 33), Span(12, 47, 2), Span(34, 57, 1, 1)), until=180, fps=1.0), "illegal")
def test_begins_and_ends_alternate(row: Row, column: str) -> None:
    events = events_of(column, row)
    assert len({e.id for e in events}) == len(events)
    assert all(a.monotonic <= b.monotonic for a, b in pairwise(events))
    for episode in {e.episode for e in events}:
        phases = [e.phase for e in events if e.episode == episode]
        assert phases[0] == "begin"
        assert phases.count("begin") == 1
        assert "end" not in phases[:-1]
    last_name = {e.episode: e.objects[0].subject for e in events if column not in INSTANT}
    open_by_subject: dict[str, str] = {}
    for e in (e for e in events if e.phase != "update" and column not in INSTANT):
        subject = e.objects[0].subject
        if e.phase == "begin":
            other = open_by_subject.get(subject)  # which may go on as another track that took it over
            assert other is None or last_name[other] != subject, "a second begin of what is open"
            open_by_subject[subject] = e.episode
        else:
            open_by_subject = {s: episode for s, episode in open_by_subject.items() if episode != e.episode}


@settings(max_examples=40)
@given(rows(), st.sampled_from(sorted(COLUMNS)))
def test_a_replay_tells_the_same(row: Row, column: str) -> None:
    assert events_of(column, row) == events_of(column, row)


@settings(max_examples=40)
@given(rows(), st.sampled_from(sorted(COLUMNS)))
def test_no_event_outside_the_schedule(row: Row, column: str) -> None:
    """On from 40 to 100 s. An end may come late when no picture says how late it is, but then for the schedule."""
    events = events_of(column, replace(row, schedule=("14:14", "14:15")))
    for e in events:
        assert 40 <= e.monotonic < 100 or (e.phase == "end" and e.end_reason == "schedule")
    assert sum(e.phase == "begin" for e in events) == sum(e.phase == "end" for e in events)


@settings(max_examples=40)
@given(st.floats(1, 25), st.floats(25, 40), st.floats(30, 60), st.sampled_from(LASTING))
def test_the_frame_rate_changes_nothing_but_a_frames_time(fps: float, start: float, length: float, column: str) -> None:
    """One frame until it is seen, one until it is due."""
    end = start + length
    begin, over = [e for e in events_of(column, simple(start, end, fps, end + 15)) if e.phase != "update"]
    assert start + 20 <= begin.monotonic + 1e-6 <= start + 20 + 2 / fps + 2e-6
    assert end + 10 - 1 / fps - 1e-6 <= over.monotonic <= end + 10 + 2 / fps + 1e-6


@settings(max_examples=20)
@given(st.floats(1, 25), st.floats(25, 40))
def test_a_crossing_is_told_within_the_frames_that_show_it(fps: float, start: float) -> None:
    (begin, end) = events_of("line", simple(start, start + 10, fps, start + 20))
    assert start <= begin.monotonic <= start + 0.1 + 1 / fps + 1e-6
    assert (begin.phase, end.phase, begin.monotonic) == ("begin", "end", end.monotonic)


def shape(events: list[Event]) -> list[tuple[str, float]]:
    return [(e.phase, e.monotonic) for e in events]


@settings(max_examples=20)
@given(st.sampled_from([86400.0, -3600.0, -1.79e9]), st.floats(10, 120), st.sampled_from(LASTING))
def test_a_clock_jump_moves_nothing(jump: float, at: float, column: str) -> None:
    assert shape(events_of(column, Row(jumps={at: jump}))) == shape(events_of(column, Row()))
