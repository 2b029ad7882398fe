"""Mailboxes, the supervisor, and the health of sources."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.clock import ManualClock
from smartbox.errors import SourceError
from smartbox.health import SILENT_S, SourceHealth
from smartbox.mailbox import CHUNKS, Mailboxes
from smartbox.supervise import Heartbeats, backoff, chain, supervise
from smartbox.types import AudioChunk, Frame

PICTURE = np.zeros((4, 4, 3), np.uint8)


def frame(source: str, seq: int) -> Frame:
    return Frame.of(source, seq, float(seq), float(seq), PICTURE)


def test_latest_frame_wins_and_the_loss_is_counted() -> None:
    boxes = Mailboxes(["a"])
    for seq in range(3):
        boxes.put(frame("a", seq))
    assert [s.seq for s in boxes.take(8, 1.0)] == [2]
    assert (boxes.received["a"], boxes.replaced["a"]) == (3, 2)
    assert boxes.take(8, 0.0) == []


def test_sound_is_a_short_ring_in_order() -> None:
    boxes = Mailboxes(["mic"])
    for seq in range(CHUNKS + 3):
        boxes.put(AudioChunk("mic", seq, float(seq), 0.0, 16000, np.zeros(4, np.float32)))
    assert [s.seq for s in boxes.take(8, 0.0)] == list(range(3, CHUNKS + 3))
    assert boxes.replaced["mic"] == 3


def test_a_busy_source_does_not_starve_the_others() -> None:
    boxes = Mailboxes(["a", "b", "c"])
    served = []
    for seq in range(9):
        for source in "abc":
            boxes.put(frame(source, seq))
        served += [s.source for s in boxes.take(1, 0.0)]
    assert {source: served.count(source) for source in "abc"} == {"a": 3, "b": 3, "c": 3}


def test_take_wakes_for_a_late_frame() -> None:
    boxes = Mailboxes(["a"])
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.extend(s.seq for s in boxes.take(1, 30.0)))
    thread.start()
    boxes.put(frame("a", 7))
    thread.join(5.0)
    assert taken == [7]


def test_supervisor_starts_anew_with_a_growing_pause_and_stops_when_told() -> None:
    clock, stop, tries = ManualClock(), threading.Event(), []

    def run(stop: threading.Event) -> bool:
        tries.append(clock.monotonic())
        if len(tries) == 8:
            return False
        raise SourceError("gone") from OSError("no route")

    reasons: list[str] = []
    supervise("east", run, stop, clock, 1.0, 8.0, lambda error: reasons.append(chain(error)))
    pauses = np.diff(tries)
    assert reasons[0] == "gone; because no route"
    assert all(min(8.0, 2.0**i) / 2 <= pause <= min(8.0, 2.0**i) for i, pause in enumerate(pauses))


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(10, 120))
def test_backoff_is_bounded(attempt: int, first: float, most: float) -> None:
    assert first / 2 <= backoff(attempt, first, most) <= most


def test_heartbeats_of_a_stuck_worker_are_stale() -> None:
    clock = ManualClock()
    beats = Heartbeats(clock)
    assert beats.stale(["inference"], 5.0) == []
    beats.beat("inference")
    clock.advance(6.0)
    beats.beat("publisher")
    assert beats.stale(["inference", "publisher"], 5.0) == ["inference"]


def test_health_tells_offline_silent_and_degraded_apart() -> None:
    health = SourceHealth(started=0.0)
    assert not health.judge(1.0, 1.0)
    health.sample(2.0)
    assert health.judge(2.0, 2.0)
    assert health.state == "online"
    health.faults = frozenset({"dark", "blurred"})
    assert health.judge(2.5, 2.5)
    assert (health.state, health.reason) == ("degraded", "blurred and dark")
    assert health.judge(3.0 + SILENT_S, 11.0)
    assert (health.state, health.reason) == ("offline", "delivers nothing")
    health.broke("rtsp://camera: 401")
    assert health.judge(12.0, 12.0)
    assert health.reason == "rtsp://camera: 401"
    health.sample(13.0)
    health.faults = frozenset()
    assert health.judge(13.0, 13.0)
    assert health.state == "online"
    assert health.fps == pytest.approx(1 / 11)
