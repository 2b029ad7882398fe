"""What commands are given beside the configuration: exit 1 for what does not work, 2 for what makes no sense."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smartbox.simulation.sound import write_wav
from tests.cli.conftest import Said, Site, write_clip

LINES = [
    # a line of detections, where in it, what would be right
    ("[]", "", "a line is"),
    ("7", "", "a line is"),
    ("null", "", "a line is"),
    ('{"time": 1', "JSON", "a line is"),
    ("{}", "time", "is missing"),
    ('{"time": "soon"}', "time: 'soon'", "must be a number"),
    ('{"time": NaN}', "time", "must be"),
    ('{"time": 1e400}', "time", "must be"),
    ('{"time": -1}', "time: -1", "at least 0"),
    ('{"time": 1, "source": 5}', "source: 5", "must be text"),
    ('{"time": 1, "detections": 3}', "detections: 3", "must be a list"),
    ('{"time": 1, "detections": [3]}', "detections.0", "must be a mapping"),
    ('{"time": 1, "detections": [{"label": "x"}]}', "detections.0.score", "is missing"),
    ('{"time": 1, "detections": [{"label": 5, "score": 0.5, "xyxy": [0, 0, 1, 1]}]}', "label: 5", "must be text"),
    ('{"time": 1, "detections": [{"label": "x", "score": 2, "xyxy": [0, 0, 1, 1]}]}', "score: 2", "at most 1"),
    ('{"time": 1, "detections": [{"label": "x", "score": 1, "xyxy": [0, 0, 1]}]}', "xyxy.3", "is missing"),
    ('{"time": 1, "detections": [{"label": "x", "score": 1, "xyxy": [0, NaN, 1, 1]}]}', "xyxy.1", "must be"),
    ('{"time": 1, "detections": [{"label": "x", "score": 1, "xyxy": [9, 9, 99, 99]}]}', "xyxy.0: 9", "at most 2"),
    ('{"time": 1, "detections": [{"label": "x", "score": 1, "xyxy": [0.9, 0, 0.1, 1]}]}', "0.9", "left, top, right"),
    ('{"time": 1, "sounds": [1]}', "sounds", "must be a mapping"),
    ('{"time": 1, "sounds": {"alarm": "loud"}}', "sounds.alarm: 'loud'", "must be a number"),
    ('{"time": 1}\n{"time": 0.5}', "0.5 s comes after 1 s", ":3"),
    ("[" * 3000, "JSON", "a line is"),
]


@pytest.mark.parametrize(("line", "where", "right"), LINES)
def test_a_bad_line_of_detections(site: Site, smartbox: Callable[..., Said], line: str, where: str, right: str) -> None:
    site.write("seen.jsonl", '{"time": 0}\n' + line)
    said = smartbox("replay", "-c", site.config, "--input", "gate=seen.jsonl")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("smartbox replay: source gate: seen.jsonl:")
    assert where in said.err
    assert right in said.err
    assert len(said.err.splitlines()) == 1


TRUTH = [
    ("[]", "", "a truth line is"),
    ("{", "no JSON", "a truth line is"),
    ('{"rule": "nobody", "source": "gate"}', "start_s", "is missing"),
    ('{"rule": "nobody", "source": "gate", "start_s": "x"}', "start_s: 'x'", "must be a number"),
    ('{"rule": "nobody", "source": "gate", "start_s": NaN}', "start_s", "must be a finite number"),
    ('{"rule": "nobody", "source": "gate", "start_s": 9, "end_s": 1}', "end_s 1", "before start_s 9"),
    ('{"rule": ["nobody"], "source": "gate", "start_s": 1}', "rule", "must be text"),
    ('{"rule": "nobodi", "source": "gate", "start_s": 1}', "'nobodi'", "it has nobody"),
    ('{"rule": "nobody", "source": "gaet", "start_s": 1}', "'gaet'", "it has gate"),
]


@pytest.mark.parametrize(("line", "where", "right"), TRUTH)
def test_a_bad_line_of_truth(site: Site, smartbox: Callable[..., Said], line: str, where: str, right: str) -> None:
    """Told before a single frame was replayed."""
    site.write("truth.jsonl", line)
    site.write("events.jsonl", "")
    for command in (["replay", "--input", "gate=seen.jsonl"], ["score", "--events", "events.jsonl"]):
        said = smartbox(*command, "-c", site.config, "--truth", "truth.jsonl")
        assert (said.code, said.out) == (1, "")
        assert "truth.jsonl:" in said.err
        assert where in said.err
        assert right in said.err


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"rule": "nobody"}',
        '{"id": [], "source": "s", "type": "t", "data": {}}',
        '{"id": "a", "source": "s", "type": "t", "data": {"phase": "begin"}}',
        '{"id": "a", "source": "s", "type": "t", "data": {"phase": "begin", "camera": "gate", '
        '"rule": {"id": ["r"]}, "clock": {"monotonic_s": 1}}}',
        '{"id": "a", "source": "s", "type": "t", "data": {"phase": "begin", "camera": "gate", '
        '"rule": {"id": "r"}, "clock": {"monotonic_s": NaN}}}',
    ],
)
def test_a_bad_event(site: Site, smartbox: Callable[..., Said], line: str) -> None:
    site.write("events.jsonl", "\n" + line)
    said = smartbox("score", "-c", site.config, "--truth", "truth.jsonl", "--events", "events.jsonl")
    assert (said.code, said.out) == (1, "")
    assert "is not a CloudEvent of a smartbox: " in said.err


@pytest.mark.parametrize("name", ["gone", "folder", "binary"])
@pytest.mark.parametrize("option", ["--truth", "--events", "--input"])
def test_files_that_cannot_be_read(site: Site, smartbox: Callable[..., Said], name: str, option: str) -> None:
    (site.path / "folder").mkdir()
    (site.path / "binary").write_bytes(b"\xff\xfe\x00")
    site.write("events.jsonl", "")
    files = {"--truth": "truth.jsonl", "--events": "events.jsonl"} | {option: name}
    command = ["score", "-c", site.config, *(part for pair in files.items() for part in pair)]
    if option == "--input":
        command = ["replay", "-c", site.config, "--input", f"gate={name}"]
    said = smartbox(*command)
    assert (said.code, said.out) == (1, "")
    assert name in said.err
    assert "Errno" not in said.err


USAGE = [
    (["check", "-c", "smartbox.yaml", "--pictures", "x"], "--pictures needs --probe"),
    (["run"], "give either -c FILE or --source URL"),
    (["run", "-c", "smartbox.yaml", "--source", "x"], "give either"),
    (["simulate"], "give either SCENARIO or -c FILE"),
    (["simulate", "park", "--duration", "5x"], "write it as 60s"),
    (["simulate", "park", "--duration", "0s"], "more than 0"),
    (["simulate", "park", "--fps", "nan"], "'nan': must be a number above 0"),
    (["simulate", "park", "--seed", "-1"], "at least 0"),
    (["replay", "-c", "smartbox.yaml", "--input", "gate"], "write SOURCE=PATH; sources are gate"),
    (["replay", "-c", "smartbox.yaml", "--input", "gaet=x"], "write SOURCE=PATH; sources are gate"),
    (["replay", "-c", "smartbox.yaml", "--until", "5x"], "write it as 60s"),
    (["replay", "-c", "smartbox.yaml", "--until", "-5"], "more than 0"),
    (["replay", "-c", "smartbox.yaml", "--start", "yesterday"], "write it as 2026-11-24T22:00"),
    (["score", "-c", "smartbox.yaml"], "--truth"),
    (["events", "-c", "smartbox.yaml", "--since", "yesterday"], "write it as 2h"),
    (["bench", "--runs", "0"], "at least 1"),
    (["bench", "--fps", "-2"], "above 0"),
    (["bench", "--backend", "cuda"], "choose from"),
    (["models", "destroy"], "choose from"),
    (["zones", "-c", "smartbox.yaml", "gaet"], "it has gate"),
    (["schema", "everything"], "choose from"),
    (["rum"], "choose from"),
    ([], "COMMAND"),
]


@pytest.mark.parametrize(("arguments", "right"), USAGE)
def test_wrong_usage(site: Site, smartbox: Callable[..., Said], arguments: list[str], right: str) -> None:
    said = smartbox(*arguments)
    assert (said.code, said.out) == (2, "")
    assert right in said.err


def clips(site: Site, clip: Path) -> dict[str, tuple[Path | str, str]]:
    text = site.write("text.mp4", "hello")
    (site.path / "folder.mp4").mkdir()
    cut = site.path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:2000])
    return {
        "missing": ("gone.mp4", "there is no file gone.mp4"),
        "directory": ("folder.mp4", "is a directory"),
        "text": (text, "expected a video or sound file"),
        "cut": (cut, "cut.mp4"),
        "null": ("/dev/null", "/dev/null"),
    }


def test_a_clip_that_cannot_be_played(site: Site, clip: Path, smartbox: Callable[..., Said]) -> None:
    text = site.text
    for name, message in clips(site, clip).values():
        site.config.write_text(text.replace(str(clip), str(name)))
        said = smartbox("replay", "-c", site.config)
        assert (said.code, said.out) == (1, "")
        assert message in said.err
        assert "Errno" not in said.err
        probed = smartbox("check", "-c", site.config, "--probe", "--json")
        assert probed.code == 1
        found = {item["what"]: item["error"] for item in probed.document["probe"]}
        assert message in found["sources.gate"]
        assert found["models.eyes"] is None


def test_a_clip_in_a_codec_that_nobody_decodes(site: Site, smartbox: Callable[..., Said]) -> None:
    """The name of the codec in the container is replaced by one that FFmpeg does not know."""
    data = write_clip(site.path / "good.avi").read_bytes()
    (site.path / "odd.avi").write_bytes(data.replace(b"FMP4", b"ZZZZ"))
    said = smartbox("replay", "-c", site.config, "--input", "gate=odd.avi")
    assert (said.code, said.out) == (1, "")
    assert "odd.avi: no decoder for its video; expected H.264" in said.err


def test_sound_where_a_picture_is_expected(site: Site, clip: Path, smartbox: Callable[..., Said]) -> None:
    write_wav(site.path / "sound.wav", np.zeros(16000, np.float32))
    site.edit(str(clip), "sound.wav")
    said = smartbox("zones", "-c", site.config, "gate")
    assert (said.code, said.out) == (1, "")
    assert "gate: delivers no picture to draw on" in said.err
    site.edit("sound.wav", "sound.wav, audio: false")
    said = smartbox("replay", "-c", site.config)
    assert (said.code, said.out) == (1, "")
    assert "has no video stream to deliver" in said.err


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("gone.mp4", "no such file; give rtsp://"),
        ("/tmp", "is a directory; give rtsp://"),
        ("rtsp://", "is no address of a camera"),
        ("rtsp://admin:pass/word@10.0.0.1/x", "in a password write / as %2F"),
    ],
)
def test_run_on_a_source_that_is_none(site: Site, smartbox: Callable[..., Said], where: str, message: str) -> None:
    said = smartbox("run", "--source", where)
    assert said.code in (1, 78)
    assert message in said.err
    assert "pass/word" not in said.err


def test_output_that_cannot_be_written(site: Site, smartbox: Callable[..., Said]) -> None:
    file = site.write("file", "")
    for command in (
        ["zones", "-c", site.config, "gate", "-o", file / "zones.html"],
        ["zones", "-c", site.config, "gate", "-o", site.path],
        ["simulate", "gate", "--duration", "1s", "-o", file],
        ["simulate", "t3", "--duration", "1s", "-o", file],
        ["replay", "-c", site.config, "--input", "gate=seen.jsonl", "--pictures", file],
        ["check", "-c", site.config, "--probe", "--pictures", file],
        ["models", "verify", file],
    ):
        said = smartbox(*command)
        assert said.code == 1, said
        assert str(file) in said.out + said.err or str(site.path) in said.err


def test_bundles_that_are_broken(site: Site, smartbox: Callable[..., Said]) -> None:
    weights = site.path / "models" / "eyes" / "script.jsonl"
    good = weights.read_bytes()
    flipped = bytearray(good)
    flipped[5] ^= 1
    for content, message in ((bytes(flipped), "is corrupt: sha256"), (good[:-1], "bytes, the manifest says")):
        weights.write_bytes(content)
        for command in (["models", "verify", "eyes"], ["check", "-c", site.config, "--probe"]):
            said = smartbox(*command)
            assert said.code == 1
            assert message in said.out
        said = smartbox("replay", "-c", site.config)
        assert (said.code, said.out) == (1, "")
        assert message in said.err
    manifest = site.path / "models" / "eyes" / "manifest.yaml"
    for path in ("../../smartbox.yaml", "/etc/passwd", "a/../../b", "..\\\\x"):
        manifest.write_text(manifest.read_text().replace("script.jsonl", path))
        said = smartbox("check", "-c", site.config)
        assert said.code == 78
        assert "files.scripted.path: write a path relative to the bundle's directory" in said.err
        manifest.write_text(manifest.read_text().replace(path, "script.jsonl"))
    weights.unlink()
    weights.mkdir()
    assert "is no file" in smartbox("models", "verify", "eyes").out


def test_detections_of_another_camera_are_left_out(site: Site, smartbox: Callable[..., Said]) -> None:
    site.write("seen.jsonl", json.dumps({"source": "hall", "time": 1}) + "\n\n")
    said = smartbox("replay", "-c", site.config, "--input", "gate=seen.jsonl", "--json")
    assert (said.code, said.out, said.err) == (0, "", "")
