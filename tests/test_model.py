"""A model keeps running while its backends fail (row 22 of the faults)."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox.backends import onnxruntime, scripted
from smartbox.bundle import Bundle
from smartbox.clock import ManualClock
from smartbox.errors import BackendError
from smartbox.model import HEALTHY_S, Model
from smartbox.trials import DEATHS, Trials
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
PLAYED, LOST = '{"outputs": {"scores": [[1, 0]], "boxes": [[0, 0, 1, 1]]}}', '{"error": "lost the device"}'


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny.write(tmp_path / "tiny", "onnxruntime", "scripted")


class Script:
    """A Model over scripted and real backends, the notices it gave, and its clock."""

    def __init__(self, bundle: Bundle, tmp_path: Path, *backends: tuple[str, Any]) -> None:
        self.said: list[str] = []
        self.clock = ManualClock()
        self.model = Model(bundle, backends, tmp_path / "state", clock=self.clock, on_change=self.said.append)

    def run(self, count: int = 1) -> list[dict[str, Any]]:
        return self.model.run([tiny.INPUT[i % 2] for i in range(count)])


def played(tmp_path: Path, *lines: str, loop: bool = False) -> tuple[str, scripted.Plugin]:
    path = tmp_path / f"script-{len(list(tmp_path.glob('script-*')))}.jsonl"
    path.write_text("\n".join(lines))
    return "scripted", scripted.Plugin(file=path, loop=loop)


def test_answers_come_in_order_and_without_a_batch_axis(bundle: Bundle, tmp_path: Path) -> None:
    for batch in (1, 2, 8):
        box = Script(bundle, tmp_path, ("onnxruntime", onnxruntime.Plugin(batch=batch)))
        answers = box.run(3)
        golden = bundle.golden()[1]
        for i, answer in enumerate(answers):
            np.testing.assert_allclose(answer["scores"], golden["scores"][i % 2], atol=0.3)
        assert box.model.ref.backend == "onnxruntime"
        assert box.said == []
        box.model.close()


def test_an_absent_device_gives_way_to_the_next_backend(bundle: Bundle, tmp_path: Path) -> None:
    absent = ("scripted", scripted.Plugin(refuse="the accelerator is not plugged in"))
    box = Script(bundle, tmp_path, absent, ("onnxruntime", None))
    box.model.open()
    assert box.model.ref.backend == "onnxruntime"
    assert len(box.said) == 1
    assert "onnxruntime takes over" in box.said[0]
    assert "not plugged in" in box.said[0]
    box.model.close()


def test_one_failure_reopens_the_same_backend(bundle: Bundle, tmp_path: Path) -> None:
    box = Script(bundle, tmp_path, played(tmp_path, PLAYED, LOST), ("onnxruntime", None))
    box.run()
    assert box.run()[0]["scores"].tolist() == [[1, 0]]  # reopened, the script starts again
    assert box.model.ref.backend == "scripted"
    assert box.said == []
    box.model.close()


def test_repeated_failures_hand_over_to_the_next(bundle: Bundle, tmp_path: Path) -> None:
    box = Script(bundle, tmp_path, played(tmp_path, LOST), ("onnxruntime", None))
    assert box.run(2)[1]["scores"].shape == (3, 2)
    assert box.model.ref.backend == "onnxruntime"
    assert "lost the device" in box.said[0]
    assert box.run()[0]["scores"].shape == (3, 2)
    assert len(box.said) == 1
    box.model.close()


def test_a_failure_long_ago_is_forgiven(bundle: Bundle, tmp_path: Path) -> None:
    box = Script(bundle, tmp_path, played(tmp_path, PLAYED, LOST), ("onnxruntime", None))
    for _ in range(4):
        box.run()
        box.clock.advance(HEALTHY_S + 1)
    assert box.model.ref.backend == "scripted"
    box.run()
    box.run()
    assert box.model.ref.backend == "onnxruntime"
    box.model.close()


def test_when_all_fail_it_says_why_and_rests_before_the_next_try(bundle: Bundle, tmp_path: Path) -> None:
    broken = scripted.Plugin(refuse="gone")
    box = Script(bundle, tmp_path, ("scripted", broken), played(tmp_path, LOST))
    for pause in (1.0, 2.0, 4.0):
        with pytest.raises(BackendError, match=r"gone.*lost the device"):
            box.run()
        with pytest.raises(BackendError, match="no backend works"):  # at once, without trying
            box.run()
        box.clock.advance(pause + 0.01)
    assert box.model.ref.backend == "none"
    box.model.close()


def test_it_recovers_when_the_device_comes_back(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "device.jsonl"
    path.write_text(LOST)
    box = Script(bundle, tmp_path, ("scripted", scripted.Plugin(file=path)))
    with pytest.raises(BackendError):
        box.run()
    path.write_text(PLAYED)
    box.clock.advance(60)
    assert box.run()[0]["boxes"].tolist() == [[0, 0, 1, 1]]
    box.model.close()
    box.model.close()


CRASHING = """
import sys
from pathlib import Path
from smartbox.backends.scripted import Plugin
from smartbox.bundle import Bundle
from smartbox.model import Model
from tests import tiny

bundle, script, state = map(Path, sys.argv[1:])
model = Model(Bundle.open(bundle), [("scripted", Plugin(file=script)), ("onnxruntime", None)], state)
model.run([tiny.INPUT[0]])
print(model.ref.backend)
model.close()
"""


def start(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CRASHING, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


def test_a_backend_that_kills_the_process_is_passed_over_after_three_deaths(bundle: Bundle, tmp_path: Path) -> None:
    script, state = tmp_path / "crash.jsonl", tmp_path / "state"
    script.write_text('{"crash": true}')
    for _ in range(DEATHS):
        assert start(bundle.path, script, state).returncode == -signal.SIGABRT
    survivor = start(bundle.path, script, state)
    assert survivor.stdout.strip() == "onnxruntime", survivor.stderr
    assert "died 3 times in a row" in survivor.stderr
    assert start(bundle.path, script, state).returncode == -signal.SIGABRT  # forgiven by the orderly end


STOPPED = """
import os, sys, threading, time
from pathlib import Path
from smartbox.bundle import Bundle
from smartbox.model import Model

bundle, state = map(Path, sys.argv[1:])
model = Model(Bundle.open(bundle), [("auto", None)], state)
threading.Thread(target=model.open, daemon=True).start()
while not (state / "trials.json").exists():
    time.sleep(0.01)
print((state / "trials.json").read_text())
model.close()
os._exit(0)
"""


def test_a_stop_while_engines_are_measured_is_no_death(bundle: Bundle, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STOPPED, bundle.path, tmp_path / "state"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, cwd=ROOT).stdout
    assert list(json.loads(said).values()) == [1], "it was on its way"
    assert json.loads((tmp_path / "state" / "trials.json").read_text()) == {}


def test_deaths_that_leave_nothing_are_forgiven_and_long_life_counts(bundle: Bundle, tmp_path: Path) -> None:
    trials = Trials(tmp_path / "state")
    box = Script(bundle, tmp_path, ("onnxruntime", None))
    box.run()
    (engine,) = json.loads((tmp_path / "state" / "trials.json").read_text())
    for _ in range(DEATHS):
        trials.begin(engine)
    again = Script(bundle, tmp_path, ("onnxruntime", None))
    again.run()
    assert json.loads((tmp_path / "state" / "trials.json").read_text()) == {engine: 1}
    again.clock.advance(HEALTHY_S)
    again.run()
    assert json.loads((tmp_path / "state" / "trials.json").read_text()) == {}
    (tmp_path / "state" / "trials.json").write_text("[torn")
    assert not trials.deadly(engine)
    again.model.close()
    box.model.close()


def test_auto_is_the_fastest_that_agrees_and_is_remembered(bundle: Bundle, tmp_path: Path) -> None:
    box = Script(bundle, tmp_path, ("auto", None))
    box.run()
    assert box.model.ref.backend == "onnxruntime"
    assert "onnxruntime" in (tmp_path / "state" / "backends.json").read_text()
    box.model.close()


def test_auto_without_agreement_leaves_it_to_the_next(tmp_path: Path) -> None:
    strict = tiny.write(tmp_path / "strict", "onnxruntime", atol=1e-6)
    box = Script(strict, tmp_path, ("auto", None), ("onnxruntime", None))
    box.run()
    assert "off by 0." in box.said[0]
    assert box.model.ref.backend == "onnxruntime"
    box.model.close()
    alone = Script(strict, tmp_path, ("auto", None))
    for _ in range(2):
        with pytest.raises(BackendError, match="name a backend beside auto"):
            alone.run()
    assert len(alone.said) == 1, "it measured again without a pause"
