"""A USB or built-in camera on Linux, found again by its stable name wherever it is plugged in."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import Field, field_validator

from smartbox.clock import Clock
from smartbox.errors import SourceError
from smartbox.settings import Duration
from smartbox.sources._base import Pacer, SourceSettings
from smartbox.sources._pump import Pump
from smartbox.types import Frame, Image, Sample

os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4")  # s; read once, when OpenCV loads: 10 s would be long
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # what its warnings say stands in our own messages
import cv2

DEV = Path("/dev")


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def set(self, prop: int, value: float, /) -> bool: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def open_capture(node: str) -> Capture:
    """The device node by OpenCV's V4L2 driver."""
    return cv2.VideoCapture(node, cv2.CAP_V4L2)


class Plugin(SourceSettings):
    """Reads a Video4Linux camera."""

    retry_most: ClassVar[float] = 5.0

    device: str | int
    """`/dev/v4l/by-id/…` (stays the same whatever the port and order of plugging), its last part alone,
    `/dev/video0`, or an index such as 0."""

    format: str | None = Field(None, pattern="^[A-Z0-9 ]{4}$")
    """Pixel format, such as MJPG (more frames over one USB port) or YUYV. None: the camera's default."""

    width: int | None = Field(None, ge=16, le=8192)
    """Pixels; the camera takes the nearest that it has. None: its default."""

    height: int | None = Field(None, ge=16, le=8192)
    """Pixels."""

    timeout: Duration = Field(5.0, ge=1, le=9)
    """The camera counts as lost when it sends nothing for so long (s); for the first picture it has twice that."""

    @property
    def hears(self) -> bool:
        return False

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str | int) -> str | int:
        if isinstance(value, str) and "/" in value and (not value.startswith("/dev/") or ".." in value):
            raise ValueError("names no camera; write /dev/v4l/by-id/…, /dev/video0 or an index")
        return value

    def read(
        self,
        source_id: str,
        clock: Clock,
        stop: threading.Event,
        *,
        opener: Callable[[str], Capture] = open_capture,
        dev: Path = DEV,
    ) -> Iterator[Sample]:
        """Frames as they come; SourceError when there is no such device, it is in use, or it was unplugged.

        The name is resolved anew on each call, under `dev`.
        """
        node = _resolve(source_id, self.device, dev)
        pump: Pump[Frame] = Pump(
            f"camera {source_id}", clock, lambda pump: self._grab(source_id, clock, node, opener, pump)
        )
        try:
            yield from pump.items(stop, first=2 * self.timeout, then=self.timeout)
        except TimeoutError:
            raise SourceError(f"{source_id}: {self.device} ({node.name}) sends no picture") from None

    def _grab(
        self, source_id: str, clock: Clock, node: Path, opener: Callable[[str], Capture], pump: Pump[Frame]
    ) -> Iterator[Frame]:
        capture = opener(str(node))
        try:
            if not capture.isOpened():
                why = (
                    "no permission (group video)" if not os.access(node, os.R_OK | os.W_OK) else "in use, or no camera"
                )
                raise SourceError(f"{source_id}: {self.device} ({node.name}) cannot be opened: {why}")
            self._set_up(capture)
            pacer, seq = Pacer(self.fps), 0
            while not pump.left:
                if not capture.grab():
                    raise SourceError(f"{source_id}: {self.device} ({node.name}) stopped; was it unplugged?")
                time = clock.monotonic()
                pump.beat()
                if not pacer.take(time):
                    continue  # grabbed to empty the driver's queue, never decoded
                good, image = capture.retrieve()
                if good:
                    yield Frame.of(source_id, seq, time, clock.utc(), _bgr(image))
                    seq += 1
        finally:
            capture.release()

    def _set_up(self, capture: Capture) -> None:
        """The format first: which sizes there are depends on it."""
        if self.format:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self.format))
        if self.width:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self.width)
        if self.height:
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self.height)


def _bgr(image: Image) -> Image:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]


def _resolve(source_id: str, device: str | int, dev: Path) -> Path:
    """The device node that the stable name points to now."""
    name = str(device)
    if name.isdigit():
        path = dev / f"video{name}"
    elif name.startswith("/dev/"):
        path = dev / name.removeprefix("/dev/")
    else:
        path = dev / "v4l" / "by-id" / name
    if not path.exists():
        found = _found(dev)
        raise SourceError(f"{source_id}: there is no camera {device}; found: {', '.join(found) or 'none at all'}")
    return path.resolve()


def _found(dev: Path) -> list[str]:
    """Cameras that are plugged in: stable names, and the nodes that have none."""
    named = {p: p.resolve() for p in sorted((dev / "v4l" / "by-id").glob("*"))}
    bare = [p for p in sorted(dev.glob("video[0-9]*")) if p.resolve() not in named.values()]
    return [f"/dev/v4l/by-id/{p.name} ({node.name})" for p, node in named.items()] + [f"/dev/{p.name}" for p in bare]
