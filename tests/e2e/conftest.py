"""A whole daemon in a process of its own, against a real mosquitto."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartbox import bundle
from smartbox.bundle import Bundle
from smartbox.manifest import Manifest
from tests.mosquitto import Consumer, Mosquitto, wait_for

LABELS = ("person", "car", "truck", "bus")


def scripted_bundle(directory: Path, *lines: dict[str, Any]) -> Bundle:
    """A model that answers with these lines, in turn, whatever it sees."""
    directory.mkdir(parents=True)
    (directory / "script.jsonl").write_text("\n".join(map(json.dumps, lines)))
    manifest = Manifest.model_validate(
        {
            "name": directory.name,
            "version": "1.0.0",
            "task": "detect",
            "labels": LABELS,
            "groups": {"vehicle": ["car", "truck", "bus"]},
            "inputs": [
                {"name": "image", "shape": [None, 64, 64, 3], "layout": "NHWC", "colour": "BGR", "resize": "stretch"}
            ],
            "outputs": [
                {"name": "boxes", "shape": [None, None, 4]},
                {"name": "scores", "shape": [None, None, len(LABELS)]},
            ],
            "decoder": {"type": "boxes"},
            "files": {"scripted": bundle.model_file(directory, "script.jsonl").model_dump()},
        }
    )
    return bundle.write(directory, manifest)


def seen(*labels: str) -> dict[str, Any]:
    """One answer: these labels, side by side."""
    boxes = [
        {"label": label, "score": 0.9, "xyxy": [0.1 + 0.2 * i, 0.3, 0.25 + 0.2 * i, 0.8]}
        for i, label in enumerate(labels)
    ]
    return {"detections": boxes}


class Box:
    """`smartbox run` in a process: start, kill, stop, and what it logged."""

    def __init__(self, config: Path, log: Path, **environment: str) -> None:
        self._command = [sys.executable, "-m", "smartbox", "run", "-c", str(config)]
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Box":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stderr=log, stdout=log, env=self._environment)
        return self

    def wait_log(self, text: str, deadline: float = 30.0) -> None:
        wait_for(lambda: text in self.log, f"{text!r} in the log:\n{self.log}", deadline)

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, deadline: float = 30.0) -> int:
        assert self._process is not None
        return self._process.wait(deadline)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """Whatever the test came to, nothing is left running."""
        if self.running:
            self.kill()


@pytest.fixture
def start(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Callable[..., Box]]:
    """start(sources, rules, model, zones, **environment) -> a running Box on the test's broker."""
    boxes: list[Box] = []

    def make(sources: str, rules: str, zones: str = "{}", model: str = "{bundle: none}", **environment: str) -> Box:
        config = tmp_path / "smartbox.yaml"
        config.write_text(
            f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {tmp_path / 'state'}}}\n"
            f"mqtt: {{url: {mosquitto.url}}}\nmodels: {{eyes: {model}}}\n"
            f"sources: {sources}\nzones: {zones}\nrules: {rules}\n"
        )
        boxes.append(Box(config, tmp_path / "box.log", **environment))
        return boxes[-1].start()

    yield make
    for box in boxes:
        box.close()


def documents(consumer: Consumer, part: str) -> list[dict[str, Any]]:
    """The JSON documents that came on topics with `part` in them."""
    return [json.loads(message.payload) for message in consumer.on(part) if message.payload]
