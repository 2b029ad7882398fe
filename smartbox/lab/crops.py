"""Pictures of single things for classifiers: fitted as the box does it, and varied for training."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smartbox.lab.augment import degrade, recolour
from smartbox.lab.data import read_image
from smartbox.types import Image


def fit(image: Image, size: tuple[int, int]) -> Image:
    """`image` stretched to `size` (w, h)."""
    width, height = size
    smaller = image.shape[1] > width or image.shape[0] > height
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def jitter(
    image: Image, rng: np.random.Generator, *, zoom: float = 0.15, shift: float = 0.1, turn: float = 0.1
) -> Image:
    """The same size, seen a little otherwise: zoomed, moved (shares of its size), turned (rad), edges repeated."""
    height, width = image.shape[:2]
    scale, angle = np.exp(rng.uniform(-zoom, zoom)), rng.uniform(-turn, turn)
    moved = rng.uniform(-shift, shift, 2) * (width, height)
    matrix: Any = cv2.getRotationMatrix2D((width / 2, height / 2), float(np.degrees(angle)), float(scale))
    matrix[:, 2] += moved
    out = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def vary(image: Image, rng: np.random.Generator, *, degraded: float = 0.5, hidden: float = 0.15) -> Image:
    """Mirrored half of the time, other light and colours, sometimes a cheap camera or a thing before it."""
    out = image[:, ::-1] if rng.random() < 0.5 else image
    out = recolour(np.ascontiguousarray(out), rng)
    if rng.random() < hidden:
        out = hide(out, rng)
    return degrade(out, rng) if rng.random() < degraded else out


def hide(image: Image, rng: np.random.Generator) -> Image:
    """A patch of one colour over up to a tenth of it."""
    height, width = image.shape[:2]
    w, h = (int(v) for v in rng.uniform(0.08, 0.32, 2) * (width, height))
    x, y = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
    out = image.copy()
    out[y : y + h, x : x + w] = rng.integers(0, 256, 3) if image.ndim == 3 else int(rng.integers(256))
    return out


def read(path: Path) -> Image:
    """A picture file as BGR; SourceError when it is none."""
    return read_image(path)
