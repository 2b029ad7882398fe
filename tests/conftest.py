"""Shared fixtures: the data beside the project, and what every suite needs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.faults import rows
from tests.faults.table import Table
from tests.mosquitto import Consumer, Mosquitto

# The machine may be slow or busy: no example has a deadline of its own, and whole tests have pytest's. What passed here
# passes there, so the examples are the same each time; `--hypothesis-profile search` looks for new ones.
settings.register_profile("smartbox", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, derandomize=False)
settings.load_profile("smartbox")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", type=Path, metavar="FILE", help="keep there what the fault tests recorded, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--table"):
        config.pluginmanager.register(Table(path))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`@pytest.mark.row(9)`: what the test records belongs to that row of the fault table."""
    for item in items:
        for row in rows.of(item.nodeid):
            item.add_marker(pytest.mark.row(row))
        item.user_properties += [("row", row) for mark in item.iter_markers("row") for row in mark.args]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command run in the test logs to a stream that ends with the test: the next one shall not write there."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)


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
