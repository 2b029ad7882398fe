"""What the contract of the wire fixes and no other test looks at: its numbers, its qualities, and what can be off."""

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbox import cloudevent, occupancy
from smartbox.clock import ManualClock
from smartbox.cloud import command, desired, media
from smartbox.evidence import THUMBNAIL_BYTES
from smartbox.mqtt import MqttSettings
from smartbox.occupancy import Occupancy
from smartbox.outbox import Limits
from smartbox.pace import Backlog, Pace
from smartbox.retained import Retained
from tests.link.box import Box, Cloud
from tests.link.sender import Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for

CONF = Path(__file__).resolve().parents[2] / "deploy" / "broker" / "mosquitto.conf"


def test_the_numbers_of_the_contract() -> None:
    """What is changed here is changed for everybody who connects boxes."""
    mqtt, pace, limits = MqttSettings(), Pace(), Limits()
    assert (mqtt.version, mqtt.keepalive, pace.puback_timeout, pace.window) == ("5", 20, 15, 10)
    assert (pace.spread, pace.backlog_rate, pace.first_wait, pace.longest_wait) == (10, 20, 1, 120)
    assert (pace.health_every, occupancy.EVERY_S) == (60, 60)
    assert (limits.events, limits.bytes, limits.age) == (100_000, 512_000_000, 30 * 86400)
    assert (limits.history_rows, limits.history_bytes, limits.history_age) == (50_000, 128_000_000, 30 * 86400)
    assert (cloudevent.LIMIT, THUMBNAIL_BYTES) == (8 * 1024, 48 * 1024)
    assert (command.LIMIT, desired.LIMIT, media.WHOLE) == (16 * 1024, 256 * 1024, 20_000_000)
    assert (mqtt.host, mqtt.port) == ("127.0.0.1", 18830), "the demo's broker is on loopback"


def test_the_shipped_broker_keeps_what_it_has_taken() -> None:
    told = dict(line.split(maxsplit=1) for line in CONF.read_text().splitlines() if line.strip() and line[0] != "#")
    assert (told["persistence"], told["autosave_interval"]) == ("true", "1")
    assert int(told["max_queued_bytes"]) == 2**30 and int(told["max_queued_messages"]) >= 10_000_000
    assert told["allow_anonymous"] == "false"


def test_waits_between_connects_double_and_are_random() -> None:
    pace, dice = Pace(), random.Random(3)
    for failures, longest in enumerate((1, 1, 2, 4, 8, 16, 32, 64, 120, 120)):
        waits = [pace.reconnect_wait(failures, dice) for _ in range(500)]
        assert min(waits) < 0.05 * longest and 0.95 * longest < max(waits) <= longest
    assert pace.reconnect_wait(10**6, dice) <= 120


def test_a_backlog_waits_at_random_and_then_trickles() -> None:
    firsts = [Backlog(5, ManualClock(), Pace(), random.Random(seed)).wait() for seed in range(200)]
    assert 0 <= min(firsts) < 0.5 and 9.5 < max(firsts) <= 10
    clock = ManualClock()
    backlog, sent = Backlog(1000, clock, Pace(), random.Random(1)), 0
    clock.advance(backlog.wait())
    for _ in range(1000):
        if backlog.wait() <= 0:
            count = backlog.allowed(10)
            backlog.took(count)
            sent += count
        clock.advance(0.01)
    assert sent == pytest.approx(10 * 20, abs=4), "twenty a second, for ten seconds"


def test_occupancy_is_told_on_change_and_every_minute() -> None:
    clock, retained = ManualClock(), Retained()
    told = Occupancy(retained, clock)
    times = []
    for second in range(150):
        told.tell("lot", {"P1": "occupied" if second >= 90 else "free", "P2": "free"})
        if retained.next():
            times.append(second)
        clock.advance(1.0)
    assert times == [0, 60, 90]
    for _ in range(61):
        told.tick()
        clock.advance(1.0)
    told.tick()
    topic, document = retained.next() or pytest.fail()
    assert topic == "occupancy/lot" and isinstance(document, dict)
    assert document["slots"] == {"P1": "unknown", "P2": "unknown"}
    assert document["counts"] == {"free": 0, "occupied": 0, "unknown": 2}


def test_occupancy_of_earlier_rules_does_not_stay() -> None:
    clock, retained = ManualClock(), Retained()
    told = Occupancy(retained, clock)
    told.begin("lot", {"P1": "unknown"})  # the camera may be dead: what the broker kept of the last run is no news
    told.begin("gate", {})
    topic, document = retained.next() or pytest.fail()
    assert (topic, isinstance(document, dict) and document["slots"]) == ("occupancy/lot", {"P1": "unknown"})
    assert retained.next() == ("occupancy/gate", None)
    told.tell("lot", {"P1": "occupied"})
    assert retained.next()
    told.begin("lot", {})  # the rule was taken away
    assert retained.next() == ("occupancy/lot", None)
    clock.advance(3600)
    told.tell("lot", {})
    told.tick()
    assert retained.next() is None


def test_mqtt_311_is_warned_of(tmp_path: Path, mosquitto: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        sender = Sender(tmp_path / "box", mosquitto.url, version="3.1.1").start()
        wait_for(lambda: sender.publisher.status.connected, "the connection")
        sender.stop()
    assert "mqtt.version 3.1.1" in caplog.text


@pytest.fixture
def box(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Box]:
    """Pictures stay on it, and one of its cameras is switched off."""
    more = "evidence: {thumbnail: false}\nsources:\n  gate: {type: simulator, scene: gate, fps: 5}\n"
    more += "  off: {type: simulator, scene: gate, enabled: false}\n"
    box = Box(tmp_path / "box", mosquitto.url, more).start()
    yield box
    box.stop()


def test_qualities_and_what_is_off(box: Box, cloud: Cloud, mosquitto: Mosquitto) -> None:
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera", 60)
    cloud.command("test-alarm", "t", source="gate")
    cloud.answer("t", "done")
    cloud.command("snapshot", "s", source="gate")
    cloud.answer("s", "done")
    wait_for(lambda: cloud.on("event/alarm/test") and cloud.on("media/"), "the alarm")
    assert json.loads(cloud.on("event/alarm/test")[0].payload)["data"]["evidence"], "the picture is on the box"
    assert not cloud.on("picture/")
    assert cloud.last("source/off")["state"] == "disabled" and cloud.last("source/off")["since"]
    wait_for(lambda: cloud.on("tele/health"), "the health report")
    own = [m for m in cloud.messages if "/cmd/" not in m.topic or m.topic.endswith("/ack")]
    assert {m.qos for m in own if m.topic.endswith("tele/health")} == {0}
    assert {m.qos for m in own if not m.topic.endswith("tele/health")} == {1}
    late = Consumer(mosquitto.port, "late")
    wait_for(lambda: late.on("birth") and late.on("source/off"), "what is retained")
    topics = {m.topic.split("/", 4)[4].split("/")[0] for m in late.messages}
    late.close()
    assert topics == {"state", "birth", "source", "reported"}, "no event, picture, media, health, command or ack"
    birth = cloud.last("birth")
    assert birth["config_version"] == 0 and birth["outbox_depth"] >= 0 and birth["session"] and birth["version"]
