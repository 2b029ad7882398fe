"""Fixtures of the sources' tests."""

from pathlib import Path

import pytest

from tests.rtsp import rtsp_server
from tests.sources.media import write_video

__all__ = ["clip", "rtsp_server"]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264, 25 fps, 4 s, a key frame every 0.4 s, no B-frames: like a camera, but quick to join."""
    path = tmp_path_factory.mktemp("clips") / "camera.mp4"
    return write_video(path, range(0, 4000, 40), options={"g": "10", "bf": "0"})
