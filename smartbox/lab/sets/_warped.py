"""What both sets of parking slots share: squares kept with room around them, seen a little otherwise each time."""

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.crops import SLOT_MARGIN, warped
from smartbox.geometry import Polygon
from smartbox.lab import crops
from smartbox.lab.sets import DataSet, Examples, Part, Shape, index_of
from smartbox.types import Image

ROOM = 1.5  # sides of what is kept against what the box looks at
KEPT = 96  # pixels of its side, or more for a large input: never as many as the input has

Taken = tuple[Image, Polygon, bool]


class Slots(DataSet):
    """Base of the sets of slots. Held out ones are kept as the box makes them."""

    size: int = Field(64, gt=0)
    """Side of the net's input; the recipe's `input.shape` says it."""
    skew: float = Field(0.08, ge=0, le=0.4)
    """How far each corner is moved at most, as a share of the side: people draw slots carelessly."""
    sun: float = Field(0.25, ge=0, le=1)
    """Share of examples under a low sun, with the shade of posts and trees on them."""

    def _cut(self, slots: Iterable[Taken], labels: Sequence[str], part: Part) -> Examples:
        classes = [index_of("free", labels), index_of("occupied", labels)]
        kept = max(KEPT, round(self.size * ROOM))
        side, margin = (self.size, SLOT_MARGIN) if part == "val" else (kept, SLOT_MARGIN * ROOM)
        pairs = [(warped(image, polygon, side, margin), classes[taken]) for image, polygon, taken in slots]
        return Examples([array for array, _ in pairs], np.array([c for _, c in pairs], np.int64))

    def plain(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        if array.shape == shape:
            return array
        side = array.shape[0]
        edge = round(side * (1 - 1 / ROOM) / 2)
        return crops.fit(array[edge : side - edge, edge : side - edge], (shape[1], shape[0]))

    def augment(self, array: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
        side = array.shape[0]
        half = side / ROOM / 2 * np.exp(rng.uniform(-0.12, 0.12))
        angle = rng.uniform(-0.25, 0.25)
        unit = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
        unit = unit + rng.uniform(-2 * self.skew, 2 * self.skew, (4, 2)) + rng.uniform(-0.12, 0.12, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        corners = (side / 2 + half * unit @ turn).astype(np.float32)
        width, height = shape[1], shape[0]
        edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        matrix = cv2.getPerspectiveTransform(corners, edge)
        out = cv2.warpPerspective(array, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        seen = np.asarray(out, np.uint8)
        return crops.vary(low_sun(seen, rng) if rng.random() < self.sun else seen, rng)


def low_sun(image: Image, rng: np.random.Generator) -> Image:
    """`image` in the light of morning or evening: warm where the sun is, bluish in one to three stripes of shade."""
    height, width = image.shape[:2]
    stripes = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 4))):
        angle, wide = rng.uniform(0, np.pi), rng.uniform(0.04, 0.6) * width
        along = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-along[1], along[0]]) * wide / 2
        middle, far = rng.uniform(-0.2, 1.2, 2) * (width, height), along * 2 * width
        corners = [middle + far + across, middle + far - across, middle - far - across, middle - far + across]
        cv2.fillPoly(stripes, [np.array(corners).round().astype(np.int32)], 1.0)
    shade = cv2.GaussianBlur(stripes, (0, 0), rng.uniform(0.3, 4.0))[..., None]
    warmth = rng.uniform(0, 0.3) * np.array([-1.0, 0.0, 1.0])  # of blue, green, red
    light = (1 + warmth) * (1 - shade) + rng.uniform(0.25, 0.8) * (1 - 0.6 * warmth) * shade
    return np.asarray(np.clip(image * light, 0, 255), np.uint8)
