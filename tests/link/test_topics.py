"""The topics' reference, the shipped ACL and what a box really publishes agree with one another."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from smartbox.clock import SystemClock
from smartbox.letters import Letter
from smartbox.mqtt import LinkError, Mqtt, MqttSettings
from tests.link.events import Events
from tests.link.sender import Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = re.findall(r"^\| `([a-z/{}]+)` \| [01] \|", (ROOT / "docs" / "ref" / "topics.md").read_text(), re.M)


# mosquitto up to 2.0.21 acknowledges a denied message with 0x87 and then hangs up, when told "no limit" like this.
HANGS_UP = "max_queued_messages 0"


@pytest.fixture(params=[""])
def guarded(tmp_path: Path, brokers: Callable[..., Mosquitto], request: pytest.FixtureRequest) -> Mosquitto:
    """A broker with the shipped ACL and users."""
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed: it comes with mosquitto")
    users = tmp_path / "passwd"
    users.touch()
    for name in ("box-017", "cloud"):
        subprocess.run(["mosquitto_passwd", "-b", users, name, "pw"], check=True)
    acl = ROOT / "deploy" / "broker" / "smartbox.acl"
    return brokers(f"allow_anonymous false\npassword_file {users}\nacl_file {acl}\n{request.param}")


@pytest.fixture
def cloud(guarded: Mosquitto) -> Iterator[Consumer]:
    consumer = Consumer(guarded.port, "cloud", "smartbox/v1/#", ("cloud", "pw"))
    yield consumer
    consumer.close()


def test_a_box_publishes_each_documented_topic_under_the_shipped_acl(
    tmp_path: Path, guarded: Mosquitto, cloud: Consumer
) -> None:
    sender = Sender(tmp_path / "box", guarded.url, credentials="box-017:pw").start()
    sender.publisher.retained.set("source/east", {"state": "online"})
    sender.publisher.retained.set("occupancy/east", {"free": 3})
    sender.outbox.put(Events(SystemClock()).begin(), [], b"\xff\xd8picture\xff\xd9")
    # Real ones are in test_commands.py and test_desired.py; here it is the ACL that counts.
    sender.publisher.retained.set("reported", {"version": 0})
    for topic in ("media/0190", "cmd/resync/ack"):
        sender.publisher.letters.post(Letter(topic, b"{}"))
    patterns = {topic: re.sub(r"\{\w+\}", "[^/]+", topic) for topic in DOCUMENTED}

    def seen() -> set[str]:
        topics = {m.topic.split("/", 4)[4] for m in cloud.messages}
        return {name for name, pattern in patterns.items() if any(re.fullmatch(pattern, t) for t in topics)}

    wait_for(lambda: seen() == set(DOCUMENTED), f"all of {DOCUMENTED}")
    everything = {m.topic.split("/", 4)[4] for m in cloud.messages}
    assert all(any(re.fullmatch(p, t) for p in patterns.values()) for t in everything), "an undocumented topic"
    assert sender.publisher.status.failed == 0
    sender.stop()


@pytest.mark.parametrize(
    ("topic", "reason"),
    [("box-018/state", 0x87), ("box-017/cmd/reload", 0x87), ("box-017/desired", 0x87), ("box-017/source/x", 0)],
)
def test_the_acl_keeps_a_box_to_its_own_topics(guarded: Mosquitto, cloud: Consumer, topic: str, reason: int) -> None:
    link = Mqtt(MqttSettings(url=guarded.url, credentials="box-017:pw"), "box")  # type: ignore[arg-type]
    link.connect()
    link.publish(f"smartbox/v1/park-a/{topic}", b"{}")

    def answered() -> bool:
        with suppress(LinkError):  # older mosquittos hang up after a refusal
            link.poll(0.05)
        return bool(link.acks)

    wait_for(answered, "an answer")
    assert link.acks[0].reason == reason
    link.close()


@pytest.mark.parametrize("guarded", ["", HANGS_UP], indirect=True)
def test_a_box_that_is_called_like_another_writes_nothing(tmp_path: Path, guarded: Mosquitto, cloud: Consumer) -> None:
    other = Sender(tmp_path / "box", guarded.url, box="box-018", credentials="box-017:pw").start()
    wait_for(lambda: other.publisher.status.failed >= 3, "state, birth and active refused")
    other.stop()
    assert not cloud.messages and other.publisher.status.sent == 0


@pytest.mark.parametrize("guarded", ["", HANGS_UP], indirect=True)
def test_one_forbidden_topic_does_not_cut_the_rest_off(tmp_path: Path, guarded: Mosquitto, cloud: Consumer) -> None:
    sender = Sender(tmp_path / "box", guarded.url, credentials="box-017:pw").start()
    sender.publisher.retained.set("secret/plans", {"a": 1})
    event = sender.outbox.put(Events(SystemClock()).begin())
    wait_for(lambda: any(event.id.encode() in m.payload for m in cloud.messages), "the event")
    wait_for(lambda: sender.publisher.status.failed, "the refusal")
    sender.publisher.retained.set("source/east", {"state": "online"})
    wait_for(lambda: cloud.on("source/east"), "another retained document")
    sender.stop()


def test_an_event_that_breaks_the_schema_does_not_pass_unseen(mosquitto: Mosquitto) -> None:
    """The check that every test's consumer makes of all events."""
    consumer = Consumer(mosquitto.port)
    link = Mqtt(MqttSettings(url=mosquitto.url), "box")
    link.connect()
    link.publish("smartbox/v1/park-a/box-017/event/alarm/x", b"{}")
    wait_for(lambda: consumer.on("event/"), "the message")
    link.close()
    (wrong,) = consumer.invalid()
    assert "no CloudEvent" in wrong
    consumer.close()
