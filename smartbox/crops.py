"""What a classifier looks at: a slot's polygon warped to a square, and the square round a person. Pure."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import Polygon
from smartbox.manifest import InputSpec
from smartbox.preprocess import prepare
from smartbox.types import Box, Floats, Frame, Image

SLOT_MARGIN = 1.3
"""Side of what is looked at against the slot's own: a car stands higher than its slot, and beyond its lines."""
PERSON_MARGIN = 1.2
"""Side of the square against the longer side of the person's box."""


def slot(picture: Frame | Image, polygon: Polygon, spec: InputSpec) -> NDArray[Any]:
    """The tensor of one slot, without the batch axis. polygon: 0–1 of the picture."""
    image = picture.image if isinstance(picture, Frame) else picture
    return prepare(warped(image, polygon, spec.size[0]), spec)[0]


def warped(image: Image, polygon: Polygon, side: int, margin: float = SLOT_MARGIN) -> Image:
    """The slot as a square of `side` pixels, the picture's edges repeated beyond them."""
    height, width = image.shape[:2]
    corners = quad(polygon, width, height)
    corners = ((corners - corners.mean(0)) * margin + corners.mean(0)).astype(np.float32)
    longest = float(np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1).max())
    fine = side * 2 if longest > 1.5 * side else side  # more than two pixels to one would flicker
    edge = np.array([[0, 0], [fine, 0], [fine, fine], [0, fine]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, edge)
    out = cv2.warpPerspective(image, matrix, (fine, fine), borderMode=cv2.BORDER_REPLICATE)
    if fine != side:
        out = cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(out, np.uint8)


def quad(polygon: Polygon, width: int, height: int) -> Floats:
    """Four corners in pixels, clockwise from the one nearest to the top left; of other polygons the rectangle round."""
    points = (np.array(polygon) * (width, height)).astype(np.float32)
    if len(points) != 4:
        points = np.asarray(cv2.boxPoints(cv2.minAreaRect(points)), np.float32)
    middle = points.mean(0)
    around = np.argsort(np.arctan2(points[:, 1] - middle[1], points[:, 0] - middle[0]))
    ordered = points[around]
    return np.asarray(np.roll(ordered, -int(ordered.sum(1).argmin()), axis=0), np.float32)


def person(frame: Frame, box: Box, spec: InputSpec) -> NDArray[Any]:
    """The tensor of one person, without the batch axis. box: xyxy 0–1 of the frame."""
    return prepare(frame, spec, around(box, frame.width, frame.height))[0]


def around(box: Box, width: int, height: int) -> Box:
    """The square (in pixels) round a box, cut at the picture's edges; 0–1."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = PERSON_MARGIN / 2 * max((box[2] - box[0]) * width, (box[3] - box[1]) * height)
    dx, dy = half / width, half / height
    return max(0.0, x - dx), max(0.0, y - dy), min(1.0, x + dx), min(1.0, y + dy)
