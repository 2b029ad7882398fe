"""A training's CSV as a picture."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from smartbox.types import Image

WIDTH, HEIGHT, EDGE = 960, 480, 50
COLOURS = ((60, 60, 220), (190, 130, 40), (60, 150, 60), (160, 70, 160))  # BGR; the first is the loss


def draw(table: Path, path: Path, shares: Sequence[str]) -> None:
    """Column `loss` against column `step`, scaled to its largest value, and columns of shares (0–1; may have gaps)."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    steps = max(int(row["step"]) for row in rows)
    most = max((float(row["loss"]) for row in rows if row["loss"]), default=1.0)
    for share in np.linspace(0, 1, 6):
        y = _y(float(share))
        cv2.line(canvas, (EDGE, y), (WIDTH - EDGE, y), (220, 220, 220), 1)
        _text(canvas, f"{share:.1f}", (8, y + 4), (90, 90, 90))
    _text(canvas, f"{steps} steps", (WIDTH - 2 * EDGE, HEIGHT - 12), (90, 90, 90))
    for i, column in enumerate(("loss", *shares)):
        scale = most if column == "loss" else 1.0
        found = [(int(r["step"]) / steps, float(r[column]) / scale) for r in rows if r[column]]
        points = np.array([(EDGE + x * (WIDTH - 2 * EDGE), _y(y)) for x, y in found], np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [points], False, COLOURS[i % len(COLOURS)], 2, cv2.LINE_AA)
        name = f"loss / {most:.2f}" if column == "loss" else column
        _text(canvas, name, (EDGE + 200 * i, 24), COLOURS[i % len(COLOURS)])
    cv2.imwrite(str(path), canvas)


def _y(share: float) -> int:
    return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE))


def _text(canvas: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
