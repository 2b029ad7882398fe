"""Pixels and timestamps: what lies between FFmpeg's frames and ours."""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox.clock import ManualClock
from smartbox.sources._av import Ear, wall_time
from smartbox.sources._base import Pacer
from smartbox.sources._timeline import LiveTimeline, Timeline
from smartbox.sources.file import Plugin
from smartbox.types import AudioChunk, Frame

from .media import collect

# Kr, Kb of ITU-R BT.601 and BT.709; FFmpeg's numbers for matrix and range.
MATRICES = {"bt601": (0.299, 0.114, 6), "bt709": (0.2126, 0.0722, 1)}
RANGES = {"limited": (16, 219, 224, 1), "full": (0, 255, 255, 2)}
COLOURS = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 40, 120), (30, 200, 220)]  # BGR


def patches() -> np.ndarray:
    """Vertical stripes 46 wide: 322 pixels, so that the decoder pads its lines."""
    return np.repeat(np.array(COLOURS, np.uint8)[None], 46, axis=1).repeat(96, axis=0)


def yuv(bgr: np.ndarray, matrix: str, levels: str) -> list[np.ndarray]:
    """Planes of 4:2:0 as the two recommendations define them."""
    kr, kb, _ = MATRICES[matrix]
    black, luma, chroma, _ = RANGES[levels]
    b, g, r = (bgr[..., i] / 255.0 for i in range(3))
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    planes = [black + luma * y, (128 + chroma * cb)[::2, ::2], (128 + chroma * cr)[::2, ::2]]
    return [p.round().clip(0, 255).astype(np.uint8) for p in planes]


@pytest.mark.parametrize("levels", RANGES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_follow_the_declared_matrix_and_range(tmp_path: Path, matrix: str, levels: str) -> None:
    path = tmp_path / "a.mkv"
    planes = yuv(patches(), matrix, levels)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 322, 96, "yuv420p"
        stream.codec_context.colorspace = MATRICES[matrix][2]
        stream.codec_context.color_range = RANGES[levels][3]
        for i in range(3):
            frame = av.VideoFrame(322, 96, "yuv420p")
            for plane, values in zip(frame.planes, planes, strict=True):
                rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
                rows[: values.shape[0], : values.shape[1]] = values
            frame.colorspace, frame.color_range = MATRICES[matrix][2], RANGES[levels][3]
            frame.pts, frame.time_base = i, Fraction(1, 5)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    frame = collect(Plugin(path=path, paced=False), ManualClock(), limit=1)[0]
    middle = slice(22, 322, 46)  # away from the edges, where chroma of two stripes mixes
    assert np.abs(frame.image[48, middle].astype(int) - np.array(COLOURS)).max() <= 3
    assert (frame.luma == planes[0]).all()
    assert not frame.luma.flags.owndata  # a view of the decoder's plane


@pytest.mark.parametrize(("rate", "expected"), [(5, 5), (25, 5), (30, 5), (12, 5), (3, 3), (7.5, 5)])
def test_pacer_delivers_evenly_whatever_the_stream_rate(rate: float, expected: float) -> None:
    pacer = Pacer(5)
    jitter = random.Random(1)
    taken = [t for i in range(int(20 * rate)) if pacer.take(t := i / rate + jitter.uniform(0, 0.3) / rate)]
    assert len(taken) / 20 == pytest.approx(expected, rel=0.03)
    gaps = np.diff(taken)
    assert gaps.max() < 2 / min(rate, 5) and gaps.min() > 0


def test_pacer_does_not_catch_up_after_a_gap() -> None:
    pacer = Pacer(5)
    times = [0.0, 0.2, *(10 + i / 25 for i in range(26))]
    assert sum(pacer.take(t) for t in times) == 2 + 6


class TestTimeline:
    def test_missing_timestamps_follow_on(self) -> None:
        line = Timeline(100.0, 100.0)
        assert [line.at(s, 0.5) for s in (None, 0.5, None, None)] == [100.0, 100.5, 101.0, 101.5]

    def test_a_repeated_timestamp_is_later_all_the_same(self) -> None:
        line = Timeline(0.0, 0.0)
        assert [line.at(s, 0.1) for s in (0.0, 0.1, 0.1, 0.2)] == [0.0, 0.1, pytest.approx(0.101), 0.2]

    @pytest.mark.parametrize("restart", [0.0, 95_443.7])
    def test_a_new_beginning_goes_on(self, restart: float) -> None:
        line = Timeline(0.0, 0.0)
        for i in range(10):
            line.at(i * 0.5, 0.5)
        assert line.at(restart, 0.5) == 5.0
        assert line.at(restart + 0.5, 0.5) == 5.5


class TestLiveTimeline:
    def test_evens_out_the_jitter_of_arrival(self) -> None:
        line, jitter = LiveTimeline(), random.Random(2)
        times = [line.at(50 + i * 0.04 + jitter.expovariate(40), i * 0.04) for i in range(500)]
        assert np.diff(times[100:]).std() < 0.005  # arrivals: 0.025

    def test_never_later_than_arrival_and_increasing(self) -> None:
        line, jitter = LiveTimeline(), random.Random(3)
        last = 0.0
        for i in range(500):
            arrival = 50 + i * 0.04 + jitter.expovariate(30)
            time = line.at(arrival, i * 0.04)
            assert last < time
            assert time <= arrival or time - last < 0.0011
            last = time

    def test_follows_a_camera_whose_clock_runs_slow(self) -> None:
        line = LiveTimeline()
        late = [i * 0.04 - line.at(i * 0.04, i * 0.04 * 0.9995) for i in range(25_000)]
        assert max(late) < 0.01

    def test_a_camera_that_sets_its_clock(self) -> None:
        line = LiveTimeline()
        line.at(10.0, 0.0)
        assert line.at(10.04, 3600.0) == pytest.approx(10.04)

    def test_without_timestamps_arrival_counts(self) -> None:
        assert LiveTimeline().at(7.0, None) == 7.0


def test_sound_follows_a_clock_that_is_set() -> None:
    """As when a board without a battery hears of the time: what was said before is of 1970, the rest is of now."""
    clock = ManualClock(10.0, 30.0)
    ear = Ear("mic", wall_time(clock))

    def half_a_second() -> AudioChunk:
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        sound.sample_rate, began = 16_000, clock.monotonic()
        clock.advance(0.5)
        (chunk,) = ear.hear(sound, began)
        return chunk

    assert (half_a_second().utc, half_a_second().utc) == (30.0, 30.5)
    clock.jump(1_790_000_000.0)
    assert half_a_second().utc == pytest.approx(1_790_000_031.0)
    clock.jump(-3600.0)
    assert half_a_second().utc == pytest.approx(1_789_996_431.5)


def test_luma_of_a_bgr_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    expected = image @ np.array([0.114, 0.587, 0.299])  # BT.601
    assert np.abs(Frame.of("cam", 0, 0.0, 0.0, image).luma - expected).max() < 2
