"""A whole daemon on a thread of the test, which starts itself anew as `smartbox run` does."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from smartbox import config as configuration
from smartbox import configured, reset
from smartbox.daemon import Daemon
from smartbox.pace import Pace
from tests.mosquitto import Consumer, wait_for

ROOT = "smartbox/v1/park-a/box-1"


class Box:
    """start, stop, crash; `starts` counts how often the daemon was built."""

    def __init__(self, directory: Path, url: str, more: str = "", mqtt: str = "") -> None:
        self.state = directory / "state"
        self.config = directory / "smartbox.yaml"
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {self.state}}}\n"
            f"mqtt: {{url: {url}, keepalive: 5s{mqtt}}}\n{more}\n"
        )
        self.starts = 0
        self.daemon: Daemon | None = None
        self._end = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> "Box":
        self._end.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self) -> None:
        while not self._end.is_set():
            self._stop = threading.Event()
            if self._end.is_set():
                return
            reset.carry_out(configuration.load(self.config).box.state_dir)
            config, desired = configured.load(self.config)
            self.daemon = Daemon(config, restart=self._stop.set, desired=desired)
            # What waited goes at once, and a lost broker is looked for every half second.
            self.daemon.publisher._pace = Pace(spread=0.0, first_wait=0.1, longest_wait=0.5, farewell=1.0)
            self.starts += 1
            self.daemon.run(self._stop)

    def stop(self) -> None:
        self._end.set()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._thread = None

    def connected(self) -> None:
        """The broker has an event of it, and so its subscription, which went before: no command is lost from now on."""

        def heard() -> bool:
            publisher = self.daemon.publisher if self.daemon else None
            return publisher is not None and publisher._connected and publisher._sent > 0

        wait_for(heard, "the box connected", 60)


class Cloud(Consumer):
    """Sends commands and hears what comes of them."""

    def __init__(self, port: int, login: tuple[str, str] | None = None) -> None:
        super().__init__(port, "cloud", "smartbox/#", login)
        self._sender = paho.Client(CallbackAPIVersion.VERSION2, "cloud-sender", protocol=paho.MQTTv5)
        if login:
            self._sender.username_pw_set(*login)
        self._sender.reconnect_delay_set(1, 1)
        self._sender.connect("127.0.0.1", port)
        self._sender.loop_start()

    def publish(self, topic: str, payload: bytes | str, retain: bool = False) -> None:
        """Below the box' root, QoS 1, until the broker has it; after a broken connection, once there is one again."""
        wait_for(self._sender.is_connected, "a connection of the cloud's to the broker")
        self._sender.publish(f"{ROOT}/{topic}", payload, 1, retain).wait_for_publish(20)

    def command(
        self, name: str, command_id: str, /, *, seconds: float = 60.0, retain: bool = False, **args: Any
    ) -> None:
        document = {"id": command_id, "expires_at": soon(seconds), "args": args}
        self.publish(f"cmd/{name}", json.dumps(document), retain)

    def acks(self, command_id: str | None) -> list[dict[str, Any]]:
        found = [json.loads(m.payload) for m in self.on("cmd/") if m.topic.endswith("/ack")]
        return [ack for ack in found if ack["id"] == command_id]

    def answer(self, command_id: str | None, *statuses: str) -> dict[str, Any]:
        """The ack with one of these statuses; it is awaited."""
        wanted = statuses or ("done", "failed")

        def come() -> list[dict[str, Any]]:
            return [ack for ack in self.acks(command_id) if ack["status"] in wanted]

        wait_for(come, f"{command_id} {wanted}", 60)
        return come()[-1]

    def last(self, topic: str) -> Any:
        """The newest document on a topic below the root; None before there is one, and when it was emptied."""
        found = [m.payload for m in self.messages if m.topic == f"{ROOT}/{topic}"]
        return json.loads(found[-1]) if found and found[-1] else None

    def close(self) -> None:
        self._sender.disconnect()
        self._sender.loop_stop()
        super().close()


def soon(seconds: float = 60.0) -> str:
    return (datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=seconds)).isoformat()
