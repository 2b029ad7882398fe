"""docs/guide/subscribe.md is true: its lines are run as they stand, against a real box and a real broker."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import Box, scripted_bundle, seen, start
from tests.mosquitto import Mosquitto, wait_for

__all__ = ["start"]

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "guide" / "subscribe.md").read_text()
LINES = [line for block in re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]


class Shell:
    """Runs lines of the guide in a directory, with the test's broker in place of BROKER."""

    def __init__(self, directory: Path, broker: Mosquitto) -> None:
        self._directory = directory
        self._broker = broker
        self._running: list[subprocess.Popen[str]] = []

    def begin(self, part: str) -> subprocess.Popen[str]:
        """The line with `part` in it."""
        (line,) = [line for line in LINES if part in line]
        line = line.replace("-h BROKER", f"-h 127.0.0.1 -p {self._broker.port}")
        command = ["bash", "-c", f"exec {line}"]
        process = subprocess.Popen(
            command, cwd=self._directory, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._running.append(process)
        return process

    def follow(self, part: str) -> subprocess.Popen[str]:
        """The same, subscribed."""
        before = self._subscriptions()
        process = self.begin(part)
        wait_for(lambda: self._subscriptions() > before, f"a subscription: {part}")
        return process

    def _subscriptions(self) -> int:
        return self._broker.log.read_text().count("Sending SUBACK")

    def said(self, part: str) -> str:
        return self.begin(part).communicate(timeout=30)[0]

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """One that logs who subscribes."""
    broker = Mosquitto(tmp_path / "mosquitto", "allow_anonymous true\nlog_type all")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def shell(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Shell]:
    if shutil.which("mosquitto_sub") is None:
        pytest.skip("no mosquitto_sub: apt install mosquitto-clients")
    made = Shell(tmp_path, mosquitto)
    yield made
    made.close()


@pytest.fixture
def box(tmp_path: Path, start: Callable[..., Box]) -> Box:
    """One camera with a person in its yard for ever, and a car park."""
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    made = start(
        "{gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}",
        "{yard-closed: {type: intrusion, zones: [yard], dwell: 0s}, lot-full: {type: parking, zones: [lot], hold: 1s}}",
        "{yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}, "
        "lot: {source: gate, slots: {P1: [[0, 0], [0.1, 0], [0.1, 0.1]]}}}",
        f"{{bundle: {bundle.path}, backends: [scripted]}}",
    )
    made.wait_log("source gate is online", 60)
    return made


def test_what_is_retained_is_read_at_once(shell: Shell, box: Box) -> None:
    wait_for(lambda: "[{" in shell.said("/active/"), "the open alarm", 60)
    topic, _, document = shell.said("/active/").strip().partition(" ")
    assert topic == "smartbox/v1/park-a/box-1/active/yard-closed/gate"
    assert json.loads(document)[0]["kind"] == "intrusion"
    topic, _, document = shell.said("/state'").strip().partition(" ")
    assert (topic, json.loads(document)["state"]) == ("smartbox/v1/park-a/box-1/state", "ready")
    assert "test-alarm" in json.loads(shell.said("/birth"))["capabilities"]["commands"]
    topics = [line.partition(" ")[0].rpartition("box-1/")[2] for line in shell.said("/source/+").splitlines()]
    assert sorted(topics) == ["occupancy/gate", "source/gate"]


def test_a_test_alarm_is_answered_followed_and_seen(shell: Shell, box: Box, tmp_path: Path) -> None:
    wait_for(lambda: "[{" in shell.said("/active/"), "the alarm that is there already", 60)
    events, archive = shell.follow("-v -t 'smartbox/v1/+/+/event/#'"), shell.follow("my-archive")
    picture, answers = shell.follow("what-happened.jpg"), shell.follow("cmd/test-alarm/ack")
    shell.said("mosquitto_pub")
    said = [json.loads(line)["status"] for line in answers.communicate(timeout=30)[0].splitlines()]
    assert said == ["accepted", "done"]
    assert picture.wait(30) == 0
    assert (tmp_path / "what-happened.jpg").read_bytes()[:2] == b"\xff\xd8"
    wait_for(lambda: '"smartbox.alarm.test.begin"' in (tmp_path / "events.jsonl").read_text(), "the archive")
    for follower in (events, archive):
        follower.terminate()
    assert "smartbox/v1/park-a/box-1/event/alarm/test {" in events.communicate(timeout=30)[0]


def test_an_archive_misses_nothing_while_it_is_away(shell: Shell, box: Box, tmp_path: Path) -> None:
    archive = shell.follow("my-archive")
    archive.terminate()
    archive.wait(30)
    shell.said("mosquitto_pub")
    kept = tmp_path / "events.jsonl"
    again = shell.begin("my-archive")
    wait_for(lambda: '"smartbox.alarm.test.begin"' in kept.read_text(), "what came meanwhile")
    again.terminate()
