"""One broker, one Node-RED and one browser for all tests of a file."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.browser import Browser, browser
from tests.dashboard.nodered import NodeRed
from tests.mosquitto import DEADLINE, Mosquitto, wait_for

__all__ = ["browser"]


class Wire:
    """Publishes as a box does, in its documented words."""

    def __init__(self, port: int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "wire", protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def say(self, topic: str, document: Any, retain: bool = True) -> None:
        """document: JSON, bytes as they are, or None to empty the topic. Returns when the broker has it."""
        body = b"" if document is None else document if isinstance(document, bytes) else json.dumps(document).encode()
        wait_for(self._client.is_connected, "a connection to the broker")
        self._client.publish(f"smartbox/v1/{topic}", body, 1, retain).wait_for_publish(DEADLINE)

    def state(self, box: str, state: str, session: int = 1) -> None:
        self.say(f"{box}/state", {"state": state, "session": session, "ts": "2026-11-24T10:00:00.000Z"})

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto) -> Iterator[NodeRed]:
    made = NodeRed(tmp_path_factory.mktemp("node-red"), broker.url).start()
    yield made
    made.stop()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Callable[..., NodeRed]]:
    """another(broker, **environment) -> a Node-RED of the test's own, not yet started."""
    made: list[NodeRed] = []

    def make(broker: str, **environment: str) -> NodeRed:
        made.append(NodeRed(tmp_path / f"node-red-{len(made)}", broker, **environment))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def wire(broker: Mosquitto) -> Iterator[Wire]:
    made = Wire(broker.port)
    yield made
    made.close()


@pytest.fixture
def alarms(browser: Browser, dashboard: NodeRed) -> Browser:
    """The page of alarms, connected."""
    return opened(browser, dashboard, "alarms")


@pytest.fixture
def boxes(browser: Browser, dashboard: NodeRed) -> Browser:
    """The page of boxes."""
    return opened(browser, dashboard, "boxes")


def opened(browser: Browser, dashboard: NodeRed, page: str) -> Browser:
    browser.size(1400, 900)
    browser.visit(dashboard.url(page))
    browser.until(
        f"document.querySelector('.sb-{page}') && !document.querySelector('.sb-banner')", f"the page {page}", 60
    )
    return browser


def jpeg(path: Path) -> bytes:
    """A picture that a browser decodes."""
    import cv2
    import numpy as np

    cv2.imwrite(str(path), np.full((180, 320, 3), 90, np.uint8))
    return path.read_bytes()
