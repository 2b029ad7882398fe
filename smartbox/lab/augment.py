"""Training pictures out of pictures: mosaic, scale, flip, colour, and what cheap cameras do at night."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import letterbox
from smartbox.lab.data import Picture
from smartbox.types import Floats, Image

GREY = 114
SMALLEST = 3.0  # pixels of the model: what is thinner is not taught


@dataclass(frozen=True, eq=False)
class Example:
    """image: size x size x 3 BGR; boxes n x 4 and ignore m x 4 in its pixels; classes n, ignored m (-1: any)."""

    image: Image
    boxes: Floats
    classes: NDArray[np.int64]
    ignore: Floats
    ignored: NDArray[np.int64]


@dataclass(frozen=True)
class Augment:
    """Probabilities, and the range of a picture's scale against a snug fit."""

    mosaic: float = 0.5
    plain: float = 0.3
    degrade: float = 0.4
    scale: tuple[float, float] = (0.5, 1.6)

    def __call__(self, pictures: Sequence[Picture], size: int, rng: np.random.Generator) -> Example:
        """One example of `size` from the first, or from all four, of `pictures`."""
        if rng.random() < self.mosaic:
            example = mosaic(pictures, size, self.scale, rng)
        elif rng.random() < self.plain:
            example = plain(pictures[0], size)
        else:
            low, high = self.scale
            example = place(pictures[0], size, (0, 0, size, size), rng.uniform(low, high), rng)
        if rng.random() < 0.5:
            example = flip(example)
        image = recolour(example.image, rng)
        image = degrade(image, rng) if rng.random() < self.degrade else image
        return Example(image, example.boxes, example.classes, example.ignore, example.ignored)


def plain(picture: Picture, size: int) -> Example:
    """Just as the box sees it: letterboxed at the top left."""
    height, width = picture.image.shape[:2]
    ratio, (w, h), _ = letterbox((width, height), (size, size))
    image = np.full((size, size, 3), GREY, np.uint8)
    shrink = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    image[:h, :w] = cv2.resize(picture.image, (w, h), interpolation=shrink)
    return _clip(image, picture, ratio, (0.0, 0.0), (0, 0, size, size))


def mosaic(pictures: Sequence[Picture], size: int, scale: tuple[float, float], rng: np.random.Generator) -> Example:
    """Four pictures around a random centre (YOLOv4's)."""
    cx, cy = (int(v) for v in rng.uniform(0.3, 0.7, 2) * size)
    cells = [(0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size)]
    parts = [
        place(picture, size, cell, rng.uniform(*scale), rng) for picture, cell in zip(pictures, cells, strict=True)
    ]
    image = parts[0].image
    for part, (x0, y0, x1, y1) in zip(parts[1:], cells[1:], strict=True):
        image[y0:y1, x0:x1] = part.image[y0:y1, x0:x1]
    joined = [np.concatenate([getattr(p, key) for p in parts]) for key in ("boxes", "classes", "ignore", "ignored")]
    return Example(image, *joined)


def place(
    picture: Picture, size: int, cell: tuple[int, int, int, int], scale: float, rng: np.random.Generator
) -> Example:
    """`picture` at a random place in `cell` of a grey canvas, at `scale` against a snug fit (up to 20 % stretched)."""
    height, width = picture.image.shape[:2]
    x0, y0, x1, y1 = cell
    ratio = scale * min((x1 - x0) / width, (y1 - y0) / height)
    free = (x1 - x0 - width * ratio, y1 - y0 - height * ratio)
    shift = (x0 + rng.uniform(min(0, free[0]), max(0, free[0])), y0 + rng.uniform(min(0, free[1]), max(0, free[1])))
    source: Any = picture.image
    if ratio < 0.6:  # warpAffine does not average: shrink first, so that small things do not shimmer
        shrunk = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        source = cv2.resize(source, shrunk, interpolation=cv2.INTER_AREA)
    sx, sy = width * ratio / source.shape[1], height * ratio / source.shape[0]
    # boxes count pixels' edges, warpAffine their middles
    matrix = np.array([[sx, 0, shift[0] + (sx - 1) / 2], [0, sy, shift[1] + (sy - 1) / 2]], np.float32)
    image = cv2.warpAffine(source, matrix, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=(GREY,) * 3)
    return _clip(np.asarray(image, np.uint8), picture, ratio, shift, cell)


def _clip(
    image: Image, picture: Picture, ratio: float, shift: tuple[float, float], cell: tuple[int, int, int, int]
) -> Example:
    """Boxes moved along and cut to `cell`; what is mostly cut away or tiny becomes ignore."""
    low, high = np.array(cell[:2] * 2, np.float32), np.array(cell[2:] * 2, np.float32)
    moved = picture.boxes * ratio + np.array(shift * 2, np.float32)
    cut = moved.clip(low, high)
    side = (cut[:, 2:] - cut[:, :2]).clip(0)
    whole = (moved[:, 2:] - moved[:, :2]).prod(1).clip(1e-6)
    visible = side.prod(1) / whole
    keep = (visible > 0.35) & (side.min(1) > SMALLEST)
    rest = ~keep & (visible > 0.02)
    ignore = (picture.ignore * ratio + np.array(shift * 2, np.float32)).clip(low, high)
    return Example(
        image,
        cut[keep].astype(np.float32),
        picture.classes[keep],
        np.concatenate([ignore, cut[rest]]).astype(np.float32),
        np.concatenate([picture.ignored, picture.classes[rest]]),
    )


def flip(example: Example) -> Example:
    """Left to right."""
    width = example.image.shape[1]

    def mirrored(boxes: Floats) -> Floats:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)

    image = np.ascontiguousarray(example.image[:, ::-1])
    return Example(image, mirrored(example.boxes), example.classes, mirrored(example.ignore), example.ignored)


def recolour(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, colour cast by one table per channel; sometimes grey, as at night under infrared."""
    ramp = np.arange(256, dtype=np.float32)
    gain, lift, gamma = rng.uniform(0.7, 1.3), rng.uniform(-20, 20), np.exp(rng.uniform(-0.3, 0.3))
    cast = rng.uniform(0.9, 1.1, 3)
    table = 255 * (((ramp[:, None] * cast * gain + lift) / 255).clip(0, 1) ** gamma)
    out: Any = cv2.LUT(image, table.astype(np.uint8)[None])
    fade = 1.0 if rng.random() < 0.08 else rng.uniform(0, 0.5) if rng.random() < 0.3 else 0.0
    if fade:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        out = cv2.addWeighted(out, 1 - fade, grey, fade, 0)
    return np.asarray(out, np.uint8)


def degrade(image: Image, rng: np.random.Generator) -> Image:
    """One or two of: blur, low resolution, noise, darkness, JPEG blocks."""
    out: Any = image
    height, width = image.shape[:2]
    for kind in rng.choice(5, rng.integers(1, 3), replace=False):
        if kind == 0:
            out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.2))
        elif kind == 1:
            factor = rng.uniform(0.45, 0.8)
            fewer = (max(1, round(width * factor)), max(1, round(height * factor)))
            small = cv2.resize(out, fewer, interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        elif kind == 2:
            noise = rng.standard_normal((height, width), np.float32) * rng.uniform(3, 14)
            out = (out + noise[..., None]).clip(0, 255).astype(np.uint8)
        elif kind == 3:
            out = (out * rng.uniform(0.3, 0.7)).astype(np.uint8)
        else:
            _, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 60))])
            out = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(out, np.uint8)
