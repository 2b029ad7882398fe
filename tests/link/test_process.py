"""The same on `smartbox run` in a process of its own: one process id through every restart, and a crash in between."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Box as Process
from tests.link.box import Box, Cloud
from tests.link.signing import Signer
from tests.mosquitto import Mosquitto, wait_for
from tests.ports import free_port


@pytest.fixture
def process(tmp_path: Path, mosquitto: Mosquitto, signer: Signer) -> Iterator[Process]:
    more = f"cloud: {{keys: ['{signer.public}'], confirm_after: 0s, revert_after: 5s}}\n"
    config = Box(tmp_path / "box", mosquitto.url, more).config
    process = Process(config, tmp_path / "box.log").start()
    yield process
    process.close()


def pid(process: Process) -> int:
    assert process._process is not None
    return process._process.pid


def test_commands_and_configurations_through_restarts(
    process: Process, cloud: Cloud, signer: Signer, tmp_path: Path
) -> None:
    wait_for(lambda: (cloud.last("reported") or {}).get("version") == 0, "connected", 60)
    first = pid(process)
    sources = {"gate": {"type": "simulator", "scene": "gate", "fps": 5}}
    cloud.publish("desired", signer.document(1, {"sources": sources}), retain=True)
    wait_for(lambda: (cloud.last("reported") or {}).get("active") == 1, "applied", 60)
    cloud.command("restart", "r")
    cloud.answer("r", "done")
    nowhere = {"mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}"}}
    cloud.publish("desired", signer.document(2, nowhere), retain=True)
    wait_for(lambda: (cloud.last("reported") or {}).get("status") == "reverted", "given up", 60)
    assert cloud.last("reported")["active"] == 1 and cloud.last("reported")["version"] == 2
    assert pid(process) == first and process.running
    process.kill()
    process.start()
    cloud.command("test-alarm", "after")
    cloud.answer("after", "done")
    wait_for(lambda: set(cloud.last("birth")["sources"]) == {"gate"}, "the one from above, after the crash too")

    def starts() -> list[str]:
        events = [json.loads(m.payload) for m in cloud.on("event/system/start")]
        return [event["data"]["detail"]["after"] for event in sorted(events, key=lambda event: event["seq"])]

    wait_for(lambda: "crash" in starts(), "what waited for the connection", 60)
    assert starts()[-1] == "crash" and set(starts()[:-1]) == {"stop"}
    assert process.stop() == 0
    assert "Traceback" not in process.log
