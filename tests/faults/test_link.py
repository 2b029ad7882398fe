"""Rows 1–7, 32 and 33: the broker goes, the line lies, the broker refuses, the box is told to stop."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from smartbox.cloudevent import from_json
from smartbox.publisher import Pace
from tests.faults.proxy import PUBACK, Proxy
from tests.faults.scripted import ScriptedBroker
from tests.link.events import Events
from tests.link.sender import QUICK, Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for

Box = Callable[..., Sender]
Tell = Callable[[str, object], None]


def ids(consumer: Consumer) -> set[str]:
    return {from_json(m.payload).id for m in consumer.on("event/")}


@pytest.mark.row(1)
def test_row_1_the_broker_goes_and_comes_six_times(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, events: Events, record_property: Tell
) -> None:
    sender = box(mosquitto.port)
    sent = set()
    for i in range(6):
        sent |= {sender.outbox.put(events.begin()).id for _ in range(20)}
        mosquitto.stop(hard=i % 2 == 1 and len(ids(consumer)) == len(sent))
        sent |= {sender.outbox.put(events.begin()).id for _ in range(20)}
        mosquitto.start()
    wait_for(lambda: sent <= ids(consumer), "everything", 60)
    wait_for(lambda: sender.publisher.status.depth == 0, "an empty outbox")
    record_property("repetitions", 6)
    record_property("events", len(sent))
    record_property("lost", len(sent - ids(consumer)))
    record_property("duplicates", len(consumer.on("event/")) - len(ids(consumer)))


@pytest.mark.row(2)
def test_row_2_a_black_hole_is_noticed_by_what_it_swallows(
    mosquitto: Mosquitto, consumer: Consumer, proxy: Proxy, box: Box, events: Events
) -> None:
    sender = box(proxy.port, replace(QUICK, puback_timeout=2.0), connect_timeout=1)
    wait_for(lambda: sender.publisher.status.connected and not sender.publisher.status.in_flight, "a connection")
    proxy.hole = True
    sent = {sender.outbox.put(events.begin()).id for _ in range(30)}
    wait_for(lambda: not sender.publisher.status.connected, "the hole noticed")
    proxy.hole = False
    wait_for(lambda: sent <= ids(consumer) and sender.publisher.status.connected, "everything after it")


@pytest.mark.faults
@pytest.mark.row(2)
def test_row_2_a_black_hole_is_noticed_in_silence(proxy: Proxy, box: Box, record_property: Tell) -> None:
    sender = box(proxy.port, Pace(health_every=3600.0))
    wait_for(lambda: sender.publisher.status.connected and not sender.publisher.status.in_flight, "a connection")
    proxy.hole = True
    began = time.monotonic()
    wait_for(lambda: not sender.publisher.status.connected, "the hole noticed", 45)
    record_property("noticed in silence after", f"{time.monotonic() - began:.1f} s")
    assert "keep alive" in sender.publisher.status.reason


@pytest.mark.faults
@pytest.mark.row(2)
def test_row_2_a_black_hole_is_noticed_by_a_message(
    proxy: Proxy, box: Box, events: Events, record_property: Tell
) -> None:
    """At the product's own pace."""
    sender = box(proxy.port, Pace(health_every=3600.0))
    wait_for(lambda: sender.publisher.status.connected and not sender.publisher.status.in_flight, "a connection")
    proxy.hole = True
    sender.outbox.put(events.begin())
    began = time.monotonic()
    wait_for(lambda: not sender.publisher.status.connected, "the hole noticed", 45)
    record_property("noticed by a message after", f"{time.monotonic() - began:.1f} s")


@pytest.mark.row(3)
def test_row_3_everything_retained_returns_to_a_broker_without_memory(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, events: Events, record_property: Tell
) -> None:
    sender = box(mosquitto.port)
    for name in ("east", "west"):
        sender.publisher.retained.set(f"source/{name}", {"state": "online"})
        sender.publisher.retained.set(f"occupancy/{name}", {"free": 3})
    sender.outbox.put(events.begin())
    wait_for(lambda: len(consumer.on("occupancy/")) == 2 and consumer.on("active/"), "before")
    mosquitto.stop(hard=True)
    mosquitto.wipe()
    mosquitto.start()
    late = Consumer(mosquitto.port, "late")
    wanted = {"state", "birth", "source/east", "source/west", "occupancy/east", "occupancy/west"}
    wanted |= {"active/lane-east/cam-03"}
    began = time.monotonic()
    wait_for(lambda: wanted <= {m.topic.split("/", 4)[4] for m in late.messages if m.payload}, "all topics", 10)
    record_property("topics", len(wanted))
    record_property("back after", f"{time.monotonic() - began:.1f} s")
    late.close()


@pytest.mark.row(4)
@pytest.mark.parametrize(
    ("delay", "loss", "count"), [(0.1, 0.05, 80), pytest.param(0.6, 0.02, 500, marks=pytest.mark.faults)]
)
def test_row_4_a_slow_line_never_has_more_than_the_window_in_flight(
    mosquitto: Mosquitto,
    consumer: Consumer,
    box: Box,
    events: Events,
    record_property: Tell,
    delay: float,
    loss: float,
    count: int,
) -> None:
    proxy = Proxy(mosquitto.port, delay, loss)
    sender = box(proxy.port)
    sent = {sender.outbox.put(events.begin()).id for _ in range(count)}
    wait_for(lambda: len(ids(consumer)) > 40, "some")
    mosquitto.stop()
    mosquitto.start()
    wait_for(lambda: sent <= ids(consumer), "all", 100)
    record_property(f"at {delay:g} s, {loss:.0%}: events", len(sent))
    record_property("sent again by TCP", proxy.lost)
    record_property("most in flight", f"{proxy.most_unacked}")
    assert 5 <= proxy.most_unacked <= 10
    proxy.close()


@pytest.mark.row(5)
def test_row_5_lost_pubacks_lose_nothing(
    mosquitto: Mosquitto, consumer: Consumer, proxy: Proxy, box: Box, events: Events, record_property: Tell
) -> None:
    sender = box(proxy.port, replace(QUICK, puback_timeout=0.5))
    wait_for(lambda: sender.publisher.status.connected, "a connection")
    proxy.eat = frozenset({PUBACK})
    sent = {sender.outbox.put(events.begin()).id for _ in range(25)}
    wait_for(lambda: proxy.accepted >= 3, "new connections")
    proxy.eat = frozenset()
    wait_for(lambda: sender.publisher.status.depth == 0, "all acknowledged")
    wait_for(lambda: ids(consumer) == sent, "exactly what was sent")
    record_property("events", len(sent))
    record_property("lost", len(sent - ids(consumer)))
    record_property("duplicates", len(consumer.on("event/")) - len(sent))


@pytest.mark.row(6)
@pytest.mark.parametrize("reason", [0x97, 0x87])
def test_row_6_a_refused_event_is_a_dead_letter_and_blocks_nobody(box: Box, events: Events, reason: int) -> None:
    bad = events.begin()
    broker = ScriptedBroker(lambda topic, payload: reason if bad.id.encode() in payload and "event/" in topic else 0)
    sender = box(broker.url)
    sender.outbox.put(bad)
    later = {sender.outbox.put(events.begin()).id for _ in range(20)}
    wait_for(lambda: later <= {json.loads(p)["id"] for t, p in broker.taken if "event/" in t}, "the later ones")
    wait_for(lambda: sender.outbox.depth().dead == 1, "the dead letter")
    assert sender.publisher.status.failed == 5
    broker.close()


@pytest.mark.faults
@pytest.mark.row(7)
def test_row_7_two_with_one_client_id_connect_less_than_once_a_second(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, record_property: Tell
) -> None:
    calm = replace(QUICK, first_wait=1.0, longest_wait=120.0)
    proxy = Proxy(mosquitto.port)
    began = time.monotonic()
    for _ in range(2):
        box(proxy.port, calm, client_id="same")
    wait_for(lambda: consumer.on("event/system/client_id_conflict"), "the event", 60)
    seconds = time.monotonic() - began
    record_property("connects of each per s", proxy.accepted / 2 / seconds)
    assert proxy.accepted <= 2 * (seconds + 2)
    proxy.close()


@pytest.mark.row(33)
def test_row_33_told_to_stop_under_load(
    mosquitto: Mosquitto, consumer: Consumer, box: Box, events: Events, record_property: Tell
) -> None:
    sender = box(mosquitto.port)
    stop, put = threading.Event(), set()

    def load() -> None:
        while not stop.is_set():
            put.add(sender.outbox.put(events.begin()).id)

    thread = threading.Thread(target=load)
    thread.start()
    wait_for(lambda: len(ids(consumer)) > 50, "some events")
    began = time.monotonic()
    sender._stop.set()
    sender._thread.join(5)
    assert not sender._thread.is_alive(), f"still running after {time.monotonic() - began:.1f} s"
    record_property("publisher stopped in", f"{time.monotonic() - began:.1f} s")
    stop.set()
    thread.join()
    wait_for(lambda: json.loads(consumer.on("state")[-1].payload)["state"] == "stopped", "stopped")
    left = {from_json(m.payload).id for m in sender.outbox.take(1_000_000)}
    wait_for(lambda: put <= ids(consumer) | left, "each event sent or still there")


@pytest.mark.row(32)
def test_row_32_no_name_no_broker_and_the_heart_beats_on(box: Box) -> None:
    sender = box("mqtt://no-such-broker.invalid")
    wait_for(lambda: sender.publisher.status.reason, "a reason", 40)
    beats = sender.beats
    wait_for(lambda: sender.beats > beats, "another heartbeat")
    assert "no-such-broker.invalid" in sender.publisher.status.reason
