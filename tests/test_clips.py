"""Clips: cut at key frames out of a bounded tape, the packets as they came, written and announced."""

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from smartbox import build, config
from smartbox.clips import Clip, Clips, Moment, mp4
from smartbox.clock import ManualClock, SystemClock
from smartbox.commands.check import warnings
from smartbox.errors import ConfigError, SourceError
from smartbox.evidence import EvidenceLimits, EvidenceStore
from smartbox.sources._av import piece, template
from smartbox.sources.http import Plugin
from smartbox.tape import LIMIT, Piece, Tape
from tests.link.events import Events
from tests.rules.script import Script, Thing, play, runner
from tests.sources.camera import HttpCamera, serving
from tests.sources.media import write_video

FPS = 5
GOP = 10  # frames, 2 s


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 s, a key frame every 2 s."""
    options = {"g": str(GOP), "bf": "2", "preset": "ultrafast", "sc_threshold": "0"}
    path = tmp_path_factory.mktemp("camera") / "camera.mp4"
    return write_video(path, range(0, 60_000, 200), size=(64, 48), rate=FPS, options=options)


def taped(path: Path, seconds: float = 60.0, limit: int = LIMIT) -> tuple[Tape, list[Piece]]:
    tape, every = Tape(seconds, limit), []
    with av.open(str(path)) as container:
        tape.begin(template(container.streams.video[0]))
        for packet in container.demux(video=0):
            if kept := piece(packet, 100.0 + len(every) / FPS):
                every.append(kept)
                tape.put(kept)
    return tape, every


def template_of(path: Path) -> Any:
    with av.open(str(path)) as container:
        return template(container.streams.video[0])


def pictures(content: bytes) -> Iterator[av.VideoFrame]:
    with av.open(io.BytesIO(content)) as container:
        yield from container.decode(video=0)


def test_a_clip_starts_at_the_last_key_frame_before(camera: Path) -> None:
    tape, every = taped(camera)
    cut = tape.cut(125.0, 140.0)
    assert cut
    assert (cut.start, cut.end) == (124.0, 140.0)
    content = mp4(cut)
    with av.open(io.BytesIO(content)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert [bytes(p) for p in packets] == [p.data for p in every[120:201]], "nothing is encoded again"
    shown = list(pictures(content))
    assert len(shown) >= 79  # the last ones may wait for pictures that came later
    assert shown[0].key_frame
    assert float(shown[-1].time - shown[0].time) == pytest.approx(16, abs=0.5)


def test_it_starts_later_where_the_tape_does(camera: Path) -> None:
    tape, _ = taped(camera, seconds=10.0)
    cut = tape.cut(100.0, 150.0)
    assert cut
    assert cut.start == 130.0  # 160 - 10 - SPARE_S, and a key frame
    assert Tape(10.0).cut(0.0, 1.0) is None


def feed(tape: Tape, every: Sequence[Piece], start: float, end: float) -> None:
    """What the camera sent from `start` to before `end`, over the connection that was begun last."""
    for kept in every:
        if start <= kept.time < end:
            tape.put(kept)


def test_the_tape_is_bounded(camera: Path) -> None:
    tape, every = taped(camera, limit=20_000)
    assert sum(len(p.data) for p in every) > 20_000
    assert 0 < tape.bytes <= 20_000
    big = Piece(0.0, True, 0, 0, Fraction(1, 90_000), b"x" * 100)
    small = Tape(10.0, limit=99)
    small.put(big)
    assert small.bytes == 0


def test_a_lost_connection_stays_within_the_bounds(camera: Path) -> None:
    everything, every = taped(camera)
    seconds, small = Tape(0.0), Tape(60.0, limit=everything.bytes // 4)
    for tape in (seconds, small):
        for start in (100.0, 120.0, 140.0):
            tape.begin(template_of(camera))
            feed(tape, every, start, start + 20.0)
    assert small.bytes <= everything.bytes // 4
    assert seconds.span == (pytest.approx(139.8, abs=2.0), pytest.approx(159.8))
    assert seconds.bytes < everything.bytes / 2
    assert seconds.cut(100.0, 120.0) is None


@pytest.mark.parametrize(
    ("lost", "back", "starts", "seconds"),
    [(123.0, 128.0, -6.0, 8.8), (119.0, 121.0, -6.0, 4.8), (116.0, 118.0, -2.0, 11.8), (110.0, 122.0, 2.0, 7.8)],
)
def test_a_camera_that_drops_about_an_alarm(
    camera: Path, tmp_path: Path, lost: float, back: float, starts: float, seconds: float
) -> None:
    """An alarm at 120, from 115 to 130: what was sent about it is in its clip, though the camera came back since."""
    _, every = taped(camera)
    tape = Tape(15.0)
    tape.begin(template_of(camera))
    feed(tape, every, 100.0, lost)
    tape.begin(None)  # a try that came to nothing
    tape.begin(template_of(camera))
    feed(tape, every, back, 140.0)
    store = EvidenceStore(tmp_path / "e", EvidenceLimits(free=0))
    clips = Clips({"east": tape}, store, ManualClock(), before=5.0, after=10.0, announce=lambda clip: None)
    clip = clips.make("east", Moment(120.0, 5.0, 9.9), "a", 1.0)
    assert clip
    assert (clip.starts, clip.seconds) == (pytest.approx(starts), pytest.approx(seconds))
    assert clip.late == max(0.0, starts + 5.0)
    assert clips.span("east") == (106.0, pytest.approx(139.8))  # 140 - 15 - SPARE_S, and a key frame


def test_what_somebody_waits_for_stays_on_the_tape(camera: Path, tmp_path: Path) -> None:
    _, every = taped(camera)
    tape, store = Tape(0.0), EvidenceStore(tmp_path / "e", EvidenceLimits(free=0))
    clips = Clips({"east": tape}, store, ManualClock(), before=0.0, after=0.0, announce=lambda clip: None)
    moment = Moment(111.0, 10.0, 48.0)
    tape.begin(template_of(camera))
    feed(tape, every, 100.0, 111.0)
    with clips.held("east", moment):
        feed(tape, every, 111.0, 160.0)
        clip = clips.make("east", moment, "a", 1.0)
    assert clip
    assert (clip.starts, clip.late) == (-11.0, 0.0)
    assert clip.seconds == pytest.approx(59.0)
    tape.put(replace(every[-1], time=160.0))
    assert tape.span and tape.span[0] >= 140.0, "and no longer"


def test_bytes_bound_what_somebody_waits_for(camera: Path) -> None:
    everything, every = taped(camera)
    tape = Tape(0.0, limit=everything.bytes // 2)
    tape.begin(template_of(camera))
    with tape.held(100.0):
        feed(tape, every, 100.0, 160.0)
        cut = tape.cut(100.0, 160.0)
    assert tape.bytes <= everything.bytes // 2
    assert cut and cut.start > 110.0


def test_a_stop_writes_the_clips_that_wait(camera: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What there is of them; the log names the episodes."""
    _, every = taped(camera)
    tape, told, stop = Tape(15.0), list[Clip](), threading.Event()
    tape.begin(template_of(camera))
    feed(tape, every, 100.0, 123.0)
    clock = ManualClock(120.0)
    events = [Events(clock, seed).begin(camera="east") for seed in (1, 2)]
    store = EvidenceStore(tmp_path / "e", EvidenceLimits(free=0))
    clips = Clips({"east": tape}, store, clock, before=5.0, after=10.0, announce=told.append)
    for event in events:
        clips.want(event)
    stop.set()
    with caplog.at_level(logging.WARNING):
        clips.run(stop)
    assert [clip.id for clip in told] == [event.id for event in events]
    assert all(event.episode in text for event, text in zip(events, caplog.messages, strict=True))
    assert (told[0].starts, told[0].seconds) == (-6.0, pytest.approx(8.8))
    assert len(list(pictures((tmp_path / "e" / told[0].file.name).read_bytes()))) >= 40


def test_an_alarm_gets_its_clip_when_it_is_time(camera: Path, tmp_path: Path) -> None:
    tape, _ = taped(camera)
    begin = next(e for e in play(runner("fire_lane"), Script([Thing(7, 50, 130)], 140)) if e.phase == "begin")
    assert begin.monotonic == 110.0
    clock, told, stop = ManualClock(begin.monotonic), [], threading.Event()

    def announce(clip: Clip) -> None:
        told.append(clip)
        stop.set()

    store = EvidenceStore(tmp_path / "e", EvidenceLimits(free=0))
    clips = Clips({"east": tape}, store, clock, before=11.0, after=10.0, announce=announce)
    clips.want(begin)
    clips.run(stop)
    (clip,) = told
    assert clock.monotonic() >= begin.monotonic + 10
    assert clip.file.name == f"{begin.id}.mp4"
    assert (clip.starts, clip.late) == (-10.0, 1.0)
    assert clip.seconds == pytest.approx(20.0)
    assert len(list(pictures((tmp_path / "e" / clip.file.name).read_bytes()))) >= 99
    assert clips.of(begin.episode) == clip.file
    assert clips.of(begin.episode) is None


def test_a_camera_fills_its_tape(tmp_path: Path) -> None:
    options = {"g": "25", "preset": "ultrafast"}
    body = write_video(tmp_path / "camera.ts", range(0, 4000, 40), options=options).read_bytes()
    tape, clock = Tape(10.0), SystemClock()
    with serving(HttpCamera(body, "video/mp2t", seconds=1.0)) as camera:
        reader = Plugin(url=camera.url(), fps=25, timeout=2).read("cam", clock, threading.Event(), tape)
        with pytest.raises(SourceError, match=r"no answer|no picture"):  # it sends no more, and holds the line
            for _ in reader:
                pass
    cut = tape.cut(-100.0, clock.monotonic())
    assert cut  # the connection is gone, the tape is not
    assert len(list(pictures(mp4(cut)))) >= 50


def test_which_sources_have_clips(tmp_path: Path) -> None:
    file = tmp_path / "smartbox.yaml"
    file.write_text(
        """
version: 1
box: {site: t, id: b}
mqtt: {url: mqtt://127.0.0.1}
evidence: {clips: true, before: 3s, after: 4s}
sources:
  gate: {type: http, url: http://127.0.0.1/a}
  masked: {type: http, url: http://127.0.0.1/b, masks: [[[0, 0], [1, 0], [1, 1]]]}
  off: {type: http, url: http://127.0.0.1/c, enabled: false}
  played: {type: file, path: a.mp4}
"""
    )
    assert build.taped(config.load(file)) == ["gate"]
    (said,) = [text for text in warnings(build.parts(config.load(file))) if "clips" in text]
    assert "sources.masked.masks" in said
    file.write_text(file.read_text().replace("clips: true", "clips: reencode, audio: true"))
    made = config.load(file)
    assert build.taped(made) == ["gate", "masked"]
    assert not [text for text in warnings(build.parts(made)) if "clips" in text]
    tapes = build.tapes(made)
    assert all(tape.sound for tape in tapes.values())
    tapes["masked"].put(Piece(0.0, True, 0, 0, Fraction(1, 90_000), b"x"))
    cut = tapes["masked"].cut(0.0, 1.0)
    assert cut
    assert cut.masks == made.sources["masked"].masks != ()
    file.write_text(file.read_text().replace("clips: reencode, ", ""))
    with pytest.raises(ConfigError, match=r"evidence.*audio does nothing without clips"):
        config.load(file)
    file.write_text(file.read_text().replace("audio: true, ", ""))
    assert build.taped(config.load(file)) == []
