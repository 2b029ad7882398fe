"""A real broker, a proxy before it, boxes that send through it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartbox.clock import SystemClock
from tests.faults.proxy import Proxy
from tests.link.events import Events
from tests.link.sender import QUICK, Sender
from tests.mosquitto import Mosquitto


@pytest.fixture
def proxy(mosquitto: Mosquitto) -> Iterator[Proxy]:
    proxy = Proxy(mosquitto.port)
    yield proxy
    proxy.close()


@pytest.fixture
def events() -> Events:
    return Events(SystemClock())


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Callable[..., Sender]]:
    """Starts a box that sends to a port or URL."""
    senders: list[Sender] = []

    def start(to: int | str, pace: Any = QUICK, **mqtt: Any) -> Sender:
        url = to if isinstance(to, str) else f"mqtt://127.0.0.1:{to}"
        senders.append(Sender(tmp_path / f"box-{len(senders)}", url, pace, **mqtt).start())
        return senders[-1]

    yield start
    for sender in senders:
        sender.stop()
