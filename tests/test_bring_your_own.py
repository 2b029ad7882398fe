"""The guide's commands are run as they stand there."""

import re
import shutil
from pathlib import Path

import pytest

from smartbox.__main__ import main
from smartbox.bundle import Bundle

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide" / "bring-your-own-detector.md"


@pytest.mark.shared
def test_the_guides_commands_make_a_bundle_that_benches(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shared / "peers" / "yolox_nano.onnx", tmp_path)
    (tmp_path / "yard").mkdir()
    for picture in sorted((shared / "detect" / "train" / "images").glob("cctv_*"))[:3]:
        shutil.copy(picture, tmp_path / "yard")
    commands = re.findall(r"^\$ smartbox (lab import .*|models verify .*|bench .*)$", GUIDE.read_text("utf-8"), re.M)
    assert len(commands) == 3
    for command in commands:
        extra = ["--runs", "3"] if command.startswith("bench") else []
        assert main([*command.split(), *extra]) == 0, command
    said = capsys.readouterr().out
    assert 'kind: "yolox"' in said
    assert re.search(r'found: .*"car": [1-9]', said)
    bundle = Bundle.open(tmp_path / "yolox-nano")
    assert bundle.manifest.expand("vehicle") == ("car", "bus", "truck")
    assert len(list((bundle.path / "look").glob("*.jpg"))) == 3
