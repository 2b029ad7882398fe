"""The box on ARM: installed into an emulated arm64 Debian, every backend agrees, the same events as on this machine.

Speed is not measured here: the emulation is tens of times slower than a board.
"""

from collections.abc import Iterator

import pytest

from tests.arm import emulated
from tests.arm.emulated import Board

pytestmark = pytest.mark.arm


@pytest.fixture(scope="session")
def board() -> Iterator[Board]:
    with emulated.board({}) as machine:
        machine.run("make -C /src install WHEELS=/wheels", timeout=900)
        yield machine


def test_it_is_an_arm_machine(board: Board) -> None:
    assert board.run("uname -m; python3 -c 'import platform; print(platform.machine())'").split() == ["aarch64"] * 2


def test_runtimes_load(board: Board) -> None:
    libraries = "cv2, av, onnxruntime, tflite_runtime.interpreter, scipy.optimize, pydantic, paho.mqtt.client"
    board.run(f"/opt/smartbox/venv/bin/python -c 'import {libraries}'")
