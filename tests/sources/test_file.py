"""The file source on clips with every oddity that recordings have."""

import struct
import subprocess
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from smartbox.clock import ManualClock, SystemClock
from smartbox.errors import SourceError
from smartbox.sources.file import Plugin
from smartbox.types import AudioChunk, Frame

from .media import collect, oriented, picture, times, tone, write_video, write_wav


def test_delivers_the_clip_at_the_chosen_rate(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 2000, 40))
    clock = ManualClock(1000.0, 5000.0)
    frames = collect(Plugin(path=clip, paced=False), clock)
    assert times(frames, 1000.0) == pytest.approx([0.2 * i for i in range(10)])
    assert [f.seq for f in frames] == list(range(10))
    assert frames[3].utc == pytest.approx(5000.6)
    assert clock.monotonic() == 1000.0  # as fast as it is taken: nobody waited


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mjpeg", "mpeg4"])
def test_pixels_are_those_of_the_clip(tmp_path: Path, codec: str) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    clip = write_video(tmp_path / "a.mkv", range(0, 400, 40), codec, options=options)
    frames = collect(Plugin(path=clip, fps=25, paced=False), ManualClock())
    assert len(frames) == 10
    for i, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.image.shape == (frame.height, frame.width, 3) == (120, 160, 3)
        assert frame.luma.shape == (120, 160)
        assert abs(frame.image[60:, :].mean() - picture(i)[60:, :].mean()) < 5


def test_variable_frame_rate_and_b_frames(tmp_path: Path) -> None:
    shown = [0, 10, 400, 410, 415, 900, 1700, 1710, 2500, 4000]
    clip = write_video(tmp_path / "a.mp4", shown, options={"bf": "3", "b-adapt": "0"})
    frames = collect(Plugin(path=clip, fps=100, paced=False), ManualClock(0.0))
    assert times(frames) == pytest.approx([ms / 1000 for ms in shown if ms != 415])
    frames = collect(Plugin(path=clip, fps=2, paced=False), ManualClock(0.0))
    assert times(frames) == pytest.approx([0, 0.4, 0.9, 1.7, 2.5, 4.0])


def test_a_stream_without_timestamps_runs_at_its_nominal_rate(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 1000, 40))
    subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", tmp_path / "a.h264"], check=True)
    frames = collect(Plugin(path=tmp_path / "a.h264", fps=25, paced=False), ManualClock(0.0))
    assert times(frames) == pytest.approx([0.04 * i for i in range(25)], abs=1e-3)


def test_a_clip_that_does_not_begin_at_zero_begins_now(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.ts", range(7000, 8000, 200))
    frames = collect(Plugin(path=clip, paced=False), ManualClock(0.0))
    assert times(frames) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def test_a_loop_goes_on_in_time_and_number(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 600, 40))
    frames = collect(Plugin(path=clip, paced=False, loop=True), ManualClock(0.0), limit=9)
    assert times(frames) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6])
    assert [f.seq for f in frames] == list(range(9))
    assert (frames[0].image == frames[3].image).all()


def test_pacing_waits_for_each_frame(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 1000, 40))
    clock = ManualClock(0.0)
    reader = Plugin(path=clip).read("cam", clock, threading.Event())
    for frame in reader:
        assert clock.monotonic() == pytest.approx(frame.time)


def test_stop_ends_the_wait_for_a_distant_frame(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", [0, 600_000])
    stop = threading.Event()
    reader = Plugin(path=clip).read("cam", SystemClock(), stop)
    next(reader)
    threading.Timer(0.1, stop.set).start()
    assert list(reader) == []


def test_start_utc_makes_a_replay_repeatable(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 1000, 40))
    plugin = Plugin(path=clip, paced=False)
    runs = [
        [(f.seq, f.time, f.utc) for f in plugin.read("cam", clock, threading.Event(), start_utc=77.0)]
        for clock in (ManualClock(5.0, 1.0), ManualClock(5.0, 2.0))
    ]
    assert runs[0] == runs[1]
    assert runs[0][0] == (0, 5.0, 77.0)


def test_what_is_paced_follows_a_clock_that_is_set(tmp_path: Path) -> None:
    """Pictures and sound; with `start_utc` or as fast as they go they depend on nothing but the start."""
    clip = write_video(tmp_path / "a.mp4", range(0, 4000, 40), tone_s=4.0)

    def off(paced: bool, start_utc: float | None) -> dict[type, list[float]]:
        """By kind, how far each is from the start of the clock, after it was set at 2 s."""
        clock, jumped = ManualClock(0.0, 1000.0), False
        apart: dict[type, list[float]] = {Frame: [], AudioChunk: []}
        plugin = Plugin(path=clip, paced=paced, audio=True)
        for sample in plugin.read("cam", clock, threading.Event(), start_utc=start_utc):
            apart[type(sample)].append(round(sample.utc - sample.time, 3))
            if not jumped and sample.time >= 2.0:
                clock.jump(500.0)
                jumped = True
        return apart

    for apart in off(paced=True, start_utc=None).values():
        assert set(apart) == {1000.0, 1500.0} and apart == sorted(apart)
        assert apart.count(1500.0) >= len(apart) // 2 - 2
    for paced, start_utc in [(True, 1000.0), (False, None), (False, 1000.0)]:
        assert all(set(apart) == {1000.0} for apart in off(paced, start_utc).values())


def test_h264_that_says_once_a_key_frame_how_it_is_turned(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 2000, 40), options={"g": "25"})
    frames = collect(Plugin(path=oriented(clip, 90, tmp_path / "a.ts"), fps=25, paced=False), ManualClock(0.0))
    assert len(frames) == 50
    for i, frame in enumerate(frames):
        assert isinstance(frame, Frame)
        assert frame.image.shape == (frame.height, frame.width, 3) == (160, 120, 3)
        assert np.abs(frame.image.astype(int) - np.rot90(picture(i))).mean() < 5
        assert frame.luma.shape == (160, 120)


def test_a_video_that_is_to_be_heard_and_has_no_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 400, 40))
    for settings, key in [({"audio": True}, "`audio: true`"), ({"sound_model": "ears"}, "`sound_model: ears`")]:
        caplog.clear()
        collect(Plugin(path=clip, paced=False, loop=True, **settings), ManualClock(), limit=6)
        (said,) = caplog.messages
        assert said == f"cam: {clip} has no sound: choose one that has, or take away {key}"
    caplog.clear()
    collect(Plugin(path=clip, paced=False), ManualClock())
    assert not caplog.messages


def test_a_phone_clip_is_turned_upright(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 200, 40))
    turned = tmp_path / "turned.mp4"
    data = bytearray(clip.read_bytes())
    quarter_turn = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 120 << 16, 0, 1 << 30)
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = quarter_turn
    turned.write_bytes(data)
    shown = tmp_path / "shown.png"  # as FFmpeg's own player would turn it
    subprocess.run(["ffmpeg", "-v", "error", "-i", turned, "-frames:v", "1", shown], check=True)
    reference = next(av.open(str(shown)).decode(video=0)).to_ndarray(format="bgr24")
    frame = collect(Plugin(path=turned, paced=False), ManualClock(), limit=1)[0]
    assert (frame.width, frame.height) == (120, 160)
    assert frame.image.shape == (160, 120, 3) == reference.shape
    assert frame.luma.shape == (160, 120)
    assert np.abs(frame.image.astype(int) - reference).mean() < 2


def test_sound_only_where_there_is_no_picture(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", range(0, 1000, 40), tone_s=1.0)
    assert all(isinstance(s, Frame) for s in collect(Plugin(path=clip, paced=False), ManualClock()))
    both = collect(Plugin(path=clip, paced=False, audio=True), ManualClock(0.0))
    chunks = [s for s in both if isinstance(s, AudioChunk)]
    assert len(both) - len(chunks) == 5
    heard = np.concatenate([c.samples for c in chunks])
    assert len(heard) / 16_000 == pytest.approx(1.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[:8000]))
    assert np.argmax(spectrum) * 2 == 440  # Hz


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8000, 1)])
def test_wav_becomes_16_khz_mono(tmp_path: Path, rate: int, channels: int) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(2.2, rate), rate, channels)
    chunks = collect(Plugin(path=sound, paced=False), ManualClock(100.0, 900.0))
    assert all(isinstance(c, AudioChunk) and c.rate == 16_000 and c.samples.dtype == np.float32 for c in chunks)
    assert [c.time for c in chunks] == pytest.approx([100.0, 100.5, 101.0, 101.5, 102.0], abs=1e-3)
    assert chunks[1].utc == pytest.approx(900.5)
    assert [c.seq for c in chunks] == [0, 1, 2, 3, 4]
    assert sum(len(c.samples) for c in chunks) == pytest.approx(2.2 * 16_000, abs=40)
    assert np.abs(chunks[1].samples).max() == pytest.approx(0.5, abs=0.02)


def test_looped_sound_goes_on(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "a.wav", tone(0.75, 16_000), 16_000)
    chunks = collect(Plugin(path=sound, paced=False, loop=True), ManualClock(0.0), limit=4)
    assert [c.time for c in chunks] == pytest.approx([0.0, 0.5, 0.75, 1.25])


def test_damaged_pictures_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_video(tmp_path / "a.ts", range(0, 4000, 40), options={"g": "10"})
    data = bytearray(clip.read_bytes())
    rng = np.random.default_rng(1)
    for at in rng.integers(len(data) // 5, len(data), 60):
        data[at] ^= 0xFF
    clip.write_bytes(data)
    frames = collect(Plugin(path=clip, fps=25, paced=False), ManualClock(0.0))
    assert 10 < len(frames) <= 100
    assert np.diff(times(frames)).min() > 0


def test_a_change_of_size_mid_stream(tmp_path: Path) -> None:
    parts = [write_video(tmp_path / f"{w}.ts", range(0, 1000, 200), size=(w, h)) for w, h in [(160, 120), (320, 180)]]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = collect(Plugin(path=joined, paced=False), ManualClock(0.0))
    assert {f.image.shape for f in frames} == {(120, 160, 3), (180, 320, 3)}
    assert all(f.luma.shape == (f.height, f.width) == f.image.shape[:2] for f in frames)
    assert np.diff(times(frames)).min() > 0.1  # the second part's timestamps start anew, time does not


def test_a_truncated_recording_ends_or_says_where(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mkv", range(0, 4000, 40))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert len(collect(Plugin(path=clip, paced=False), ManualClock(0.0))) > 2


class TestRefusals:
    def refusal(self, path: Path, **more: object) -> str:
        with pytest.raises(SourceError) as caught:
            collect(Plugin(path=path, **more), ManualClock())
        return str(caught.value)

    def test_missing(self, tmp_path: Path) -> None:
        assert self.refusal(tmp_path / "no.mp4") == f"cam: there is no file {tmp_path / 'no.mp4'}"

    def test_directory(self, tmp_path: Path) -> None:
        assert "is a directory" in self.refusal(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\x00" * 4000, b"version: 1\n"])
    def test_not_media(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.mp4"
        path.write_bytes(content)
        assert "expected a video or sound file" in self.refusal(path)

    def test_text_is_not_a_picture(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("one\ntwo\n" * 100)
        assert str(path) in self.refusal(path)

    def test_sound_switched_off(self, tmp_path: Path) -> None:
        sound = write_wav(tmp_path / "a.wav", tone(0.1, 8000), 8000)
        assert "has no video stream" in self.refusal(sound, audio=False)

    def test_a_playlist_reaches_for_no_network(self, tmp_path: Path) -> None:
        playlist = tmp_path / "a.m3u8"
        playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
        assert str(playlist) in self.refusal(playlist)
