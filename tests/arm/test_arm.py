"""The box on ARM: installed into an emulated arm64 Debian, every backend agrees, the same events as on this machine.

Speed is not measured here: the emulation is tens of times slower than a board.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.arm import emulated
from tests.arm.emulated import Board
from tests.mosquitto import Mosquitto
from tests.systemd import red

pytestmark = pytest.mark.arm

BACKENDS = ("onnxruntime", "tflite")
SECONDS = 36
YARD = [[0.216, 0.675], [0.85, 0.648], [0.699, 0.4], [0.311, 0.41]]  # of the simulated gate, as in deploy/demo.yaml


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both machines play: a simulated gate, a red block, and a model that finds red."""
    folder = tmp_path_factory.mktemp("outside")
    simulate = ["simulate", "gate", "--seed", "3", "--fps", "2", "--duration", f"{SECONDS}s", "-o", str(folder)]
    subprocess.run([sys.executable, "-m", "smartbox", *simulate], check=True, capture_output=True)
    red.clip(folder / "red.mp4")
    red.bundle(folder / "models/red-park")
    return folder


@pytest.fixture(scope="session")
def board(outside: Path) -> Iterator[Board]:
    """Installed as a user installs it."""
    with emulated.board({outside: "/outside"}) as machine:
        machine.run("make -C /src install WHEELS=/wheels", timeout=900)
        yield machine


def configuration(folder: Path, name: str, backend: str, broker: str = "mqtt://127.0.0.1") -> str:
    """Two cameras from recordings, as a file in `folder`; its name."""
    places = {"gate": YARD, "yard": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}
    rule = {"type": "intrusion", "labels": ["person"], "dwell": 3}
    config = {
        "version": 1,
        "box": {"site": "test", "id": "box-1", "state_dir": "/tmp/smartbox-arm"},
        "mqtt": {"url": broker},
        "models": {
            "eyes": {"bundle": "lrssd-park", "backends": [backend]},
            "red": {"bundle": "red-park", "backends": ["onnxruntime"]},
        },
        "sources": {
            "gate": {"type": "file", "path": "gate/video.mp4", "fps": 2, "model": "eyes"},
            "yard": {"type": "file", "path": "red.mp4", "fps": 2, "model": "red"},
        },
        "zones": {name: {"source": name, "polygon": polygon} for name, polygon in places.items()},
        "rules": {f"closed-{name}": {**rule, "zones": [name]} for name in places},
    }
    (folder / name).write_text(yaml.safe_dump(config))
    return name


def test_it_is_an_arm_machine(board: Board) -> None:
    assert board.run("uname -m; python3 -c 'import platform; print(platform.machine())'").split() == ["aarch64"] * 2


def test_check_probe(board: Board, outside: Path, tmp_path: Path) -> None:
    """Every model and source opens, and the broker answers."""
    broker = Mosquitto(tmp_path)
    broker.start()
    try:
        config = configuration(outside, "check.yaml", "tflite", broker.url)
        done = board.try_run(f"cd /outside && SMARTBOX_MODELS=models smartbox check --probe --json -c {config}", 300)
    finally:
        broker.stop()
    assert done.returncode == 0, done.stdout + done.stderr
    found = {item["what"]: item["error"] for item in json.loads(done.stdout)["probe"]}
    assert {"models.eyes", "models.red", "sources.gate", "sources.yard", "mqtt"} <= set(found), found


@pytest.mark.parametrize("backend", BACKENDS)
def test_golden(board: Board, backend: str) -> None:
    """The shipped model gives the recorded outputs, within the tolerance in its manifest."""
    out = board.run(f"smartbox bench --bundle lrssd-park --backend {backend} --runs 1 --json", timeout=300)
    measured = json.loads(out)["bundles"][0]["measurements"][0]
    print(f"\n{backend}: worst difference {measured['max_abs_error']:.4f}, allowed {measured['atol']:.4f}")
    assert measured["error"] is None
    assert measured["agrees"] is True


@pytest.mark.parametrize("backend", BACKENDS)
def test_replay_gives_the_same_events(board: Board, outside: Path, backend: str) -> None:
    config = configuration(outside, f"{backend}.yaml", backend)
    models = {"SMARTBOX_MODELS": str(outside / "models")}
    command = ["-m", "smartbox", "replay", "--json", "-c", config]
    here = subprocess.run(
        [sys.executable, *command], cwd=outside, env=os.environ | models, capture_output=True, text=True, check=True
    )
    there = board.run(f"cd /outside && SMARTBOX_MODELS=/outside/models smartbox replay --json -c {config}", timeout=900)
    mine, its = happened(here.stdout), happened(there)
    print(f"\n{backend}: {len(mine)} events: {', '.join(f'{e[0]} {e[1]} {e[2]:.1f} s' for e in mine)}")
    assert {source for source, *_ in mine} == {"gate", "yard"}
    assert mine == its


def happened(lines: str) -> list[tuple[Any, ...]]:
    """What an event says, without the last digits of scores and boxes: runtimes round differently."""
    return [
        (e["subject"].split("/")[0], e["type"], e["data"]["clock"]["monotonic_s"], e["data"]["objects"][0]["label"])
        for e in map(json.loads, lines.splitlines())
    ]


def test_the_installation_is_arm_throughout(board: Board) -> None:
    """No library of another machine came along in a wheel."""
    wrong = board.run(
        r"find /opt/smartbox/venv -name '*.so*' -type f | while read f; do "
        r"head -c 20 $f | od -An -tx1 -j18 -N2 | grep -q 'b7 00' || echo $f; done"
    )
    assert wrong == ""
