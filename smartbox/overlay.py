"""Drawing on a picture: zones, boxes, and a line that says which rule, where and when."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.types import Box, Image, Point

Colour = tuple[int, int, int]  # BGR

_ZONE: Colour = (230, 180, 40)
_CONCERNED: Colour = (40, 60, 235)
_OTHER: Colour = (190, 190, 190)
_DARK: Colour = (24, 20, 18)
_LIGHT: Colour = (250, 250, 250)
_MASK: Colour = (96, 96, 96)
_FONT = cv2.FONT_HERSHEY_DUPLEX


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn on a picture. zones: (name, polygon or line); boxes: (xyxy, label, score, concerned).

    masks: what nobody is to see; it is covered before anything else is drawn.
    """

    zones: Sequence[tuple[str, Sequence[Point]]] = ()
    boxes: Sequence[tuple[Box, str, float, bool]] = ()
    rule: str = ""
    text: str = ""
    masks: Sequence[Sequence[Point]] = ()


def cover(image: Image, masks: Sequence[Sequence[Point]]) -> Image:
    """A copy of a BGR picture whose masked parts are one flat grey: nothing of what was there is left."""
    canvas = image.copy()
    for mask in masks:
        points = _pixels(mask, canvas)
        cv2.fillPoly(canvas, [points], _MASK)
        cv2.polylines(canvas, [points], True, _MASK, 3)  # pixels that the edge only touches, too
    return canvas


def draw(image: Image, overlay: Overlay, utc: float) -> Image:
    """A copy of a BGR picture with everything on it; sizes follow the picture's."""
    canvas = cover(image, overlay.masks)
    unit = max(0.75, min(canvas.shape[:2]) / 720)
    for _, points in overlay.zones:
        _fill(canvas, _pixels(points, canvas))
    for name, points in overlay.zones:
        _outline(canvas, _pixels(points, canvas), name, unit)
    for box, label, score, concerned in sorted(overlay.boxes, key=lambda item: item[3]):
        _box(canvas, box, f"{label} {score:.0%}", _CONCERNED if concerned else _OTHER, unit, concerned)
    _banner(canvas, overlay, utc, unit)
    return canvas


def _pixels(points: Sequence[Point], canvas: Image) -> NDArray[np.int32]:
    height, width = canvas.shape[:2]
    scaled = np.asarray(points, np.float64).reshape(-1, 2) * np.array([width - 1, height - 1])
    return np.asarray(np.rint(scaled), np.int32)


def _fill(canvas: Image, points: NDArray[np.int32]) -> None:
    """A tint that leaves the picture readable; a line has nothing to fill."""
    if len(points) < 3:
        return
    x, y, w, h = cv2.boundingRect(points)
    x0, y0 = max(x, 0), max(y, 0)
    part = canvas[y0 : y + h, x0 : x + w]
    if part.size:
        tinted = part.copy()
        cv2.fillPoly(tinted, [points - (x0, y0)], _ZONE)
        cv2.addWeighted(tinted, 0.16, part, 0.84, 0, dst=part)


def _outline(canvas: Image, points: NDArray[np.int32], name: str, unit: float) -> None:
    thickness = max(1, round(2 * unit))
    for colour, width in ((_DARK, thickness + 2), (_ZONE, thickness)):
        cv2.polylines(canvas, [points], len(points) > 2, colour, width, cv2.LINE_AA)
    top = points[np.argmin(points[:, 1])]
    _chip(canvas, name, (int(top[0]), int(top[1])), _ZONE, _DARK, unit * 0.85)


def _box(canvas: Image, box: Box, text: str, colour: Colour, unit: float, strong: bool) -> None:
    (x0, y0), (x1, y1) = ((int(x), int(y)) for x, y in _pixels([box[:2], box[2:]], canvas))
    thickness = max(1, round((3 if strong else 1.5) * unit))
    cv2.rectangle(canvas, (x0, y0), (x1, y1), _DARK, thickness + 2, cv2.LINE_AA)
    cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, thickness, cv2.LINE_AA)
    _chip(canvas, text, (x0, y0), colour, _LIGHT if strong else _DARK, unit)


def _chip(canvas: Image, text: str, at: tuple[int, int], fill: Colour, ink: Colour, unit: float) -> None:
    """A small label whose lower left corner is at `at`, moved to where it is wholly visible."""
    text = _plain(text)
    scale, pad = 0.55 * unit, max(2, round(4 * unit))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    tall = height + below + 2 * pad
    x = int(np.clip(at[0], 0, max(0, canvas.shape[1] - width - 2 * pad)))
    y = int(np.clip(at[1], tall, canvas.shape[0]))
    cv2.rectangle(canvas, (x, y - tall), (x + width + 2 * pad, y), fill, cv2.FILLED)
    cv2.putText(canvas, text, (x + pad, y - pad - below), _FONT, scale, ink, 1, cv2.LINE_AA)


def _banner(canvas: Image, overlay: Overlay, utc: float, unit: float) -> None:
    """Rule and text at the left, time at the right, on a dark strip at the bottom."""
    height, width = canvas.shape[:2]
    strip = min(height, round(34 * unit))
    canvas[height - strip :] = canvas[height - strip :] // 4
    when = datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    left = "  |  ".join(filter(None, (_plain(overlay.rule), _plain(overlay.text))))
    scale, base, pad = 0.6 * unit, height - round(11 * unit), round(10 * unit)
    (time_width, _), _ = cv2.getTextSize(when, _FONT, scale, 1)
    (left_width, _), _ = cv2.getTextSize(left, _FONT, scale, 1)
    fit = min(1.0, max(0.1, (width - time_width - 4 * pad) / max(1, left_width)))
    cv2.putText(canvas, left, (pad, base), _FONT, scale * fit, _LIGHT, 1, cv2.LINE_AA)
    cv2.putText(canvas, when, (width - time_width - pad, base), _FONT, scale, _LIGHT, 1, cv2.LINE_AA)


def _plain(text: str) -> str:
    """OpenCV's letters are ASCII."""
    spelt = unicodedata.normalize("NFKD", text.replace("·", "-").replace("–", "-"))
    return "".join(c for c in spelt if not unicodedata.combining(c)).encode("ascii", "replace").decode()
