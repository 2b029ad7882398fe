"""A box's directory as an installer has it, and the command line as a person meets it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from smartbox.__main__ import main
from tests.e2e.conftest import scripted_bundle, seen
from tests.ports import free_port

CONFIG = """\
version: 1
box: {{site: park-a, id: box-1, state_dir: {state}}}
mqtt: {{url: mqtt://127.0.0.1:{port}}}
models:
  eyes: {{bundle: eyes, backends: [scripted]}}
sources:
  gate: {{type: file, path: {clip}, fps: 5, model: eyes}}
zones:
  yard: {{source: gate, polygon: [[0.05, 0.1], [0.95, 0.1], [0.95, 1.0], [0.05, 1.0]]}}
rules:
  nobody: {{type: intrusion, zones: [yard], dwell: 1s}}
evidence: {{keep: 14d, bytes: 8GB}}
"""


@dataclass(frozen=True)
class Said:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Site:
    """A directory with a configuration, a clip, a model and recorded detections."""

    path: Path
    port: int

    @property
    def config(self) -> Path:
        return self.path / "smartbox.yaml"

    @property
    def text(self) -> str:
        return self.config.read_text()

    def edit(self, old: str, new: str) -> None:
        assert old in self.text, f"{old!r} does not stand in the configuration"
        self.config.write_text(self.text.replace(old, new))

    def write(self, name: str, text: str) -> Path:
        (self.path / name).write_text(text)
        return self.path / name


def write_clip(path: Path, seconds: float = 2.0) -> Path:
    """A small video of noise."""
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(round(10 * seconds)):
            picture = noise.integers(0, 255, (96, 160, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "gate.mp4")


@pytest.fixture
def site(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("SMARTBOX_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    scripted_bundle(tmp_path / "models" / "eyes", seen("person"))
    made = Site(tmp_path, free_port())
    made.write("smartbox.yaml", CONFIG.format(state=tmp_path / "state", port=made.port, clip=clip))
    lines = [
        {"time": t, "detections": [{"label": "person", "score": 0.9, "xyxy": [0.2, 0.3, 0.3, 0.8]}]} for t in range(6)
    ]
    made.write("seen.jsonl", "\n".join(map(json.dumps, lines)))
    made.write("truth.jsonl", '{"rule": "nobody", "source": "gate", "start_s": 0, "end_s": 5}')
    return made


@pytest.fixture
def smartbox(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """smartbox("check", "-c", path) -> what it said; an exception that gets out fails the test."""

    def run(*arguments: object) -> Said:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err, err
        return Said(code, out, err)

    return run
