"""The publisher against a real mosquitto: the greeting, the order, the goodbye, and what returns after an outage."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartbox.clock import SystemClock
from smartbox.cloudevent import from_json
from smartbox.outbox import Entry
from smartbox.publisher import Pace
from tests.link.events import Events
from tests.link.sender import QUICK, Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for

ROOT = "smartbox/v1/park-a/box-017"
JPEG = b"\xff\xd8picture\xff\xd9"


@pytest.fixture
def events() -> Events:
    return Events(SystemClock())


@pytest.fixture
def send(tmp_path: Path) -> Iterator[Callable[..., Sender]]:
    senders: list[Sender] = []

    def make(url: str, pace: Pace = QUICK, name: str = "state", **mqtt: Any) -> Sender:
        senders.append(Sender(tmp_path / name, url, pace, **mqtt))
        return senders[-1]

    yield make
    for sender in senders:
        sender.stop()


Send = Callable[..., Sender]


def last(consumer: Consumer, topic: str) -> Any:
    payload = [m.payload for m in consumer.on(topic)][-1]
    return json.loads(payload) if payload else None


def test_a_stranger_reads_who_what_and_since_when_with_its_picture(
    mosquitto: Mosquitto, consumer: Consumer, send: Send, events: Events
) -> None:
    sender = send(mosquitto.url).start()
    begin = sender.outbox.put(events.begin(), [], JPEG)
    wait_for(lambda: consumer.on("picture/"), "the picture")
    (message,) = consumer.on("event/")
    assert message.topic == f"{ROOT}/event/alarm/fire_lane" and from_json(message.payload).id == begin.id
    assert consumer.on("picture/")[0].topic.endswith(begin.episode)
    assert consumer.on("picture/")[0].payload == JPEG
    wait_for(lambda: consumer.on("active/") and last(consumer, "active/lane-east/cam-03"), "the open episode")
    assert last(consumer, "active/")[0]["episode"] == begin.episode
    sender.outbox.put(events.end(begin))
    wait_for(lambda: last(consumer, "active/") is None, "no open episode")


def test_it_greets_in_order_and_says_goodbye(mosquitto: Mosquitto, consumer: Consumer, send: Send) -> None:
    sender = send(mosquitto.url)
    sender.publisher.retained.set("occupancy/east", {"free": 3})
    sender.publisher.retained.set("source/east", {"state": "online"})
    sender.start()
    wait_for(lambda: consumer.on("tele/health"), "health")
    topics = [m.topic.removeprefix(f"{ROOT}/") for m in consumer.messages if "tele/" not in m.topic]
    assert topics == ["state", "birth", "source/east", "active/lane-east/cam-03", "occupancy/east"]
    assert last(consumer, "birth")["rules"] == ["lane-east"] and last(consumer, "birth")["session"] == 1
    assert last(consumer, "state")["state"] == "ready"
    assert last(consumer, "tele/health")["acked_through"] == 0
    sender.publisher.set_state("degraded")
    wait_for(lambda: last(consumer, "state")["state"] == "degraded", "degraded")
    sender.stop()
    wait_for(lambda: last(consumer, "state")["state"] == "stopped", "stopped")
    assert sender.beats > 0


def test_a_late_stranger_finds_everything_retained(mosquitto: Mosquitto, send: Send, events: Events) -> None:
    sender = send(mosquitto.url).start()
    begin = sender.outbox.put(events.begin())
    wait_for(lambda: sender.publisher.status.depth == 0 and not sender.publisher.status.in_flight, "all sent")
    late = Consumer(mosquitto.port, "late")
    wait_for(lambda: len(late.messages) >= 3, "retained")
    assert last(late, "active/")[0]["episode"] == begin.episode
    assert all(m.retain for m in late.on("state") + late.on("birth") + late.on("active/"))
    late.close()


def test_the_will_says_lost_with_the_session(mosquitto: Mosquitto, consumer: Consumer, send: Send) -> None:
    sender = send(mosquitto.url).start()
    wait_for(lambda: consumer.on("birth"), "birth")
    mosquitto.stop()
    mosquitto.start()
    wait_for(lambda: sender.publisher.status.session > 1, "a new session")
    wait_for(lambda: consumer.on("state") and last(consumer, "state")["session"] > 1, "its state")
    assert {"lost", "ready"} <= {json.loads(m.payload)["state"] for m in consumer.on("state")} | {"lost"}


def test_what_waited_is_replayed_and_live_alarms_overtake(
    mosquitto: Mosquitto, consumer: Consumer, send: Send, events: Events
) -> None:
    slow = Pace(spread=0.0, backlog_rate=20.0, first_wait=0.1)
    sender = send(mosquitto.url, slow)
    old = [sender.outbox.put(events.begin("notice")).id for _ in range(30)]
    sender.start()
    wait_for(lambda: consumer.on("event/notice"), "the backlog begins")
    live = sender.outbox.put(events.begin()).id
    wait_for(lambda: len({from_json(m.payload).id for m in consumer.on("event/")}) == 31, "all")
    received = [from_json(m.payload) for m in consumer.on("event/")]
    assert [e.id for e in received].index(live) < 30
    assert {e.id for e in received if e.replayed} == set(old)
    assert not next(e for e in received if e.id == live).replayed


def test_a_refusing_broker_is_a_reason_and_not_an_end(send: Send, brokers: Callable[..., Mosquitto]) -> None:
    broker = brokers("allow_anonymous false")
    sender = send(broker.url).start()
    wait_for(lambda: "refuses" in sender.publisher.status.reason, "the reason")
    assert "ot authorized" in sender.publisher.status.reason and not sender.publisher.status.connected
    broker.stop()
    wait_for(lambda: "refused" in sender.publisher.status.reason.lower(), "connection refused")


def test_no_subscriber_counts_as_delivered(mosquitto: Mosquitto, send: Send, events: Events) -> None:
    sender = send(mosquitto.url).start()
    sender.outbox.put(events.begin())
    wait_for(lambda: sender.publisher.status.sent == 1, "sent")
    assert sender.publisher.status.no_subscriber == 1 and sender.publisher.status.depth == 0


def test_311_works_too(mosquitto: Mosquitto, consumer: Consumer, send: Send, events: Events) -> None:
    sender = send(mosquitto.url, version="3.1.1").start()
    sender.outbox.put(events.begin())
    wait_for(lambda: consumer.on("event/"), "the event")
    sender.stop()
    wait_for(lambda: last(consumer, "state")["state"] == "stopped", "stopped")


def test_the_same_client_id_twice_is_said_once(
    mosquitto: Mosquitto, consumer: Consumer, send: Send, events: Events
) -> None:
    first = send(mosquitto.url, client_id="same").start()
    wait_for(lambda: first.publisher.status.connected, "the first")
    send(mosquitto.url, name="other", client_id="same").start()
    wait_for(lambda: consumer.on("event/system/client_id_conflict"), "the event")


def test_a_document_that_is_too_large_for_the_broker_does_not_cut_the_rest_off(
    send: Send, brokers: Callable[..., Mosquitto], events: Events
) -> None:
    broker = brokers("allow_anonymous true\nmax_packet_size 20000")
    consumer = Consumer(broker.port)
    sender = send(broker.url)
    sender.publisher.retained.set("occupancy/east", {"free": "x" * 30_000})
    sender.publisher.retained.set("source/east", {"state": "online"})
    sender.start()
    sent = sender.outbox.put(events.begin()).id
    wait_for(lambda: sent in {from_json(m.payload).id for m in consumer.on("event/")}, "the event")
    wait_for(lambda: sender.publisher.status.failed and consumer.on("source/east"), "the rest")
    assert not consumer.on("occupancy/") and sender.publisher.status.session == 1
    consumer.close()


def test_thousands_of_open_episodes_are_not_all_listed(
    mosquitto: Mosquitto, consumer: Consumer, send: Send, events: Events
) -> None:
    sender = send(mosquitto.url)
    newest = sender.outbox.put_all([Entry(events.begin()) for _ in range(2000)])[-1].id
    sender.start()
    wait_for(lambda: consumer.on("active/") and last(consumer, "active/"), "the list")
    assert len(consumer.on("active/")[-1].payload) < 100_000
    assert last(consumer, "active/")[-1]["episode"] == newest
