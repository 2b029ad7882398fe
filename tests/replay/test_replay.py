"""Replay: the same events at any speed, from detections, from recordings, and from the clips beside the project."""

import json
from pathlib import Path

import pytest

from smartbox.__main__ import main
from smartbox.replay import input_settings
from smartbox.sources._base import SourceSettings

TRUTH = Path(__file__).with_name("truth")
HEAD = """
version: 1
box: {{site: t, id: b, state_dir: {state}}}
mqtt: {{url: mqtt://127.0.0.1}}
models:
  eyes: {{bundle: lrssd-park, backends: [onnxruntime]}}
  ears: {{bundle: muffnet-sound, backends: [onnxruntime]}}
"""
CONFIG = """
sources: {{{source}: {{type: file, path: {path}, fps: {fps}, model: eyes}}}}
zones:
  room: {{source: {source}, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}
  middle: {{source: {source}, line: [[0, 0.5], [1, 0.5]]}}
rules:
  room-visit: {{type: intrusion, zones: [room], labels: [person], dwell: 5s, cooldown: 0s}}
  car-count: {{type: line_crossing, zones: [middle], labels: [vehicle]}}
"""


def configuration(tmp_path: Path, source: str, path: Path, fps: float = 5) -> Path:
    return configured(tmp_path, CONFIG.format(source=source, path=path, fps=fps))


def configured(tmp_path: Path, body: str) -> Path:
    """A configuration with the two models; body: its sources, zones and rules."""
    file = tmp_path / "smartbox.yaml"
    file.write_text(HEAD.format(state=tmp_path / "state") + body)
    return file


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def visit(start: float, end: float) -> list[str]:
    """One person who stands in the room from `start` to `end` s, seen five times a second."""
    box = {"label": "person", "score": 0.9, "xyxy": [0.4, 0.2, 0.5, 0.9]}
    times = [round(0.2 * i, 1) for i in range(200)]
    found = [{"source": "room", "time": t, "detections": [box] if start <= t < end else []} for t in times]
    return [json.dumps(line) for line in found]


def test_recorded_detections_become_one_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, "room", tmp_path / "none.mp4")
    detections, truth = tmp_path / "seen.jsonl", tmp_path / "truth.jsonl"
    detections.write_text("\n".join(visit(4.0, 20.0)))
    truth.write_text('{"rule": "room-visit", "source": "room", "subject": "x", "start_s": 4.0, "end_s": 20.0}')
    arguments = ["replay", "-c", str(config), "--input", f"room={detections}", "--json", "--truth", str(truth)]
    assert main(arguments) == 0
    *events, score = lines_of(capsys)
    assert [e["type"] for e in events] == ["smartbox.alarm.intrusion.begin", "smartbox.alarm.intrusion.end"]
    assert events[0]["data"]["clock"]["monotonic_s"] == pytest.approx(9.0, abs=0.4)  # type: ignore[index]
    assert "1.0" in json.dumps(score)


def test_the_same_events_at_any_speed_and_every_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, "room", tmp_path / "none.mp4")
    detections = tmp_path / "seen.jsonl"
    detections.write_text("\n".join(visit(0.0, 3.0)))
    config.write_text(config.read_text().replace("dwell: 5s", "dwell: 1s"))
    arguments = ["replay", "-c", str(config), "--input", f"room={detections}", "--until", "3s"]
    results = []
    for speed in ("max", "max", "real"):
        assert main([*arguments, "--speed", speed]) == 0
        results.append(capsys.readouterr().out)
    assert results[0]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "seen.jsonl:1"), ('{"time": 1, "detections": [{"label": "x"}]}', "a line is"), ("[]", "a line is")],
)
def test_a_bad_line_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    config = configuration(tmp_path, "room", tmp_path / "none.mp4")
    (tmp_path / "seen.jsonl").write_text(text)
    assert main(["replay", "-c", str(config), "--input", f"room={tmp_path / 'seen.jsonl'}"]) == 1
    assert message in capsys.readouterr().err


def test_bad_inputs_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, "room", tmp_path / "none.mp4")
    assert main(["replay", "-c", str(config), "--input", "hall=a.mp4"]) == 2
    assert "sources are room" in capsys.readouterr().err
    assert main(["replay", "-c", str(config), "--input", "room=none.mp4"]) == 1
    assert main(["replay", "-c", str(config)]) == 1
    assert "none.mp4" in capsys.readouterr().err


def scored(
    tmp_path: Path, clip: Path, source: str, fps: float, capsys: pytest.CaptureFixture[str]
) -> dict[str, object]:
    config = configuration(tmp_path, source, clip, fps)
    truth = TRUTH / f"{clip.stem}.jsonl"
    assert main(["replay", "-c", str(config), "--truth", str(truth), "--json"]) == 0
    return lines_of(capsys)[-1]


def test_each_visit_of_the_real_clip_is_one_episode(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = scored(tmp_path, shared / "clips" / "one-by-one-person-detection.mp4", "room", 5, capsys)
    assert (result["true"], result["false"], result["missed"]) == (6, 0, 0)


def test_passing_cars_of_the_real_clip_are_counted(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = scored(tmp_path, shared / "clips" / "car-detection.mp4", "lane", 12, capsys)
    assert (result["true"], result["false"], result["missed"]) == (4, 0, 0)


def test_the_real_clip_gives_the_same_events_at_real_speed(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, "room", shared / "clips" / "one-by-one-person-detection.mp4")
    outputs = []
    for speed in ("max", "real"):
        assert main(["replay", "-c", str(config), "--speed", speed, "--until", "14s"]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("intrusion.begin") == 1


def test_a_recording_beside_a_simulator_ends_with_the_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A simulator has no end: where a recording is named, only recordings play."""
    detections = tmp_path / "room.jsonl"
    detections.write_text("\n".join(visit(2.0, 12.0)))
    file = configuration(tmp_path, "room", detections)
    written = file.read_text().replace("sources: {", "sources: {yard: {type: simulator, scene: gate}, ")
    file.write_text(written)
    assert main(["replay", "-c", str(file), "--input", f"room={detections}"]) == 0
    assert [line["data"]["phase"] for line in lines_of(capsys)] == ["begin", "end"]


def test_a_recording_is_looked_at_as_its_source_would_be() -> None:
    written = SourceSettings.model_validate({"crops": 3, "fps": 2, "enabled": False}).model_dump()
    settings = input_settings({**written, "url": "rtsp://camera"}, Path("gate.mp4"), "rtsp")
    assert (settings["type"], settings["path"], settings["crops"], settings["fps"]) == ("file", "gate.mp4", 3, 2)
    assert not {"enabled", "url"} & settings.keys()  # who names a recording wants it played


def test_a_recording_is_heard_as_its_source_would_be() -> None:
    written = SourceSettings.model_validate({}).model_dump()
    assert input_settings(written, Path("phone.mp4"), "microphone")["audio"] is True
    assert input_settings({**written, "audio": True}, Path("gate.mp4"), "rtsp")["audio"] is True
    assert "audio" not in input_settings({**written, "audio": False}, Path("gate.mp4"), "rtsp")


def test_a_word_acknowledges_alarms_here_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = [
        {"time": i * 0.25, "sounds": {"siren": 0.9 if i >= 8 else 0.0, "yes": 0.9 * (24 <= i < 28)}} for i in range(60)
    ]
    (tmp_path / "hall.jsonl").write_text("\n".join(map(json.dumps, heard)))
    file = configured(
        tmp_path,
        """
sources: {hall: {type: file, path: none.wav, model: ears}}
rules:
  alarms: {type: sound, cameras: [hall], labels: [siren]}
  seen: {type: sound, cameras: [hall], labels: ["yes"], acknowledges: [alarms], cooldown: 0s}
""",
    )
    assert main(["replay", "-c", str(file), "--input", f"hall={tmp_path}/hall.jsonl"]) == 0
    told = [line["data"] for line in lines_of(capsys)]
    assert [(d["rule"]["id"], d["phase"]) for d in told][:3] == [
        ("alarms", "begin"),
        ("seen", "begin"),
        ("alarms", "update"),
    ]
    assert told[2]["detail"]["acknowledged"]["by"] == "voice:yes@hall"
