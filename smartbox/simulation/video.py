"""Writes a film as H.264 in an MP4, as a camera's recorder would."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

from smartbox.errors import StorageError
from smartbox.types import Image


def write_video(path: Path, pictures: Iterable[Image], size: tuple[int, int], fps: float) -> None:
    """BGR pictures of `size` (w, h), frame i at i / fps s, a key frame every two seconds."""
    rate = Fraction(fps).limit_denominator(1001)
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.time_base = 1 / rate
            stream.gop_size = max(1, round(2 * fps))
            stream.options = {"crf": "20", "preset": "veryfast", "bf": "0"}
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
                frame.pts, frame.time_base = index, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    except (FFmpegError, OSError) as error:
        raise StorageError(f"{path} cannot be written: {error}") from error
