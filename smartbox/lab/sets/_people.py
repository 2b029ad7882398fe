"""What the sets of people share: squares round them, and examples of what nobody could judge."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from smartbox.crops import PERSON_MARGIN, around
from smartbox.lab import crops
from smartbox.lab.augment import GREY
from smartbox.lab.sets import DataSet, Examples, Part, Shape, index_of
from smartbox.manifest import InputSpec
from smartbox.preprocess import prepare
from smartbox.types import Box, Image

ROOM = 1.4  # sides of what is kept against what the box looks at
KEPT = 96  # pixels of its side, or more for a large input: never as many as the input has
TINY = (4, 10)  # pixels of the longer side that tell nothing
UNSURE = "unsure"


@dataclass(frozen=True, eq=False)
class Person:
    """A picture and the box (xyxy, pixels) of somebody in it, whose posture is `label`."""

    image: Image
    box: Box
    label: str


class People(DataSet):
    """Base of the sets of people. Held out ones are kept as the box makes them."""

    size: int = Field(64, gt=0)
    """Side of the net's input; the recipe's `input.shape` says it."""
    resize: str = "letterbox"
    """As `input.resize` says."""
    unsure: float = Field(0.2, ge=0, le=2)
    """Examples of `unsure` (tiny, hidden, nobody there) for each person."""

    @field_validator("resize")
    @classmethod
    def _not_stretched(cls, resize: str) -> str:
        if resize != "letterbox":
            raise ValueError("squares round people are letterboxed at the edges; write `input.resize: letterbox`")
        return resize

    def _cut(self, people: Iterable[Person], labels: Sequence[str], part: Part, seed: int = 0) -> Examples:
        rng = np.random.default_rng([seed, part == "val"])
        arrays, classes = [], []
        for person in people:
            arrays.append(self._square(person.image, person.box, part))
            classes.append(index_of(person.label, labels))
            for _ in range(int(rng.poisson(self.unsure))):
                arrays.append(self._untold(person, part, rng))
                classes.append(index_of(UNSURE, labels))
        return Examples(arrays, np.array(classes, np.int64))

    def _square(self, image: Image, box: Box, part: Part) -> Image:
        height, width = image.shape[:2]
        if part == "val":
            spec = InputSpec(name="image", shape=(1, self.size, self.size, 3), layout="NHWC", colour="BGR")
            share = (box[0] / width, box[1] / height, box[2] / width, box[3] / height)
            return np.asarray(prepare(image, spec, around(share, width, height))[0], np.uint8)
        return wide(image, box, max(KEPT, round(self.size * ROOM)))

    def _untold(self, person: Person, part: Part, rng: np.random.Generator) -> Image:
        kind = rng.random()
        if kind < 0.35:
            side = max(person.box[2] - person.box[0], person.box[3] - person.box[1])
            return self._square(coarse(person.image, side / rng.uniform(*TINY)), person.box, part)
        if kind < 0.75:
            return self._square(covered(person.image, person.box, rng), person.box, part)
        return self._square(person.image, elsewhere(person.image, person.box, rng), part)

    def plain(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        if array.shape == shape:
            return array
        edge = round(array.shape[0] * (1 - 1 / ROOM) / 2)
        return crops.fit(array[edge:-edge, edge:-edge], (shape[1], shape[0]))

    def augment(self, array: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
        side = array.shape[0]
        scale = shape[0] * ROOM / side * np.exp(rng.uniform(-0.18, 0.18))
        matrix: Any = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-9, 9)), float(scale))
        matrix[:, 2] += np.array([shape[1], shape[0]]) * (0.5 + rng.uniform(-0.08, 0.08, 2)) - side / 2
        out = cv2.warpAffine(array, matrix, (shape[1], shape[0]), borderValue=(GREY,) * 3)
        return crops.vary(np.asarray(out, np.uint8), rng)


def wide(image: Image, box: Box, side: int) -> Image:
    """side x side round the box's middle, ROOM times what the box looks at; grey beyond the picture."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = PERSON_MARGIN * ROOM / 2 * max(box[2] - box[0], box[3] - box[1], 2)
    scale = side / (2 * half)
    source: Any = image
    if scale < 0.5:  # warpAffine does not average
        source = cv2.resize(image, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        x, y, scale = x * 2 * scale, y * 2 * scale, 0.5
    matrix = np.array([[scale, 0, side / 2 - x * scale], [0, scale, side / 2 - y * scale]], np.float32)
    out = cv2.warpAffine(source, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(GREY,) * 3)
    return np.asarray(out, np.uint8)


def coarse(image: Image, factor: float) -> Image:
    """As if taken from `factor` times as far."""
    height, width = image.shape[:2]
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def covered(image: Image, box: Box, rng: np.random.Generator) -> Image:
    """Something from elsewhere in the picture before all of the person but a piece of a limb or of the trunk."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in box)
    w, h = max(2, x1 - x0), max(2, y1 - y0)
    pw, ph = max(1, int(w * rng.uniform(0.2, 0.55))), max(1, int(h * rng.uniform(0.15, 0.35)))
    px, py = x0 + int(rng.integers(max(1, w - pw))), y0 + int(rng.integers(h // 4, max(h // 4 + 1, h - ph)))
    pad = int(0.15 * max(w, h))
    a, b, c, d = max(0, x0 - pad), max(0, y0 - pad), min(width, x1 + pad), min(height, y1 + pad)
    sx, sy = int(rng.integers(max(1, width - (c - a)))), int(rng.integers(max(1, height - (d - b))))
    out = image.copy()
    patch = image[sy : sy + d - b, sx : sx + c - a]
    if rng.random() < 0.4:
        patch = np.full_like(patch, rng.integers(20, 230, 3))
    out[b : b + patch.shape[0], a : a + patch.shape[1]] = patch
    out[py : py + ph, px : px + pw] = image[py : py + ph, px : px + pw]
    return out


def elsewhere(image: Image, box: Box, rng: np.random.Generator) -> Box:
    """A box of that size where the person is not, as far as there is room."""
    height, width = image.shape[:2]
    w, h = min(box[2] - box[0], width * 0.6), min(box[3] - box[1], height * 0.6)
    found = box
    for _ in range(12):
        x, y = float(rng.uniform(0, width - w)), float(rng.uniform(0, height - h))
        found = (x, y, x + w, y + h)
        if x > box[2] or y > box[3] or x + w < box[0] or y + h < box[1]:
            break
    return found
