"""`smartbox run` and `check --probe` where something outside refuses: said, degraded, and never a password."""

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from smartbox import config
from tests.cli.conftest import Said, Site
from tests.e2e.conftest import Box
from tests.mosquitto import Consumer, Mosquitto, wait_for
from tests.ports import free_port

PASSWORDS = ("hunter2-camera", "hunter2-broker", "hunter2-path")


def passwords_in(text: str) -> list[str]:
    return [password for password in PASSWORDS if password in text]


class Guarded:
    """A mosquitto that wants a password."""

    def __init__(self, directory: Path) -> None:
        self.users = directory / "users"
        directory.mkdir()
        self.users.touch(0o600)
        self.broker = Mosquitto(directory, f"allow_anonymous false\npassword_file {self.users}")
        self.set("watcher", "w")
        self.set("box", "another")

    def set(self, user: str, password: str) -> None:
        tool = shutil.which("mosquitto_passwd")
        assert tool is not None, "it comes with mosquitto"
        subprocess.run([tool, "-b", self.users, user, password], check=True, capture_output=True)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "broker")
    made.broker.start()
    yield made
    made.broker.stop()


@pytest.fixture
def locked(site: Site, guarded: Guarded) -> Site:
    """Wrong password for the broker; a camera that refuses, with a password in two places."""
    url = f"rtsp://admin:hunter2-camera@127.0.0.1:{free_port()}/password=hunter2-path"
    site.write("secrets.yaml", f"camera: '{url}'\nmqtt: 'box:hunter2-broker'\n")
    site.edit(f"mqtt://127.0.0.1:{site.port}", f"{guarded.broker.url}, credentials: !secret mqtt")
    site.edit("\nzones:", "\n  east: {type: rtsp, url: !secret camera, model: eyes}\nzones:")
    return site


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Path], Box]]:
    boxes: list[Box] = []

    def begin(path: Path) -> Box:
        boxes.append(Box(path, tmp_path / f"box{len(boxes)}.log").start())
        return boxes[-1]

    yield begin
    for box in boxes:
        if box.running:
            box.kill()


def test_a_refusing_broker_fails_the_probe(locked: Site, smartbox: Callable[..., Said]) -> None:
    assert smartbox("check", "-c", locked.config).code == 0
    said = smartbox("check", "-c", locked.config, "--probe", "--json")
    assert said.code == 1
    found = {item["what"]: item for item in said.document["probe"]}
    assert "refuses the connection" in found["mqtt"]["error"]
    assert "uthori" in found["mqtt"]["error"]  # not authorised, in MQTT's spelling
    assert "rtsp://admin:***@127.0.0.1" in found["sources.east"]["error"]
    assert found["models.eyes"]["error"] is None
    assert found["sources.gate"]["error"] is None
    plain = smartbox("check", "-c", locked.config, "--probe", "--pictures", locked.path / "look")
    assert plain.code == 1
    assert "FAILED mqtt: 127.0.0.1" in plain.out
    assert (locked.path / "look" / "gate.jpg").read_bytes().startswith(b"\xff\xd8")
    assert not passwords_in(said.out + said.err + plain.out + plain.err)
    assert not passwords_in(repr(config.load(locked.config)))


def test_run_stays_up_and_says_no_password(locked: Site, guarded: Guarded, start: Callable[[Path], Box]) -> None:
    box = start(locked.config)
    box.wait_log("refuses the connection")
    box.wait_log("ready: ")
    box.wait_log("source east is offline")
    assert box.running
    guarded.set("box", "hunter2-broker")
    guarded.broker.stop()
    guarded.broker.start()
    consumer = Consumer(guarded.broker.port, login=("watcher", "w"))
    try:
        wait_for(lambda: consumer.on("health") and consumer.on("source/east"), f"health:\n{box.log}")
        box.signal(signal.SIGTERM)
        assert box.wait() == 0
        told = b"\n".join(message.payload for message in consumer.messages).decode(errors="replace")
    finally:
        consumer.close()
    assert "degraded" in told
    assert "rtsp://admin:***@" in told + box.log
    assert not passwords_in(told + box.log)
    assert "Traceback" not in box.log
    state = b"".join(path.read_bytes() for path in (locked.path / "state").rglob("*") if path.is_file())
    assert not passwords_in(state.decode(errors="replace"))


def run_now(path: Path) -> Said:
    command = [sys.executable, "-m", "smartbox", "run", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def test_two_boxes_do_not_share_a_state_directory(site: Site, start: Callable[[Path], Box]) -> None:
    first = start(site.config)
    first.wait_log("ready: ")
    said = run_now(site.config)
    assert said.code == 1
    assert f"box.state_dir {site.path / 'state'}: another smartbox is running there" in said.err
    assert first.running


@pytest.mark.parametrize("place", ["/proc/nowhere", "file/below"])
def test_a_state_directory_that_cannot_be(site: Site, place: str) -> None:
    site.write("file", "")
    site.edit(str(site.path / "state"), place)
    said = run_now(site.config)
    assert said.code == 1
    assert f"box.state_dir {place}: " in said.err
    assert "it must be a writable directory" in said.err


@pytest.mark.parametrize(("place", "error"), [("file/below", "file is no directory"), ("new/deep", None)])
def test_the_probe_looks_at_the_state_directory(
    site: Site, smartbox: Callable[..., Said], place: str, error: str | None
) -> None:
    site.write("file", "")
    site.edit(str(site.path / "state"), place)
    said = smartbox("check", "-c", site.config, "--probe", "--json")
    (found,) = (item for item in said.document["probe"] if item["what"] == "box.state_dir")
    assert error in found["error"] if error else "can be made" in found["detail"]
    assert not (site.path / "new").exists()  # a look leaves nothing behind


def test_the_port_of_the_embedded_broker_is_taken(site: Site) -> None:
    site.edit(f"mqtt://127.0.0.1:{site.port}", "embedded")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # a demo runs here: then that is who has it
            taken.bind(("127.0.0.1", 18830))
            taken.listen()
        said = run_now(site.config)
    assert said.code == 78
    assert "mqtt.url: the embedded broker cannot listen on 127.0.0.1:18830" in said.err
    assert not (site.path / "state" / "running").exists()  # the next start has no crash to tell of


def test_evidence_that_has_no_place_costs_only_the_pictures(site: Site, start: Callable[[Path], Box]) -> None:
    (site.path / "state").mkdir()
    (site.path / "state" / "evidence").touch()
    box = start(site.config)
    box.wait_log("the event goes without its picture")
    assert box.running
    assert box.stop() == 0


def test_a_wrong_reload_changes_nothing(site: Site, start: Callable[[Path], Box]) -> None:
    box = start(site.config)
    box.wait_log("ready: ")
    site.edit("fps: 5", "fsp: 5")
    box.signal(signal.SIGHUP)
    box.wait_log("reload refused, the old configuration stays: sources.gate.fsp")
    assert box.running
    assert box.stop() == 0


def test_events_before_the_first_start(site: Site, smartbox: Callable[..., Said]) -> None:
    said = smartbox("events", "-c", site.config, "--json")
    assert (said.code, said.out) == (1, "")
    assert "outbox.db: there is no outbox here; `smartbox run` makes it, in the `box.state_dir`" in said.err
    (site.path / "state").mkdir()
    (site.path / "state" / "outbox.db").write_text("no database")
    said = smartbox("events", "-c", site.config)
    assert (said.code, said.out) == (1, "")
    assert "outbox.db: file is not a database" in said.err


def test_events_after_it(site: Site, start: Callable[[Path], Box], smartbox: Callable[..., Said]) -> None:
    box = start(site.config)
    box.wait_log("ready: ")
    wait_for(lambda: "intrusion begin" in box.log, f"an event:\n{box.log}")
    said = smartbox("events", "-c", site.config, "--json")
    assert (said.code, said.err) == (0, "")
    documents = [json.loads(line) for line in said.out.splitlines()]
    assert {"smartbox.system.start.begin", "smartbox.alarm.intrusion.begin"} <= {d["type"] for d in documents}
    assert {d["delivery"] for d in documents} == {"waiting"}
