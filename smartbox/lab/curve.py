"""A training's CSV: begun, gone on with, and as a picture."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from smartbox.types import Image

WIDTH, HEIGHT, EDGE = 960, 480, 50
COLOURS = ((60, 60, 220), (190, 130, 40), (60, 150, 60), (160, 70, 160))  # BGR; the first is the loss


def upto(table: Path, columns: Sequence[str], at: Mapping[str, int]) -> None:
    """Leave of a table its head, and the rows up to `at` (stage and step, or step), after which it is gone on with.

    Rows without a rate, the last word of a training, go too.
    """
    rows = _rows(table) if table.exists() else []
    kept = [row for row in rows if row.get("lr") and _until(row, at)]
    if rows and kept == rows:
        return
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def _until(row: Mapping[str, str], at: Mapping[str, int]) -> bool:
    try:
        return tuple(int(row[key]) for key in at) <= tuple(at.values())
    except (KeyError, TypeError, ValueError):  # a line that was cut off
        return False


def draw(table: Path, path: Path, losses: Sequence[str], shares: Sequence[str] = ()) -> None:
    """Columns of losses, each scaled to its largest value, and of shares (0–1; may have gaps) against all steps so far.

    Where there is a column `stage`, each stage counts its own steps.
    """
    rows = _rows(table)
    if not rows:  # too short a training to have noted anything
        return
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    steps = _steps(rows)
    for share in np.linspace(0, 1, 6):
        y = _y(float(share))
        cv2.line(canvas, (EDGE, y), (WIDTH - EDGE, y), (220, 220, 220), 1)
        _text(canvas, f"{share:.1f}", (8, y + 4), (90, 90, 90))
    _text(canvas, f"{steps[-1]} steps", (WIDTH - 2 * EDGE, HEIGHT - 12), (90, 90, 90))
    for i, column in enumerate((*losses, *shares)):
        noted = [(at / steps[-1], float(row[column])) for at, row in zip(steps, rows, strict=True) if row[column]]
        found = [(x, value) for x, value in noted if math.isfinite(value)]
        most = (max((value for _, value in found), default=0.0) or 1.0) if column in losses else 1.0
        points = np.array([(EDGE + x * (WIDTH - 2 * EDGE), _y(y / most)) for x, y in found], np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [points], False, COLOURS[i % len(COLOURS)], 2, cv2.LINE_AA)
        name = f"{column} / {most:.2f}" if column in losses else column
        _text(canvas, name, (EDGE + 200 * i, 24), COLOURS[i % len(COLOURS)])
    cv2.imwrite(str(path), canvas)


def _steps(rows: Sequence[Mapping[str, str]]) -> list[int]:
    """Steps over all stages, of which each counts its own."""
    done, found = 0, list[int]()
    for before, row in zip([rows[0], *rows], rows, strict=False):
        if row.get("stage") != before.get("stage"):
            done = found[-1]
        found.append(done + int(row["step"]))
    return found


def _y(share: float) -> int:
    return round(HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE))


def _text(canvas: Image, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
