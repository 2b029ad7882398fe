"""The command: a readable video, and truth that fits it and the configuration."""

import json
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox import config
from smartbox.__main__ import main
from smartbox.commands.simulate import cameras_of
from smartbox.score import read_truth
from smartbox.simulation import SCENES, Shot, alarms
from smartbox.simulation.park import WATCHES
from smartbox.simulation.sound import RATE, SOUNDS, sound

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo.yaml"


def test_a_video_and_its_truth(tmp_path: Path) -> None:
    assert main(["simulate", "gate", "-o", str(tmp_path), "--seed", "3", "--duration", "22s", "--fps", "4"]) == 0
    with av.open(str(tmp_path / "gate" / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 640, 360)
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
    assert np.allclose(times, np.arange(88) / 4, atol=1e-6)
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    boxes = [line for line in lines if "boxes" in line]
    assert [line["time"] for line in boxes] == [i / 4 for i in range(88)]
    assert any(b["label"] == "person" and b["id"] == "person1" for line in boxes for b in line["boxes"])
    known = read_truth(tmp_path / "truth.jsonl")  # what `score` reads
    expected = alarms(Shot("gate", 3), WATCHES["gate"], 22.0)
    assert [(t.rule, t.source, t.subject) for t in known] == [(a.rule, "gate", a.subject) for a in expected]


def test_the_park_of_the_demo_is_the_park_of_the_command() -> None:
    made = cameras_of(config.load(DEMO), seed=5)
    assert [c.source for c in made] == list(SCENES)
    for camera in made:
        assert camera.shot == Shot(camera.shot.scene, 5) and camera.fps == 5
        assert camera.watches == WATCHES[camera.shot.scene]


def test_cameras_of_a_configuration(tmp_path: Path) -> None:
    command = ["simulate", "-c", str(DEMO), "-o", str(tmp_path), "--seed", "4", "--duration", "2s", "--json"]
    assert main(command) == 0
    assert sorted(p.parent.name for p in tmp_path.glob("*/video.mp4")) == sorted(SCENES)
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert all(len(line["slots"]) == 6 for line in lines if line["source"] == "lot")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "SCENARIO"), (["gate", "-c", "x.yaml"], "either")],
)
def test_wrong_use_is_explained(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", "gate", "-o", str(tmp_path / "file" / "sub")]) == 1
    assert "cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize("kind", SOUNDS)
def test_sounds(kind: str) -> None:
    made = sound(kind, 8.0, 2)  # type: ignore[arg-type]
    assert made.dtype == np.float32 and len(made) == 8 * RATE and np.abs(made).max() <= 1
    assert np.array_equal(made, sound(kind, 8.0, 2))  # type: ignore[arg-type]
    loud = np.abs(made).reshape(-1, RATE // 20).max(1) > 0.15
    starts = int((np.diff(loud.astype(int)) == 1).sum() + loud[0])
    assert {"t3": 6, "t4": 8, "background": 0}.get(kind, starts) == starts


def test_an_alarm_on_disk(tmp_path: Path) -> None:
    assert main(["simulate", "t3", "-o", str(tmp_path), "--duration", "4s"]) == 0
    with av.open(str(tmp_path / "audio.wav")) as container:
        stream = container.streams.audio[0]
        assert stream.rate == RATE and float(stream.duration * stream.time_base) == pytest.approx(4.0)
