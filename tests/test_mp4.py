"""Clips with sound, and with privacy masks burnt in: from cameras that really send both."""

import io
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox import mp4 as writing
from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.mp4 import mp4
from smartbox.sources import http, rtsp
from smartbox.tape import LIMIT, Cut, Tape
from smartbox.types import AudioChunk, Floats
from tests.rtsp import RtspServer, rtsp_server
from tests.sources.camera import HttpCamera, serving
from tests.sources.media import picture, write_video

__all__ = ["rtsp_server"]

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """4 s of H.264 with a tone of 440 Hz in AAC, as MPEG-TS."""
    path = tmp_path_factory.mktemp("talking") / "camera.ts"
    return write_video(path, range(0, 4000, 40), options={"g": "25", "preset": "ultrafast"}, tone_s=4.0).read_bytes()


def filled(body: bytes, tape: Tape, **settings: bool) -> tuple[Cut, list[AudioChunk]]:
    """What an HTTP camera sends, by way of its source; and the sound that the source delivers."""
    clock, heard = SystemClock(), list[AudioChunk]()
    with serving(HttpCamera(body, "video/mp2t", seconds=1.0)) as camera:
        reader = http.Plugin(url=camera.url(), fps=25, timeout=1, **settings).read(
            "cam", clock, threading.Event(), tape
        )
        with pytest.raises(SourceError, match=r"no answer|no picture"):
            for sample in reader:
                heard += [sample] if isinstance(sample, AudioChunk) else []
    cut = tape.cut(-100.0, clock.monotonic())
    assert cut
    return cut, heard


def sound_of(content: bytes) -> tuple[str, int, Floats, float]:
    """(codec, rate, mono samples, when the first is heard)."""
    with av.open(io.BytesIO(content)) as container:
        (stream,) = container.streams.audio
        frames = list(container.decode(stream))
        samples = np.concatenate([f.to_ndarray().mean(0) for f in frames])
        return stream.codec_context.name, stream.rate, samples, float(frames[0].time)


def pictures(content: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(content)) as container:
        return list(container.decode(video=0))


def pitch(samples: Floats, rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples))


def test_sound_goes_into_a_clip_as_it_came(talking: bytes) -> None:
    cut, heard = filled(talking, Tape(10.0, sound=True))
    codec, rate, samples, begin = sound_of(mp4(cut))
    assert (codec, rate) == ("aac", 44_100)
    assert pitch(samples, rate) == pytest.approx(440, abs=2)
    assert len(samples) / rate == pytest.approx(4.0, abs=0.3)
    assert begin == pytest.approx(0.0, abs=0.1)
    assert len(pictures(mp4(cut))) >= 95
    assert not heard, "what a clip has is not delivered to rules that were not asked to hear"


def test_no_sound_unless_it_is_asked_for(talking: bytes) -> None:
    """Though the source listens."""
    cut, _ = filled(talking, Tape(10.0), audio=True)
    assert cut.sound == ()
    with av.open(io.BytesIO(mp4(cut))) as container:
        assert not container.streams.audio


def test_sound_counts_for_the_tapes_bytes(talking: bytes) -> None:
    silent, loud = Tape(10.0), Tape(10.0, sound=True)
    filled(talking, silent)
    filled(talking, loud)
    assert silent.bytes < loud.bytes <= LIMIT


def test_masks_are_burnt_in(talking: bytes) -> None:
    cut, _ = filled(talking, Tape(10.0, sound=True, masks=(LEFT,)))
    content = mp4(cut)
    shown = pictures(content)
    times = [float(frame.time) for frame in shown]
    assert len(shown) <= 4.0 * writing.FPS + 1
    assert times[-1] - times[0] == pytest.approx(4.0, abs=0.3)
    for frame in shown:
        image = frame.to_ndarray(format="bgr24").astype(int)
        number = round(float(frame.time) * 25)
        assert np.abs(image[:, :76] - 96).max() <= 12, "nothing of what was there is left"
        assert np.abs(image[40:, 90:] - picture(number)[40:, 90:]).mean() < 9, "the next is lighter by 10"
    assert pitch(*sound_of(content)[2:0:-1]) == pytest.approx(440, abs=2)


def test_another_encoder_serves_where_the_first_is_missing(talking: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    cut, _ = filled(talking, Tape(10.0, masks=(LEFT,)))
    monkeypatch.setattr(writing, "ENCODERS", ("none-such", "mpeg4"))
    content = mp4(cut)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    image = pictures(content)[-1].to_ndarray(format="bgr24").astype(int)
    assert np.abs(image[:, :76] - 96).max() <= 20


@pytest.mark.parametrize("hears", [False, True])
def test_a_cameras_g711_becomes_aac(rtsp_server: Callable[..., RtspServer], tmp_path: Path, hears: bool) -> None:
    """MP4 has no G.711, which most cameras send."""
    clip = write_video(tmp_path / "c.mp4", range(0, 2000, 40), options={"g": "10", "preset": "ultrafast"})
    server, tape, clock = rtsp_server({"/a": clip}, talking=True), Tape(10.0, sound=True), SystemClock()
    settings = rtsp.Plugin(url=server.url("/a"), fps=5, sound_model="ears" if hears else None)
    stop, chunks = threading.Event(), list[AudioChunk]()
    with closing(settings.read("cam", clock, stop, tape)) as reader:  # type: ignore[type-var]
        for sample in reader:
            chunks += [sample] if isinstance(sample, AudioChunk) else []
            if (span := tape.span) and span[1] - span[0] > 2.5 and (chunks or not hears):
                break
    cut = tape.cut(-1e9, clock.monotonic())
    assert cut
    assert cut.heard
    assert cut.heard.template is None
    codec, rate, samples, _ = sound_of(mp4(cut))
    assert (codec, rate) == ("aac", 8000)
    assert len(samples) / rate > 1.5
    assert np.abs(samples).max() > 0.2, "a tick every second"
    assert bool(chunks) == hears
