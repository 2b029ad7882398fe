"""`smartbox replay --pictures`: writes into a person's directory, and leaves alone what lies there."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox.__main__ import main

CONFIG = """
version: 1
box: {{site: t, id: b, state_dir: {path}/state}}
mqtt: {{url: mqtt://127.0.0.1}}
sources: {{gate: {{type: file, path: {path}/gate.mp4}}}}
rules: {{lens: {{type: tamper, cameras: [gate]}}}}
"""
OLD = 1_500_000_000.0


def covered(path: Path) -> None:
    """A camera that is covered after 12 of its 30 seconds."""
    noise = np.random.default_rng(0)
    wall = noise.integers(60, 200, (120, 160, 3))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(150):
            shown = wall if i < 60 else np.full_like(wall, 2)
            image = np.clip(shown + noise.integers(-3, 4, wall.shape), 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        out.mux(stream.encode())


def test_a_persons_files_survive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    covered(tmp_path / "gate.mp4")
    (tmp_path / "box.yaml").write_text(CONFIG.format(path=tmp_path))
    mine = tmp_path / "mine"
    mine.mkdir()
    theirs = {".env", ".gitignore", ".draft.jpg.new", "thesis.odt", "holiday.jpg", "birthday.mp4"}
    for name in theirs:
        (mine / name).write_text(name)
        os.utime(mine / name, (OLD, OLD))
    assert main(["replay", "-c", str(tmp_path / "box.yaml"), "--pictures", str(mine), "--json"]) == 0
    assert "tamper.begin" in capsys.readouterr().out
    written = {path.name for path in mine.iterdir()} - theirs
    assert any(name.endswith("-clean.jpg") for name in written)
    assert {name: (mine / name).read_text() for name in theirs} == {name: name for name in theirs}
    assert {(mine / name).stat().st_mtime for name in theirs} == {OLD}
