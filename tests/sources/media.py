"""Clips and sounds made for the tests, encoded by FFmpeg's libraries."""

import math
import struct
import subprocess
import time
import wave
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from threading import Event

import av
import numpy as np

from smartbox.clock import Clock, SystemClock
from smartbox.sources._base import SourceSettings
from smartbox.types import Frame, Image, Sample

MS = Fraction(1, 1000)
_COPY = ("ffmpeg", "-v", "error", "-i")


class BootClock(SystemClock):
    """A board's without a battery: it is 1970, until it is set."""

    def __init__(self) -> None:
        self._ahead = -time.time()

    def set(self) -> None:
        self._ahead = 0.0

    def utc(self) -> float:
        return super().utc() + self._ahead


def picture(i: int, width: int = 160, height: int = 120) -> Image:
    """A picture that tells its number: grey rises by 10 a frame, with a white square that wanders."""
    image = np.full((height, width, 3), 20 + 10 * (i % 20), np.uint8)
    x = (8 * i) % (width - 16)
    image[8:24, x : x + 16] = 255
    return image


def write_video(
    path: Path,
    times_ms: Iterable[int],
    codec: str = "libx264",
    size: tuple[int, int] = (160, 120),
    rate: int = 25,
    options: dict[str, str] | None = None,
    tone_s: float = 0.0,
) -> Path:
    """A clip whose i-th frame (picture(i)) is shown at times_ms[i]; with `tone_s`, also a 440 Hz tone that long."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = MS
        sound = out.add_stream("aac", rate=44_100, layout="mono") if tone_s else None
        for i, ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(i, *size), format="bgr24")
            frame.pts, frame.time_base = ms, MS
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            samples = tone(tone_s, 44_100)[None]
            frame_of_sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame_of_sound.sample_rate, frame_of_sound.pts = 44_100, 0
            out.mux(sound.encode(frame_of_sound))
            out.mux(sound.encode(None))
    return path


def turned(path: Path, degrees: int, made: Path) -> Path:
    """The same as a fragmented MP4 whose container says that it is to be shown turned, counter-clockwise."""
    subprocess.run([*_COPY, path, "-c", "copy", "-movflags", "frag_keyframe+empty_moov", made], check=True)
    cosine, sine = (round(f(math.radians(degrees))) << 16 for f in (math.cos, math.sin))
    data = bytearray(made.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", cosine, -sine, 0, sine, cosine, 0, 0, 0, 1 << 30)
    made.write_bytes(data)
    return made


def oriented(path: Path, degrees: int, made: Path) -> Path:
    """The same H.264 that says so by itself, once a key frame."""
    metadata = f"h264_metadata=display_orientation=insert:rotate={degrees}"
    subprocess.run([*_COPY, path, "-c", "copy", "-bsf:v", metadata, made], check=True)
    return made


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_wav(path: Path, samples: np.ndarray, rate: int, channels: int = 1) -> Path:
    """16-bit PCM; every channel the same."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat((samples * 32767).astype("<i2"), channels).tobytes())
    return path


def collect(plugin: SourceSettings, clock: Clock, limit: int | None = None, stop: Event | None = None) -> list[Sample]:
    """Everything that the source delivers, or the first `limit` samples."""
    samples: list[Sample] = []
    reader = plugin.read("cam", clock, stop or Event())
    for sample in reader:
        samples.append(sample)
        if len(samples) == limit:
            break
    reader.close()  # type: ignore[attr-defined]
    return samples


def times(samples: Sequence[Sample], start: float = 0.0) -> list[float]:
    """Times of the pictures, from `start`, in ms precision."""
    return [round(s.time - start, 3) for s in samples if isinstance(s, Frame)]
