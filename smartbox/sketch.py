"""The installer's picture: a live frame with a 0–1 grid, every zone and slot, and what the model sees now."""

from collections.abc import Sequence

import cv2
import numpy as np

from smartbox.geometry import Zone
from smartbox.types import Detections, Image, Point

GRID, ZONE, SLOT, SEEN = (200, 200, 200), (0, 200, 255), (255, 180, 0), (80, 255, 80)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def sketch(image: Image, zones: Sequence[Zone], found: Detections) -> bytes:
    """A JPEG of `image` (BGR) with everything drawn on it."""
    canvas = _enlarged(image)
    _grid(canvas)
    for zone in zones:
        if zone.polygon:
            _shape(canvas, zone.polygon, zone.id, ZONE)
        if zone.line:
            _arrow(canvas, zone.line, zone.id)
        for slot, polygon in zone.slots.items():
            _shape(canvas, polygon, slot, SLOT)
    for i in range(len(found)):
        x0, y0, x1, y1 = found.xyxy[i]
        corners = (_pixel(canvas, (float(x0), float(y0))), _pixel(canvas, (float(x1), float(y1))))
        cv2.rectangle(canvas, *corners, SEEN, 2, cv2.LINE_AA)
        _label(canvas, f"{found.label(i)} {found.score[i]:.2f}", corners[0], SEEN)
    ok, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert ok  # of an 8-bit BGR picture in memory
    return bytes(data)


def _enlarged(image: Image) -> Image:
    """At least 960 wide, so that names can be read."""
    factor = max(1.0, 960 / image.shape[1])
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.ascontiguousarray(cv2.resize(image, size)) if factor > 1 else image.copy()


def _grid(canvas: Image) -> None:
    height, width = canvas.shape[:2]
    for i in range(1, 10):
        x, y = round(width * i / 10), round(height * i / 10)
        cv2.line(canvas, (x, 0), (x, height), GRID, 1)
        cv2.line(canvas, (0, y), (width, y), GRID, 1)
        cv2.putText(canvas, f"{i / 10:.1f}", (x + 2, 14), FONT, 0.42, GRID, 1, cv2.LINE_AA)
        cv2.putText(canvas, f"{i / 10:.1f}", (2, y - 3), FONT, 0.42, GRID, 1, cv2.LINE_AA)


def _shape(canvas: Image, polygon: Sequence[Point], name: str, colour: tuple[int, int, int]) -> None:
    points = np.array([_pixel(canvas, point) for point in polygon], np.int32)
    tinted = canvas.copy()
    cv2.fillPoly(tinted, [points], colour)
    cv2.addWeighted(tinted, 0.18, canvas, 0.82, 0, canvas)
    cv2.polylines(canvas, [points], True, colour, 2, cv2.LINE_AA)
    x, y = points.mean(0).astype(int)
    _label(canvas, name, (int(x) - 4 * len(name), int(y)), colour)


def _arrow(canvas: Image, line: tuple[Point, Point], name: str) -> None:
    """The line, and an arrow across it that shows which way counts as `in`: from its left to its right side."""
    a, b = (np.array(_pixel(canvas, point)) for point in line)
    cv2.line(canvas, (int(a[0]), int(a[1])), (int(b[0]), int(b[1])), ZONE, 2, cv2.LINE_AA)
    along = (b - a) / max(1.0, float(np.hypot(*(b - a))))
    right = np.array([-along[1], along[0]])
    middle = (a + b) / 2
    start, end = (middle - right * 30).astype(int), (middle + right * 30).astype(int)
    cv2.arrowedLine(canvas, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), ZONE, 2, cv2.LINE_AA, 0, 0.35)
    beyond = (middle + right * 48).astype(int)
    _label(canvas, "in", (int(beyond[0]) - 10, int(beyond[1]) + 6), ZONE)
    _label(canvas, name, (int(a[0]) + 6, int(a[1]) - 6), ZONE)


def _label(canvas: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    (width, height), _ = cv2.getTextSize(text, FONT, 0.5, 1)
    x, y = max(0, at[0]), max(height + 4, at[1])
    cv2.rectangle(canvas, (x, y - height - 4), (x + width + 4, y + 2), (0, 0, 0), cv2.FILLED)
    cv2.putText(canvas, text, (x + 2, y - 2), FONT, 0.5, colour, 1, cv2.LINE_AA)


def _pixel(canvas: Image, point: Point) -> tuple[int, int]:
    return round(point[0] * (canvas.shape[1] - 1)), round(point[1] * (canvas.shape[0] - 1))
