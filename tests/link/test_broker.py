"""The demo's broker carries the demo: retained documents, events, pictures; and says what is wrong with it."""

import socket
from pathlib import Path

import pytest

from smartbox.broker import Broker
from smartbox.clock import SystemClock
from smartbox.errors import ConfigError
from tests.link.events import Events
from tests.link.sender import Sender
from tests.mosquitto import Consumer, wait_for
from tests.ports import free_port


def test_events_pictures_and_retained_documents_pass(tmp_path: Path) -> None:
    pytest.importorskip("amqtt")
    port = free_port()
    broker = Broker(port)
    broker.start()
    sender = Sender(tmp_path, f"mqtt://127.0.0.1:{port}", version="3.1.1").start()
    consumer = Consumer(port)
    events = Events(SystemClock())
    for _ in range(30):
        sender.outbox.put(events.begin(), [], b"\xff\xd8" + bytes(40_000) + b"\xff\xd9")
    wait_for(lambda: len(consumer.on("event/")) >= 30 and len(consumer.on("picture/")) >= 30, "events and pictures")
    late = Consumer(port, "late")
    wait_for(lambda: late.on("state") and late.on("birth"), "retained documents")
    for each in (consumer, late, sender):
        each.close() if isinstance(each, Consumer) else each.stop()
    broker.stop()
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_a_configuration_error() -> None:
    pytest.importorskip("amqtt")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        with pytest.raises(ConfigError, match=r"mqtt.url: the embedded broker cannot listen"):
            Broker(sock.getsockname()[1]).start()
