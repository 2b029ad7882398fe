"""IP cameras over FFmpeg: what `rtsp` and `http` share. Passwords of their addresses stay inside this module."""

import logging
import threading
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import av
from av.audio.stream import AudioStream
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.stream import VideoStream
from pydantic import ConfigDict, Field, SecretStr, field_validator

from smartbox.clock import Clock
from smartbox.errors import SourceError
from smartbox.secrets import redact
from smartbox.settings import Duration
from smartbox.sources._av import (
    Converter,
    Ear,
    Rotation,
    Thinner,
    explain,
    heard,
    piece,
    template,
    unwanted,
    video_stream,
    wall_time,
)
from smartbox.sources._base import Pacer, SourceSettings
from smartbox.sources._pump import Pump
from smartbox.sources._timeline import LiveTimeline
from smartbox.tape import Tape
from smartbox.types import Sample

log = logging.getLogger(__name__)

_UNTIMED = frozenset({"mpjpeg", "mjpeg", "jpeg_pipe", "h264", "hevc"})  # FFmpeg invents 25 fps for these
_HINTS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError), "; check user and password"),
    ((av.error.HTTPNotFoundError,), "; check the path, see the camera's manual"),
    ((ConnectionRefusedError,), "; is the camera on, is the port right?"),
    ((InvalidDataError,), "; what answers there sends no video"),
    ((OSError,), "; does the name resolve, is the network up?"),
)
_SETTLING = 1.0  # s after the opening in which buffered sound arrives in a burst, too late to be dated


class NetworkSettings(SourceSettings):
    """A camera that is read over the network."""

    model_config = ConfigDict(hide_input_in_errors=True)
    schemes: ClassVar[tuple[str, ...]] = ()
    taped: ClassVar[bool] = True

    url: SecretStr
    """The camera's address, with account where it needs one. Write it as a secret."""

    substream_url: SecretStr | None = None
    """The camera's smaller stream. Where given it is the one that is read: detection needs no more than 720p."""

    timeout: Duration = Field(5.0, ge=1, le=9)
    """The camera counts as lost when it does not answer, or sends nothing that can be decoded, for so long (s).
    For the first picture it has twice that, as cameras send key frames seldom. Under 10 s, so that
    the loss is known within 10 s."""

    hardware: str | None = None
    """Decode by this device of FFmpeg (cuda · qsv · drm …), `cuda:1` to name which.
    None: by the processor."""

    audio: bool = False
    """Deliver the camera's sound as well."""

    @field_validator("url", "substream_url")
    @classmethod
    def _is_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return value
        text = value.get_secret_value()
        scheme, colon, rest = text.partition("://")
        if not colon or scheme.lower() not in cls.schemes or not rest.strip("/"):
            wanted = " or ".join(f"{s}://" for s in cls.schemes)
            shown = redact(text) if colon else redact(f"x://{text}").removeprefix("x://")
            raise ValueError(f"{shown!r} is no address of a camera; write {wanted}[user:password@]host[:port]/path")
        try:
            _ = urlsplit(text).port
        except ValueError:
            hint = "in a password write / as %2F, ? as %3F, # as %23, @ as %40 and : as %3A"
            raise ValueError(f"{redact(text)!r} has no port or host that can be understood; {hint}") from None
        return value

    @property
    def address(self) -> str:
        """What is read, password included: for FFmpeg's eyes only."""
        return (self.substream_url or self.url).get_secret_value()

    @property
    def hears(self) -> bool:
        """Whether the camera's sound is delivered."""
        return self.audio or self.sound_model is not None

    def options(self, sound: bool) -> dict[str, str]:
        """FFmpeg's options for the protocol; sound: it is asked for as well as the pictures."""
        raise NotImplementedError

    def read(self, source_id: str, clock: Clock, stop: threading.Event, tape: Tape | None = None) -> Iterator[Sample]:
        """Frames as they come; SourceError when the camera is refused, lost, silent, or sends what none can decode.

        tape: gets every packet of the video, and of the sound where it wants it.
        """
        pump: Pump[Sample] = Pump(f"camera {source_id}", clock, _Camera(self, source_id, clock, tape).samples)
        try:
            yield from pump.items(stop, first=2 * self.timeout, then=self.timeout)
        except TimeoutError:
            seconds = self.timeout if pump.began else 2 * self.timeout
            what = f"sent no picture that can be decoded for {seconds:g} s"
            raise SourceError(f"{source_id}: {redact(self.address)} {what}") from None


class _Camera:
    """One connection, in the pump's thread."""

    def __init__(self, settings: NetworkSettings, source_id: str, clock: Clock, tape: Tape | None) -> None:
        self._settings, self._id, self._clock, self._tape = settings, source_id, clock, tape
        self._pacer, self._converter, self._rotation = Pacer(settings.fps), Converter(), Rotation()
        self._utc = wall_time(clock)
        self._seq = 0
        self._records_sound = tape is not None and tape.sound
        self._damaged, self._damage_said = 0, clock.monotonic()

    def samples(self, pump: Pump[Sample]) -> Iterator[Sample]:
        failure = None
        try:
            with self._open() as container:
                yield from self._decode(container, pump)
        except FFmpegError as error:
            failure = self._failure(error, pump.began)
        if failure:  # outside of the handler: no chain of causes, FFmpeg's exception quotes the whole address
            raise failure
        if not pump.left:
            raise self._error("the stream broke off: the camera ended it")

    def _open(self) -> InputContainer:
        settings = self._settings
        limits = (settings.timeout, settings.timeout)
        # Probing for 2 s at most (µs), and not for a frame rate: 0.3 s to the first picture instead of 1.1 s.
        # Not "nobuffer": it throws the first key frame away, and the next may be seconds off.
        sound = settings.hears or self._records_sound
        options = {**settings.options(sound), "analyzeduration": "2000000", "fpsprobesize": "0"}
        accelerator = self._hardware(settings.hardware)
        try:
            return av.open(
                settings.address, options=options, timeout=limits, hwaccel=accelerator, metadata_errors="replace"
            )
        except FFmpegError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            raise self._error(f"hardware {settings.hardware!r} cannot decode this stream: {error}") from error

    def _hardware(self, wanted: str | None) -> HWAccel | None:
        if wanted is None:
            return None
        kind, _, device = wanted.partition(":")
        known = hwdevices_available()
        if kind not in known:
            raise self._error(f"hardware {kind!r} is not built into this FFmpeg; it has {', '.join(known) or 'none'}")
        return HWAccel(device_type=kind, device=device or None, allow_software_fallback=False)

    def _decode(self, container: InputContainer, pump: Pump[Sample]) -> Iterator[Sample]:
        video = video_stream(container)
        wanted, recorded = self._settings.hears, self._records_sound
        sound = next(iter(container.streams.audio), None) if wanted or recorded else None
        if video is None:
            raise self._error("the stream has no video")
        if wanted and sound is None:
            key = unwanted(self._settings.sound_model)
            log.warning("%s: the camera sends no sound: switch it on in the camera, or take away %s", self._id, key)
        thinner = self._set_up(video)
        trusted = container.format.name not in _UNTIMED
        # Of clips, pictures without times would be of any speed.
        tape = self._begin_tape(video, sound if recorded else None) if trusted else None
        opened = self._clock.monotonic()
        pictures, sounds = LiveTimeline(), LiveTimeline()
        ear = Ear(self._id, self._utc)
        for packet in container.demux([s for s in (video, sound) if s is not None]):
            if pump.left:
                return
            arrival = self._clock.monotonic()
            if tape and (packet.stream is video or recorded) and (kept := piece(packet, arrival)):
                tape.put(kept)
            if packet.stream is not video and not wanted:
                continue
            try:
                decoded = packet.decode()
            except InvalidDataError:
                self._damage()
                continue
            for item in decoded:
                if isinstance(item, av.AudioFrame):
                    if arrival - opened > _SETTLING:
                        yield from ear.hear(item, sounds.at(arrival, item.time))
                elif isinstance(item, av.VideoFrame) and not item.is_corrupt:
                    pump.beat()
                    thinner.saw(arrival)
                    turns = self._rotation.turns(item)
                    if tape:
                        tape.turned(arrival, turns)
                    yield from self._see(item, turns, pictures.at(arrival, item.time if trusted else None))
                else:
                    self._damage()

    def _begin_tape(self, video: VideoStream, sound: AudioStream | None) -> Tape | None:
        if self._tape is None:
            return None
        pattern = template(video)
        self._tape.begin(pattern, heard(sound) if sound else None)
        if pattern is None:
            log.warning("%s: no clips: an MP4 cannot hold %s", self._id, video.codec_context.name)
        return self._tape if pattern else None

    def _set_up(self, video: VideoStream) -> Thinner:
        context = video.codec_context
        if context is None:
            raise self._error("no decoder for the video; expected H.264, H.265 or MJPEG")
        context.thread_count = 1  # frame threads would hold pictures back, and cameras outnumber cores anyway
        return Thinner(context, self._settings.fps)

    def _see(self, picture: av.VideoFrame, turns: int, time: float) -> Iterator[Sample]:
        if self._pacer.take(time):
            yield self._converter.frame(picture, turns, self._id, self._seq, time, self._utc(time))
            self._seq += 1

    def _damage(self) -> None:
        """Count what could not be decoded; say so once a minute."""
        self._damaged += 1
        if (now := self._clock.monotonic()) - self._damage_said >= 60.0:
            log.warning("%s: %d damaged packets within %.0f s", self._id, self._damaged, now - self._damage_said)
            self._damaged, self._damage_said = 0, now

    def _failure(self, error: FFmpegError, began: bool) -> SourceError:
        if isinstance(error, av.error.ExitError | TimeoutError):  # FFmpeg's "immediate exit": a time-out of ours
            return self._error(f"no answer within {self._settings.timeout:g} s")
        if began:
            return self._error(f"the stream broke off: {explain(error)}")
        hint = next((hint for kinds, hint in _HINTS if isinstance(error, kinds)), "")
        device = f" (hardware: {self._settings.hardware})" if self._settings.hardware else ""
        return self._error(explain(error) + hint + device)

    def _error(self, what: str) -> SourceError:
        return SourceError(f"{self._id}: {redact(self._settings.address)}: {redact(what)}")
