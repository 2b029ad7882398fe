"""IP cameras against GStreamer's RTSP server in a process of its own: faults 17 and 19, passwords, many cameras."""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.sources._av import Thinner
from smartbox.sources.rtsp import Plugin
from smartbox.types import Frame, Sample
from tests.rtsp import RtspServer

from .media import collect, picture, write_video

Start = Callable[..., RtspServer]


def reading(plugin: Plugin, stop: threading.Event | None = None) -> Iterator[Sample]:
    return plugin.read("east", SystemClock(), stop or threading.Event())


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_frames(rtsp_server: Start, clip: Path, transport: str) -> None:
    server = rtsp_server({"/a": clip})
    frames = collect(Plugin(url=server.url("/a"), transport=transport, fps=10), SystemClock(), limit=8)
    for frame in frames:
        assert isinstance(frame, Frame)
        assert frame.image.shape == (120, 160, 3) and frame.luma.shape == (120, 160)
        grey = frame.image[60:, :].mean()
        assert min(abs(grey - picture(i)[60:, :].mean()) for i in range(20)) < 5  # one of the clip's pictures
    assert [f.seq for f in frames] == list(range(8))
    assert np.diff([f.time for f in frames]).min() > 0
    assert abs(frames[-1].time - time.monotonic()) < 30
    assert abs(frames[-1].utc - time.time()) < 30


@pytest.mark.parametrize("fault", ["kill", "freeze", "stall /a", "drop"])
def test_a_lost_camera_is_an_error(rtsp_server: Start, clip: Path, fault: str) -> None:
    server = rtsp_server({"/a": clip})
    reader = reading(Plugin(url=server.url("/a"), timeout=2))
    next(reader)
    if fault in ("kill", "freeze"):
        getattr(server, fault)()
    else:
        server.tell(fault)
    began = time.monotonic()
    with pytest.raises(SourceError, match=f"east: rtsp://127.0.0.1:{server.port}/a"):
        list(reader)
    assert time.monotonic() - began < 10


def test_the_time_out_can_be_no_longer_than_the_promise() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 9"):
        Plugin(url="rtsp://h/a", timeout="10s")


def test_reading_again_after_a_restart(rtsp_server: Start, clip: Path) -> None:
    server = rtsp_server({"/a": clip})
    plugin = Plugin(url=server.url("/a"), timeout=2)
    before = collect(plugin, SystemClock(), limit=2)
    server.kill()
    with pytest.raises(SourceError, match="Connection refused"):
        collect(plugin, SystemClock())
    rtsp_server({"/a": clip}, port=server.port)
    after = collect(plugin, SystemClock(), limit=2)
    assert after[0].time > before[-1].time


def test_two_cameras_one_of_them_stalled(rtsp_server: Start, clip: Path) -> None:
    server = rtsp_server({"/a": clip, "/b": clip})
    a, b = (reading(Plugin(url=server.url(m), timeout=1)) for m in ("/a", "/b"))
    next(a), next(b)
    server.tell("stall /a")
    with pytest.raises(SourceError):
        list(a)
    frames = [next(b) for _ in range(10)]
    assert np.diff([f.time for f in frames]).max() < 5
    server.tell("resume /a")
    assert next(reading(Plugin(url=server.url("/a"))))
    b.close()


def test_stop_while_the_camera_says_nothing(rtsp_server: Start, clip: Path) -> None:
    server = rtsp_server({"/a": clip})
    stop = threading.Event()
    reader = reading(Plugin(url=server.url("/a"), timeout=9), stop)
    next(reader)
    server.freeze()
    began = time.monotonic()
    threading.Timer(0.3, stop.set).start()
    assert all(isinstance(s, Frame) for s in reader)  # what was under way, then the end; no error
    assert time.monotonic() - began < 8  # it did not wait for the camera's time-out


def test_damaged_packets_do_no_harm(rtsp_server: Start, clip: Path) -> None:
    server = rtsp_server({"/a": clip})
    reader = reading(Plugin(url=server.url("/a"), timeout=9, fps=25))
    next(reader)
    server.tell("garble /a")
    damaged_until = time.monotonic() + 1.0
    frames = []
    while time.monotonic() < damaged_until:  # a picture may still be decodable, or an error end it: no crash
        try:
            frames.append(next(reader))
        except (SourceError, StopIteration):
            reader = reading(Plugin(url=server.url("/a"), timeout=9, fps=25))
            break
    server.tell("resume /a")
    frames += [next(reader) for _ in range(20)]
    assert all(f.image.shape[2] == 3 for f in frames)
    reader.close()


class TestPasswords:
    SECRET = "".join(["hunter", "2x7"])  # a traceback prints this file's lines

    @pytest.mark.parametrize("wrong", [False, True])
    def test_nowhere_to_be_seen(
        self,
        rtsp_server: Start,
        clip: Path,
        wrong: bool,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        server = rtsp_server({"/a": clip}, user="admin", password=self.SECRET)
        url = server.url("/a").replace(self.SECRET, "no" + self.SECRET) if wrong else server.url("/a")
        plugin = Plugin(url=url, timeout=2)
        reader = reading(plugin)
        if not wrong:
            next(reader)
            server.freeze()
        with pytest.raises(SourceError) as caught:
            list(reader)
        said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(plugin)
        out, err = capfd.readouterr()
        assert self.SECRET not in said + out + err + caplog.text
        assert f"rtsp://admin:***@127.0.0.1:{server.port}/a" in str(caught.value)
        causes = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(str(error))
            error = error.__cause__ or error.__context__
        assert self.SECRET not in "".join(causes)

    def test_401_says_what_to_check(self, rtsp_server: Start, clip: Path) -> None:
        server = rtsp_server({"/a": clip}, user="admin", password=self.SECRET)
        with pytest.raises(SourceError, match=r"401 Unauthorized.*check user and password"):
            collect(Plugin(url=f"rtsp://127.0.0.1:{server.port}/a"), SystemClock())


def test_an_unknown_path(rtsp_server: Start, clip: Path) -> None:
    server = rtsp_server({"/a": clip})
    with pytest.raises(SourceError, match="404 Not Found; check the path"):
        collect(Plugin(url=server.url("/other")), SystemClock())


@pytest.mark.parametrize("hardware", ["vdpau", "no-such-thing"])
def test_hardware_that_is_not_there(hardware: str) -> None:
    with pytest.raises(SourceError, match=f"hardware '{hardware}' is not built into this FFmpeg; it has"):
        collect(Plugin(url="rtsp://127.0.0.1:9/a", hardware=hardware), SystemClock())


@pytest.mark.parametrize("url", ["http://h/a", "rtsp:/h/a", "exec:reboot", "rtsp://"])
def test_only_addresses_of_rtsp(url: str) -> None:
    with pytest.raises(ValidationError, match="write rtsp:// or rtsps://"):
        Plugin(url=url)


class TestThinner:
    """Pictures that nothing refers to stay undecoded while enough remain."""

    def decoded(self, path: Path, fps: float) -> int:
        import av

        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            thinner = Thinner(stream.codec_context, fps)
            count = 0
            for frame in container.decode(stream):
                thinner.saw(frame.time)
                count += 1
        return count

    @pytest.mark.parametrize(("bf", "low", "high"), [(0, 200, 200), (3, 50, 120)])
    def test_fewer_where_there_are_b_frames(self, tmp_path: Path, bf: int, low: int, high: int) -> None:
        options = {"bf": str(bf), "b-adapt": "0", "g": "100"}
        path = write_video(tmp_path / "a.mp4", range(0, 8000, 40), options=options)
        assert low <= self.decoded(path, 5) <= high

    def test_all_where_the_rest_would_be_too_few(self, tmp_path: Path) -> None:
        options = {"bf": "3", "b-adapt": "0", "b-pyramid": "none", "g": "100"}
        path = write_video(tmp_path / "a.mp4", range(0, 8000, 40), options=options)
        assert self.decoded(path, 20) > 150  # about 12 reference pictures a second: noticed within 2 s
