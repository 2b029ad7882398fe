"""A recording: any file with video or sound that FFmpeg reads. Its timestamps are the clock."""

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.stream import VideoStream

from smartbox.clock import Clock
from smartbox.errors import SourceError
from smartbox.sources._av import Converter, Ear, Rotation, explain, unwanted, video_stream, wall_time
from smartbox.sources._base import Pacer, SourceSettings
from smartbox.sources._timeline import Timeline
from smartbox.types import Sample

log = logging.getLogger(__name__)


class Plugin(SourceSettings):
    """Plays a file as if it were a camera or a microphone."""

    path: Path
    """The file: MP4, MKV, AVI, TS, WAV, OGG, MP3 …; relative paths start at the working directory."""

    loop: bool = False
    """Start over at the end; time goes on."""

    paced: bool = True
    """true: in real time, as a camera would. false: as fast as the reader takes it."""

    audio: bool | Literal["auto"] = "auto"
    """Deliver the sound. auto: only where the file has no video."""

    @property
    def hears(self) -> bool:
        return self.audio is not False or self.sound_model is not None

    def read(
        self, source_id: str, clock: Clock, stop: threading.Event, *, start_utc: float | None = None
    ) -> Iterator[Sample]:
        """Sample times: `clock.monotonic()` at the start plus the file's own; utc likewise, from `start_utc` if given.

        Paced and without `start_utc` it follows a wall clock that is set. Without `paced` the result depends on the
        file and these two numbers only.
        """
        start = clock.monotonic()
        utc_offset = (clock.utc() if start_utc is None else start_utc) - start
        live = self.paced and start_utc is None
        player = _Player(self, source_id, wall_time(clock) if live else lambda time: time + utc_offset)
        while not stop.is_set():
            for sample in player.play(start):
                if self.paced and clock.wait(stop, sample.time - clock.monotonic()):
                    return
                if stop.is_set():
                    return
                yield sample
            start = player.end
            if not self.loop:
                return


class _Player:
    """Decodes the file once per `play`; keeps what must go on from one round of a loop to the next."""

    def __init__(self, settings: Plugin, source_id: str, utc: Callable[[float], float]) -> None:
        self._settings, self._id, self._utc = settings, source_id, utc
        self._converter, self._pacer, self._rotation = Converter(), Pacer(settings.fps), Rotation()
        self._ear = Ear(source_id, utc)
        self._seq = 0
        self._deaf = False  # that it has no sound was said
        self.end = 0.0  # when the last sample ends

    def play(self, start: float) -> Iterator[Sample]:
        path = self._settings.path
        self.end = start
        with _open(self._id, path) as container:
            wanted = True if self._settings.sound_model else self._settings.audio
            video, sound = _choose(self._id, path, container, wanted)
            if wanted is True and sound is None and not self._deaf:
                self._deaf = True
                key = unwanted(self._settings.sound_model)
                log.warning("%s: %s has no sound: choose one that has, or take away %s", self._id, path, key)
            try:
                yield from self._decode(container, video, sound, start)
            except FFmpegError as error:
                at = f"after {self.end - start:.1f} s"
                raise SourceError(f"{self._id}: {path} breaks off {at}: {explain(error)}") from error
        if self.end == start:
            raise SourceError(f"{self._id}: nothing in {path} could be decoded; the file is damaged")

    def _decode(
        self, container: InputContainer, video: VideoStream | None, sound: AudioStream | None, start: float
    ) -> Iterator[Sample]:
        origin = start - (container.start_time or 0) / av.time_base
        pictures, sounds = Timeline(origin, start), Timeline(origin, start)
        period = 1.0 / float(video.average_rate or 25) if video else 0.0
        bad = 0
        for packet in container.demux([s for s in (video, sound) if s is not None]):
            try:
                decoded = packet.decode()
            except InvalidDataError:
                bad += 1
                continue
            for item in decoded:
                if isinstance(item, av.AudioFrame):
                    length = item.samples / item.sample_rate
                    time = sounds.at(item.time, length)
                    self.end = max(self.end, time + length)
                    yield from self._ear.hear(item, time)
                elif isinstance(item, av.VideoFrame) and not item.is_corrupt:
                    time = pictures.at(item.time, period)
                    self.end = max(self.end, time + period)
                    yield from self._see(item, self._rotation.turns(item), time)
        yield from self._ear.finish()
        if bad:
            log.warning("%s: %s: %d damaged packets skipped", self._id, self._settings.path, bad)

    def _see(self, picture: av.VideoFrame, turns: int, time: float) -> Iterator[Sample]:
        if self._pacer.take(time):
            yield self._converter.frame(picture, turns, self._id, self._seq, time, self._utc(time))
            self._seq += 1


def _open(source_id: str, path: Path) -> InputContainer:
    if path.is_dir():
        raise SourceError(f"{source_id}: {path} is a directory, not a recording")
    try:
        # file: and the white list keep a playlist or an odd name from reaching for anything but this file's system.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except FileNotFoundError as error:
        raise SourceError(f"{source_id}: there is no file {path}") from error
    except (FFmpegError, ValueError) as error:
        hint = "" if isinstance(error, PermissionError) else "; expected a video or sound file such as MP4, MKV or WAV"
        raise SourceError(f"{source_id}: cannot open {path}: {explain(error)}{hint}") from error


def _choose(
    source_id: str, path: Path, container: InputContainer, audio: bool | Literal["auto"]
) -> tuple[VideoStream | None, AudioStream | None]:
    """The streams to deliver; SourceError when none is left or no decoder is built in."""
    video = None if container.format.name == "tty" else video_stream(container)  # text is not a picture
    wanted = audio is True or (audio == "auto" and video is None)
    sound = next(iter(container.streams.audio), None) if wanted else None
    if video is None and sound is None:
        has = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceError(f"{source_id}: {path} has no video stream to deliver (audio: {audio}); it has {has}")
    for stream in (video, sound):
        if stream is None:
            continue
        if stream.codec_context is None:
            raise SourceError(f"{source_id}: {path}: no decoder for its {stream.type}; expected H.264, H.265, AAC …")
        stream.codec_context.thread_type = "AUTO"
    return video, sound
