"""A real mosquitto with the settings that the product ships, and a consumer that loses nothing."""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.documents import wrong_with
from tests.ports import free_port

SHIPPED = Path(__file__).resolve().parent.parent / "deploy" / "broker" / "mosquitto.conf"
# Paths, listeners and users are the test's own; all else is as shipped.
_OWN = re.compile(r"^\s*(#.*|persistence_location|listener|password_file|acl_file|allow_anonymous)\b.*$|^\s*#.*$")
DEADLINE = 60.0


def wait_for(condition: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
    """Until it holds; fails with what was awaited."""
    until = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"after {deadline:g} s still not: {what}")
        time.sleep(0.01)


class Mosquitto:
    """start, stop, kill, wipe; the port stays the same."""

    def __init__(self, directory: Path, extra: str = "allow_anonymous true") -> None:
        self.program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if self.program is None:
            pytest.skip("mosquitto is not installed: `make test` installs it")
        self.port = free_port()
        self.store = directory / "store"
        self.log = directory / "mosquitto.log"
        self._config = directory / "mosquitto.conf"
        directory.mkdir(parents=True, exist_ok=True)
        kept = [line for line in SHIPPED.read_text().splitlines() if line.strip() and not _OWN.match(line)]
        own = [f"listener {self.port} 127.0.0.1", f"persistence_location {self.store}/", "user root", extra]
        self._config.write_text("\n".join(kept + own) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.store.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(self.program), "-c", self._config], stdout=log, stderr=log)
        wait_for(self._answers, f"mosquitto on port {self.port}: {self.log.read_text()}")

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"mosquitto ended: {self.log.read_text()}")
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, hard: bool = False) -> None:
        """End it in order, so that it saves its store; hard: kill -9."""
        if self._process is None:
            return
        if hard:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.wait(DEADLINE)
        self._process = None

    def wipe(self) -> None:
        """Forget what it stored."""
        shutil.rmtree(self.store, ignore_errors=True)


class Consumer:
    """A subscriber with a persistent session: what was published while it was away comes later.

    Every event that it ever saw must be a valid one; `close` says which is not.
    """

    def __init__(
        self, port: int, name: str = "consumer", topic: str = "smartbox/#", login: tuple[str, str] | None = None
    ) -> None:
        self.messages: list[paho.MQTTMessage] = []
        self._events: dict[bytes, str] = {}
        self.subscribed = threading.Event()
        self._topic = topic
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = self._on_message
        if login:
            self._client.username_pw_set(*login)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self.subscribed.wait(DEADLINE)

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topic, 1)

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self.messages.append(message)
        if "/event/" in message.topic:
            self._events.setdefault(bytes(message.payload), message.topic)

    def on(self, part: str) -> list[paho.MQTTMessage]:
        """What came on topics with /part in them."""
        return [m for m in list(self.messages) if f"/{part}" in m.topic]

    def invalid(self) -> list[str]:
        """What is wrong with the events that came since it was asked last."""
        events, self._events = self._events, {}
        return [text for payload, topic in events.items() if (text := wrong_with(topic, payload))]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # No circle, so that paho closes its last sockets now and not in some other test.
        self._client.on_message = self._client.on_connect = self._client.on_subscribe = None
        wrong = self.invalid()
        assert not wrong, f"{len(wrong)} events on the wire are not valid, the first: {wrong[0]}"
