"""FFmpeg through PyAV: decoded pictures as Frames, decoded sound as AudioChunks.

FFmpeg's own log lines never leave the process: they may quote a URL with its password.
"""

import io
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from smartbox.clock import Clock
from smartbox.secrets import redact
from smartbox.tape import Heard, Piece
from smartbox.types import AudioChunk, Floats, Frame, Image

av.logging.set_level(None)
av.logging.set_libav_level(av.logging.PANIC)

RATE = 16_000  # Hz, mono: what every sound model of smartbox takes
CHUNK = RATE // 2  # samples in one AudioChunk, 0.5 s

# 8-bit formats whose first plane is Y.
_LUMA_FIRST = frozenset(
    ["gray", "nv12", "nv21", "yuv411p", "yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p"]
)


class Converter:
    """YUV to BGR with the matrix and range that the stream declares (BT.601 when it says nothing), as FFmpeg does.

    One per reader: it keeps the scaler's tables. The lazy pixels of a Frame may be asked for by any thread.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._lock = threading.Lock()

    def bgr(self, picture: VideoFrame, turns: int) -> Image:
        """H x W x 3 uint8, upright."""
        with self._lock:
            array: Any = self._scaler.reformat(picture, format="bgr24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(array, turns))

    def frame(self, picture: VideoFrame, turns: int, source: str, seq: int, time: float, utc: float) -> Frame:
        """A Frame whose pixels are converted on first use; its luma is a view of the decoder's Y plane.

        turns: see Rotation.
        """
        size = (picture.height, picture.width) if turns % 2 else (picture.width, picture.height)
        has_y = picture.format.name in _LUMA_FIRST and picture.planes[0].line_size >= picture.width
        luma = (lambda: _luma(picture, turns)) if has_y else None
        return Frame(source, seq, time, utc, size, lambda: self.bgr(picture, turns), luma)


def _luma(picture: VideoFrame, turns: int) -> Image:
    plane: Any = picture.planes[0]  # lines are padded; the array keeps the decoder's buffer alive
    rows = np.frombuffer(plane, np.uint8)[: picture.height * plane.line_size].reshape(picture.height, plane.line_size)
    return np.rot90(rows[:, : picture.width], turns)


class Rotation:
    """How a stream's pictures become upright. It is shown every one that is decoded, in order."""

    def __init__(self) -> None:
        self._turns = 0
        self._said = False  # since the last key frame

    def turns(self, picture: VideoFrame) -> int:
        """Quarter turns, counter-clockwise (0-3), as container or stream say.

        H.264 may say so once a key frame, on it or soon after; it holds until a key frame after which nothing is said.
        """
        if picture.key_frame:
            self._turns = self._turns if self._said else 0
            self._said = False
        if Type.DISPLAYMATRIX in picture.side_data:
            self._turns, self._said = round(picture.rotation / 90) % 4, True
        return self._turns


def wall_time(clock: Clock) -> Callable[[float], float]:
    """Monotonic s of what is live -> epoch s by the clock as it is set when that is asked."""
    return lambda time: clock.utc() - (clock.monotonic() - time)


class Ear:
    """Any sound -> 16 kHz mono float32 pieces of CHUNK samples, each with the time of its first sample."""

    def __init__(self, source: str, utc: Callable[[float], float]) -> None:
        """utc: a sample's time (monotonic s) -> epoch s."""
        self._source, self._utc = source, utc
        self._resampler = AudioResampler(format="fltp", rate=RATE)
        self._kind: tuple[str, str, int] | None = None  # the sound that the resampler is set up for
        self._rest: Floats = np.zeros(0, np.float32)
        self._time = -math.inf  # of the first sample of _rest
        self._seq = 0

    def hear(self, sound: AudioFrame, time: float) -> Iterator[AudioChunk]:
        """The chunks that are complete after `sound`, captured at `time`."""
        if abs(time - (self._time + len(self._rest) / RATE)) > 0.1:  # the start, or a gap in the sound
            self._rest, self._time = np.zeros(0, np.float32), time
        sound.pts = None  # else the resampler fills or cuts after odd timestamps
        self._take(sound)
        while len(self._rest) >= CHUNK:
            yield self._cut()

    def finish(self) -> Iterator[AudioChunk]:
        """What is left at the end of a recording; the ear is then new."""
        self._take(None)
        while len(self._rest):
            yield self._cut()
        self._kind, self._time = None, -math.inf

    def _take(self, sound: AudioFrame | None) -> None:
        if sound is not None and self._kind != (kind := (sound.format.name, sound.layout.name, sound.sample_rate)):
            self._resampler, self._kind = AudioResampler(format="fltp", rate=RATE), kind
        # FFmpeg's own mono mix of floats adds power and may exceed 1; the mean of the channels does not.
        pieces = [out.to_ndarray().mean(0, dtype=np.float32) for out in self._resampler.resample(sound)]
        self._rest = np.concatenate([self._rest, *pieces])

    def _cut(self) -> AudioChunk:
        samples, self._rest = self._rest[:CHUNK].clip(-1.0, 1.0), self._rest[CHUNK:]
        chunk = AudioChunk(self._source, self._seq, self._time, self._utc(self._time), RATE, samples)
        self._time += len(samples) / RATE
        self._seq += 1
        return chunk


class Thinner:
    """Leaves undecoded the H.264 / H.265 pictures that no other picture refers to, while enough remain for `fps`."""

    WINDOW = 2.0  # s over which the remaining rate is measured

    def __init__(self, context: VideoCodecContext, fps: float) -> None:
        self._context, self._fps = context, fps
        self._active = context.name in ("h264", "hevc")
        self._begin: float | None = None
        self._count = 0
        if self._active:
            context.skip_frame = "NONREF"

    def saw(self, time: float) -> None:
        """A picture was decoded at `time`; too few of them, and all are decoded from now on."""
        if not self._active:
            return
        if self._begin is None:
            self._begin = time
            return
        self._count += 1
        if time - self._begin >= self.WINDOW:
            if self._count / (time - self._begin) < 0.95 * self._fps:
                self._active = False
                self._context.skip_frame = "DEFAULT"
            self._begin, self._count = time, 0


S = TypeVar("S", VideoStream, AudioStream)


def template(stream: S) -> S | None:
    """What a clip needs to know of a stream, in a container of its own that outlives the connection.

    None: an MP4 cannot hold it.
    """
    try:
        return av.open(io.BytesIO(), "w", format="mp4").add_stream_from_template(stream)
    except (FFmpegError, ValueError):
        return None


def heard(stream: AudioStream) -> Heard | None:
    """What a clip needs to know of a camera's sound; None: there is no decoder for it."""
    context = stream.codec_context
    return Heard(context.name, context.sample_rate, context.layout.name, template(stream)) if context else None


def piece(packet: "Packet[Any]", time: float) -> Piece | None:
    """A packet for the tape; None: it says nothing of its time, or is damaged."""
    dts = packet.dts if packet.dts is not None else packet.pts
    if dts is None or packet.size == 0 or packet.is_corrupt:
        return None
    pts = packet.pts if packet.pts is not None else dts
    sound = packet.stream.type == "audio"
    return Piece(time, packet.is_keyframe, pts, dts, packet.time_base, bytes(packet), sound)


def unwanted(sound_model: str | None) -> str:
    """What of a source's settings to take away where there is no sound."""
    return f"`sound_model: {sound_model}`" if sound_model else "`audio: true`"


def video_stream(container: Any) -> VideoStream | None:
    """The best video stream; the cover picture of a sound file is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    best: VideoStream | None = container.streams.best("video") if streams else None
    return best if best in streams else (streams[0] if streams else None)


def explain(error: Exception) -> str:
    """What FFmpeg says, without the URL that it repeats."""
    return redact(str(getattr(error, "strerror", None) or error))
