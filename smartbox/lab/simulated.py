"""Writes simulated pictures with their exact boxes as a YOLO folder, which training and scoring read like any other."""

from pathlib import Path

import cv2

from smartbox.lab.progress import progress
from smartbox.simulation import frames


def write(folder: Path, labels: tuple[str, ...], seed: int, count: int) -> None:
    """`count` pictures of 640x360, drawn from `seed`; boxes hold what can be seen of things at least a quarter seen."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels))
    pictures = frames(seed, count)
    for i in progress(range(count), "simulate"):
        image, boxes = next(pictures)
        name = f"sim_{seed}_{i:05}"
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        lines = [
            f"{labels.index(label)} {(x0 + x1) / 2:.5f} {(y0 + y1) / 2:.5f} {x1 - x0:.5f} {y1 - y0:.5f}\n"
            for label, (x0, y0, x1, y1), _ in boxes
        ]
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))
