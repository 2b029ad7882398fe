"""HTTP cameras against a real server: MJPEG, MPEG-TS, and whatever else may answer."""

import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.sources.http import Plugin
from smartbox.types import AudioChunk, Frame

from .camera import HttpCamera, serving
from .media import BootClock, collect, times, write_video


@pytest.fixture
def mjpeg() -> Iterator[HttpCamera]:
    with serving(HttpCamera()) as camera:
        yield camera


def test_mjpeg(mjpeg: HttpCamera) -> None:
    frames = collect(Plugin(url=mjpeg.url(), fps=10), SystemClock(), limit=6)
    assert all(isinstance(f, Frame) and f.image.shape == (120, 160, 3) and f.luma.shape == (120, 160) for f in frames)
    assert np.diff([f.time for f in frames]).min() > 0
    assert abs(frames[-1].time - time.monotonic()) < 30
    assert abs(frames[-1].utc - time.time()) < 30


def test_mpegts_that_changes_its_size(tmp_path: Path) -> None:
    sizes = [(160, 120), (320, 180)]
    parts = [write_video(tmp_path / f"{w}.ts", range(0, 2000, 40), size=(w, h)) for w, h in sizes]
    body = b"".join(part.read_bytes() for part in parts)
    with serving(HttpCamera(body, "video/mp2t")) as camera:
        reader = Plugin(url=camera.url(), fps=50, timeout=2).read("cam", SystemClock(), threading.Event())
        seen: list[Frame] = []
        while len({f.image.shape for f in seen}) < 2:  # SourceError ends it if the second size never comes
            seen.append(next(reader))
        reader.close()
    assert {f.image.shape for f in seen} == {(120, 160, 3), (180, 320, 3)}
    assert np.diff(times(seen)).min() > 0


def test_sound_of_a_camera(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.ts", range(0, 4000, 40), tone_s=4.0)
    with serving(HttpCamera(clip.read_bytes(), "video/mp2t", seconds=4.0)) as camera:
        reader = Plugin(url=camera.url(), audio=True).read("cam", SystemClock(), threading.Event())
        chunks: list[AudioChunk] = []
        while len(chunks) < 3:  # SourceError ends it if no sound comes
            sample = next(reader)
            chunks += [sample] if isinstance(sample, AudioChunk) else []
        reader.close()
    assert [c.seq for c in chunks] == [0, 1, 2]
    assert np.diff([c.time for c in chunks]).min() > 0.4
    assert np.argmax(np.abs(np.fft.rfft(chunks[1].samples))) * 2 == 440  # Hz


def test_sound_follows_a_clock_that_is_set(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.ts", range(0, 6000, 40), tone_s=6.0)
    clock, chunks = BootClock(), list[AudioChunk]()
    with serving(HttpCamera(clip.read_bytes(), "video/mp2t", seconds=6.0)) as camera:
        reader = Plugin(url=camera.url(), audio=True).read("cam", clock, threading.Event())
        while not chunks or chunks[-1].utc < 1e9:  # SourceError ends it if that does not come
            sample = next(reader)
            if isinstance(sample, AudioChunk):
                chunks.append(sample)
                clock.set()
        reader.close()
    assert chunks[0].utc < 1e9
    assert abs(chunks[-1].utc - time.time()) < 30


def test_a_camera_that_is_to_be_heard_and_sends_no_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = write_video(tmp_path / "a.ts", range(0, 2000, 40)).read_bytes()
    with serving(HttpCamera(body, "video/mp2t")) as camera:
        for settings, key in [({"audio": True}, "`audio: true`"), ({"sound_model": "ears"}, "`sound_model: ears`")]:
            caplog.clear()
            collect(Plugin(url=camera.url(), **settings), SystemClock(), limit=1)
            (said,) = caplog.messages
            assert said == f"cam: the camera sends no sound: switch it on in the camera, or take away {key}"
        caplog.clear()
        collect(Plugin(url=camera.url()), SystemClock(), limit=1)
        assert not caplog.messages


def test_account_in_the_address(mjpeg: HttpCamera) -> None:
    mjpeg.account = "admin:s3cret"
    assert collect(Plugin(url=mjpeg.url(account=mjpeg.account)), SystemClock(), limit=1)
    wrong = "".join(["wr", "0ng"])  # a traceback prints this file's lines
    with pytest.raises(SourceError, match=r"401.*check user and password") as caught:
        collect(Plugin(url=mjpeg.url(account=f"admin:{wrong}")), SystemClock())
    assert wrong not in "".join(traceback.format_exception(caught.value))
    assert "admin:***@127.0.0.1" in str(caught.value)


def test_the_substream_is_read(mjpeg: HttpCamera) -> None:
    collect(Plugin(url=mjpeg.url("/main"), substream_url=mjpeg.url("/sub")), SystemClock(), limit=1)
    assert mjpeg.seen == ["/sub"]


def test_no_such_path(mjpeg: HttpCamera) -> None:
    with pytest.raises(SourceError, match="404 Not Found; check the path"):
        collect(Plugin(url=mjpeg.url("/nope")), SystemClock())


def test_what_is_no_video() -> None:
    with (
        serving(HttpCamera(b"<html>login</html>" * 100, "text/html")) as camera,
        pytest.raises(SourceError, match=f"cam: http://127.0.0.1:{camera.port}/video"),
    ):
        collect(Plugin(url=camera.url(), timeout=1), SystemClock())


def test_a_server_that_ends_the_stream(mjpeg: HttpCamera) -> None:
    reader = Plugin(url=mjpeg.url()).read("cam", SystemClock(), threading.Event())
    next(reader)
    mjpeg.gone.set()
    with pytest.raises(SourceError, match="the stream broke off"):
        list(reader)


def test_silence_is_an_error_and_the_next_read_works(mjpeg: HttpCamera) -> None:
    plugin = Plugin(url=mjpeg.url(), timeout=1)
    reader = plugin.read("cam", SystemClock(), threading.Event())
    next(reader)
    mjpeg.silent.set()
    with pytest.raises(SourceError):
        list(reader)
    mjpeg.silent.clear()
    assert collect(plugin, SystemClock(), limit=1)


def test_a_port_where_nobody_listens() -> None:
    with pytest.raises(SourceError, match="Connection refused; is the camera on"):
        collect(Plugin(url="http://127.0.0.1:9/"), SystemClock())


@pytest.mark.parametrize("url", ["rtsp://h/a", "file:///etc/passwd", "concat:a|b", "http://", "admin:hunter2@h", "-"])
def test_only_addresses_of_http(url: str) -> None:
    with pytest.raises(ValidationError, match="write http:// or https://") as caught:
        Plugin(url=url)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_not_in_the_settings_as_printed() -> None:
    plugin = Plugin(url="http://admin:hunter2@h/a")
    assert "hunter2" not in f"{plugin!r} {plugin} {plugin.model_dump()} {plugin.model_dump_json()}"
    with pytest.raises(ValidationError) as caught:
        Plugin(url="rtsp://admin:hunter2@h/a")
    assert "hunter2" not in str(caught.value)
