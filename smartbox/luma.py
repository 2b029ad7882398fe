"""A luma plane made small, and its edges: what motion, the picture's faults and stationary foreground are judged on."""

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.types import Floats, Image

Edges = NDArray[np.complex64]

CELL = 4  # pixels of the small picture along one side of a cell of the motion grid
ROWS = 25  # of the grid: the small picture is 100 pixels high


def shrink(luma: Image, rows: int = ROWS * CELL) -> Floats:
    """H x W -> rows (100) x about W * rows / H, by area; the width is a multiple of CELL.

    Halving first is eight times as fast as one resize by area with an odd factor.
    """
    height, width = luma.shape
    cols = max(1, round(rows / CELL * width / height)) * CELL
    while luma.shape[0] >= 2 * rows and luma.shape[1] >= 2 * cols:
        half = (luma.shape[1] // 2, luma.shape[0] // 2)
        luma = cv2.resize(luma, half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    return cv2.resize(luma, (cols, rows), interpolation=cv2.INTER_AREA).astype(np.float32)


def edges_of(small: Floats) -> Edges:
    """Direction of each pixel's gradient as a complex number; length near 1 at edges, near 0 in noise.

    Light changes neither, as long as there is enough of it.
    """
    smooth = cv2.GaussianBlur(small, (0, 0), 1.0)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    size = np.hypot(dx, dy)
    edges: Edges = ((dx + 1j * dy) * (size / (size**2 + 20.0**2))).astype(np.complex64)
    return edges
