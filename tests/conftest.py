"""Shared fixtures: the data beside the project, and what every suite needs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.mosquitto import Consumer, Mosquitto

# The machine may be slow or busy: no example has a deadline of its own, and whole tests have pytest's.
settings.register_profile("smartbox", deadline=None)
settings.load_profile("smartbox")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the project; tests that use it are skipped loudly without it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: this test needs the data that lies beside the project")
    return SHARED


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    """A real broker with the settings that the product ships."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def consumer(mosquitto: Mosquitto) -> Iterator[Consumer]:
    """Subscribed to everything, with a persistent session."""
    consumer = Consumer(mosquitto.port)
    yield consumer
    consumer.close()
