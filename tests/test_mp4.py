"""Clips with sound, and with privacy masks burnt in: from cameras that really send both."""

import io
import threading
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox import mp4 as writing
from smartbox.clock import SystemClock
from smartbox.errors import SourceError, StorageError
from smartbox.mp4 import mp4
from smartbox.sources import http, rtsp
from smartbox.sources._av import piece, template
from smartbox.tape import LIMIT, Cut, Heard, Piece, Tape
from smartbox.types import AudioChunk, Floats
from tests.rtsp import RtspServer, rtsp_server
from tests.sources.camera import HttpCamera, serving
from tests.sources.media import oriented, picture, turned, write_video

__all__ = ["rtsp_server"]

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """4 s of H.264 with a tone of 440 Hz in AAC, as MPEG-TS."""
    path = tmp_path_factory.mktemp("talking") / "camera.ts"
    return write_video(path, range(0, 4000, 40), options={"g": "25", "preset": "ultrafast"}, tone_s=4.0).read_bytes()


def filled(body: bytes, tape: Tape, mime: str = "video/mp2t", **settings: bool) -> tuple[Cut, list[AudioChunk]]:
    """What an HTTP camera sends, by way of its source; and the sound that the source delivers."""
    clock, heard = SystemClock(), list[AudioChunk]()
    with serving(HttpCamera(body, mime, seconds=1.0)) as camera:
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


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s of H.264, a key frame every second."""
    path = tmp_path_factory.mktemp("silent") / "camera.mp4"
    return write_video(path, range(0, 4000, 40), options={"g": "25", "preset": "ultrafast"})


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("says", [turned, oriented])
def test_masks_are_those_of_the_upright_picture(
    silent: Path, tmp_path: Path, says: Callable[[Path, int, Path], Path], degrees: int
) -> None:
    """As evidence pictures show it, whether the container or the stream says that it is turned."""
    made = says(silent, degrees, tmp_path / ("camera.mp4" if says is turned else "camera.ts"))
    cut, _ = filled(made.read_bytes(), Tape(10.0, masks=(LEFT,)), "video/mp4" if says is turned else "video/mp2t")
    shown = pictures(mp4(cut))
    assert len(shown) >= 20
    upright, level = np.rot90(picture(0), degrees // 90), []
    axis = 0 if degrees == 180 else 1  # the white square wanders along the other one
    lane, square = np.argwhere(upright[..., 0] == 255)[:, axis], list[int]()
    for frame in shown:
        image = frame.to_ndarray(format="bgr24").astype(int)
        assert image.shape == upright.shape and not frame.rotation
        half = image.shape[1] // 2
        assert np.abs(image[:, : half - 4] - 96).max() <= 16, "nothing of what was there is left"
        level.append(image[:, half + 8 :].mean())
        square += list(np.argwhere(image[..., 0] > 232)[:, axis])
    assert max(level) - min(level) > 100, "the rest is as it was"
    if degrees == 90:
        assert not square, "all of its way is masked"
    else:
        assert lane.min() - 2 <= min(square) and max(square) <= lane.max() + 2


def test_a_clip_without_masks_plays_upright(silent: Path, tmp_path: Path) -> None:
    cut, _ = filled(turned(silent, 90, tmp_path / "camera.mp4").read_bytes(), Tape(10.0), "video/mp4")
    assert {frame.rotation for frame in pictures(mp4(cut))} == {90}


@pytest.mark.parametrize(("turns", "why"), [([], "is not known yet"), ([(0.0, 0), (102.0, 1)], "changes")])
def test_no_clip_where_nobody_knows_how_to_turn_it(silent: Path, turns: list[tuple[float, int]], why: str) -> None:
    tape = Tape(60.0, masks=(LEFT,))
    with av.open(str(silent)) as container:
        tape.begin(template(container.streams.video[0]))
        for i, packet in enumerate(container.demux(video=0)):
            if kept := piece(packet, 100.0 + i / 25):
                tape.put(kept)
    for time, quarters in turns:
        tape.turned(time, quarters)
    cut = tape.cut(101.0, 103.0)
    assert cut
    with pytest.raises(StorageError, match=f"rotation of the pictures {why}.*cannot be masked"):
        mp4(cut)
    if turns:
        later = tape.cut(103.0, 104.0)
        assert later and len(pictures(mp4(later))) >= 9, "it is known again"


@pytest.mark.parametrize("step", [-900, -1100, -8000])
def test_sound_whose_time_steps_back(silent: Path, step: int) -> None:
    """G.711 after a sender report, or a clock that was set: none of it is lost, nor is the clip."""
    tape = Tape(60.0, sound=True)
    with av.open(str(silent)) as container:
        tape.begin(template(container.streams.video[0]), Heard("pcm_alaw", 8000, "mono"))
        for i, packet in enumerate(container.demux(video=0)):
            if kept := piece(packet, 100.0 + i / 25):
                tape.put(kept)
    for n in range(200):
        pts = 160 * n + (step if n >= 100 else 0)
        tape.put(Piece(100.0 + n * 0.02, True, pts, pts, Fraction(1, 8000), b"\xd5" * 160, True))
    cut = tape.cut(100.0, 104.0)
    assert cut
    codec, rate, samples, _ = sound_of(mp4(cut))
    assert (codec, rate) == ("aac", 8000)
    assert len(samples) / rate == pytest.approx(4.0, abs=0.3)


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
