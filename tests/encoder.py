"""Grey pictures through x264 and back: what a camera's encoder does to them."""

import io
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2

from smartbox.types import Image


def through_h264(pictures: list[Image], fps: int, bit_rate: int) -> Iterator[Image]:
    """Block noise, skipped blocks, the pulse of a key frame every two seconds; luma of the same size comes back."""
    height, width = pictures[0].shape
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bit_rate
        stream.options = {"preset": "ultrafast", "g": str(2 * fps)}
        stream.time_base = Fraction(1, fps)
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), "bgr24")))
        out.mux(stream.encode())
    file.seek(0)
    with av.open(file) as video:
        for frame in video.decode(video=0):
            yield frame.to_ndarray()[:height, :width]
