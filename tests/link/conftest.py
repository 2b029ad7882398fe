"""Events, outboxes and a real mosquitto for the link's tests."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.clock import ManualClock
from smartbox.ids import Uuid7
from smartbox.outbox import Limits, Outbox
from tests.link.box import Cloud
from tests.link.events import Events
from tests.link.signing import Signer
from tests.mosquitto import Consumer, Mosquitto


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def events(clock: ManualClock) -> Events:
    return Events(clock)


class Boxes:
    """Opens outboxes over one state directory, as successive starts of a daemon do."""

    def __init__(self, state: Path, clock: ManualClock) -> None:
        self.state, self.clock = state, clock
        self._open: list[Outbox] = []

    def __call__(self, limits: Limits | None = None, **rest: object) -> Outbox:
        new_id = Uuid7(self.clock.utc, random.Random(7))
        outbox = Outbox(self.state, self.clock, new_id, "park-a", "box-017", limits, **rest)  # type: ignore[arg-type]
        outbox.open()
        self._open.append(outbox)
        return outbox

    def close(self) -> None:
        for outbox in self._open:
            outbox.close()


@pytest.fixture
def boxes(tmp_path: Path, clock: ManualClock) -> Iterator[Boxes]:
    boxes = Boxes(tmp_path / "state", clock)
    yield boxes
    boxes.close()


@pytest.fixture
def cloud(mosquitto: Mosquitto) -> Iterator[Cloud]:
    """Who sends commands and hears what the boxes say."""
    cloud = Cloud(mosquitto.port)
    yield cloud
    cloud.close()


@pytest.fixture
def signer() -> Signer:
    """Whose key the boxes trust."""
    return Signer()


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers with extra settings."""
    running: list[Mosquitto] = []

    def start(*settings: str) -> Mosquitto:
        running.append(Mosquitto(tmp_path / f"mosquitto-{len(running)}", *settings))
        running[-1].start()
        return running[-1]

    yield start
    for broker in running:
        broker.stop()


@pytest.fixture
def mosquitto(brokers: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker, as shipped."""
    return brokers()


@pytest.fixture
def consumer(mosquitto: Mosquitto) -> Iterator[Consumer]:
    """Hears everything of every box."""
    consumer = Consumer(mosquitto.port)
    yield consumer
    consumer.close()
