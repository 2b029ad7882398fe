"""How fast the outbox is: figures for docs/reliability.md, measured against what the disk itself can do."""

import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smartbox.clock import SystemClock
from smartbox.cloudevent import from_json
from smartbox.ids import Uuid7
from smartbox.outbox import Entry, Outbox
from smartbox.publisher import Pace
from tests.link.events import Events
from tests.link.sender import QUICK, Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for

Tell = Callable[[str, object], None]
Box = Callable[..., Sender]
ROWS = 10_000


def outbox_at(state: Path) -> Outbox:
    clock = SystemClock()
    outbox = Outbox(state, clock, Uuid7(clock.utc, random.Random()), "park-a", "box-017")
    outbox.open()
    return outbox


def p99_ms(times: list[float]) -> float:
    return float(np.percentile(times, 99)) * 1000


@pytest.mark.faults
@pytest.mark.row("put")
def test_a_put_beside_a_bare_fdatasync(tmp_path: Path, events: Events, record_property: Tell) -> None:
    """In turn, so that both see the same disk and the same machine."""
    outbox = outbox_at(tmp_path / "state")
    bare, puts = [], []
    with (tmp_path / "bare").open("wb", buffering=0) as file:
        body = os.urandom(4096)
        for _ in range(1000):
            began = time.perf_counter()
            file.write(body)
            os.fdatasync(file.fileno())
            bare.append(time.perf_counter() - began)
            event = events.begin()
            began = time.perf_counter()
            outbox.put(event)
            puts.append(time.perf_counter() - began)
    outbox.close()
    ratio = p99_ms(puts) / p99_ms(bare)
    record_property("repetitions", len(puts))
    record_property("put p50/p99", f"{statistics.median(puts) * 1000:.2f}/{p99_ms(puts):.2f} ms")
    record_property("fdatasync p50/p99", f"{statistics.median(bare) * 1000:.2f}/{p99_ms(bare):.2f} ms")
    record_property("ratio of the p99", f"{ratio:.1f}")
    record_property("held", ratio <= 5)


@pytest.mark.faults
@pytest.mark.row("burst")
def test_bursts(tmp_path: Path, events: Events, record_property: Tell) -> None:
    """50 events a commit, and all of it sent and acknowledged between the bursts, for ten seconds."""
    outbox = outbox_at(tmp_path / "state")
    committed = 0
    began = time.perf_counter()
    while time.perf_counter() - began < 10:
        committed += len(outbox.put_all([Entry(events.begin()) for _ in range(50)]))
        outbox.ack(m.n for m in outbox.take(50))
    rate = committed / (time.perf_counter() - began)
    assert outbox.depth().events == 0
    outbox.close()
    record_property("repetitions", committed)
    record_property("put, handed out and acknowledged per s", f"{rate:.0f}")
    record_property("held", rate >= 1000)


@pytest.mark.faults
@pytest.mark.row("backlog")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rate", [500.0, Pace().backlog_rate])
def test_a_live_alarm_overtakes_ten_thousand(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, events: Events, rate: float, record_property: Tell
) -> None:
    """An alarm every second while the backlog goes out; each is timed from before its put to its receipt."""
    clock_at: dict[str, float] = {}
    pace = Pace(spread=0.0, backlog_rate=rate, health_every=QUICK.health_every)
    mosquitto.stop()
    sender = box(mosquitto.port, pace)
    old = set()
    for _ in range(ROWS // 100):
        begun = [events.begin("notice") for _ in range(50)]
        entries = [Entry(event) for begin in begun for event in (begin, events.end(begin))]
        old |= {e.id for e in sender.outbox.put_all(entries)}
    mosquitto.start()
    wait_for(lambda: sender.publisher.status.connected, "a connection", 200)
    began = time.monotonic()
    while sender.publisher.status.depth and time.monotonic() - began < ROWS / rate * 1.5 + 60:
        event = events.begin()
        clock_at[event.id] = time.monotonic()
        sender.outbox.put(event)
        time.sleep(1)  # the load's own pace
        sender.outbox.put(events.end(event))
    drained = time.monotonic() - began
    arrived: dict[str, float] = {}
    for message in consumer.on("event/"):
        arrived.setdefault(from_json(message.payload).id, message.timestamp)
    delays = [arrived[new_id] - at for new_id, at in clock_at.items() if new_id in arrived]
    at = f"at {rate:g}/s"
    record_property(f"{at}: drained in", f"{drained:.0f} s")
    record_property(f"{at}: live alarms", f"{len(delays)}")
    record_property(f"{at}: their delay p50/max", f"{statistics.median(delays) * 1000:.0f}/{max(delays) * 1000:.0f} ms")
    record_property("lost", len((old | clock_at.keys()) - arrived.keys()))
    record_property(f"held {rate:g}", max(delays) <= 1.0)
    assert old <= arrived.keys()


def test_quickly_that_a_live_alarm_overtakes_a_backlog(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, events: Events
) -> None:
    mosquitto.stop()
    sender = box(mosquitto.port, Pace(spread=0.0, backlog_rate=100.0, first_wait=0.1, longest_wait=0.3))
    old = [e.id for e in sender.outbox.put_all([Entry(events.begin("notice")) for _ in range(300)])]
    mosquitto.start()
    wait_for(lambda: consumer.on("event/notice"), "the backlog begins")
    live = sender.outbox.put(events.begin()).id
    wait_for(lambda: consumer.on("event/alarm"), "the alarm")
    before = {from_json(m.payload).id for m in consumer.on("event/notice")}
    assert len(before) < len(old) and consumer.on("event/alarm")[0].payload.find(live.encode()) >= 0
    wait_for(lambda: set(old) <= {from_json(m.payload).id for m in consumer.on("event/notice")}, "all of it")
