"""Writes simulated pictures with their exact boxes as a YOLO folder, which training and scoring read like any other."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from smartbox.progress import each
from smartbox.simulation import frames
from smartbox.simulation.carparks import boxed
from smartbox.simulation.film import Film, Shot
from smartbox.simulation.scripts import ROUND
from smartbox.simulation.stages import Scene
from smartbox.simulation.training import Labelled
from smartbox.types import Image

VISIBLE = 0.25  # share of a thing that can be seen, from which on it is listed
PER_FILM = 2
NIGHTS = 0.3


def write(
    folder: Path,
    labels: tuple[str, ...],
    seed: int,
    count: int,
    *,
    park: bool = False,
    above: float = 0.0,
    carparks: bool = False,
) -> None:
    """`count` pictures of 640x360, drawn from `seed`: of random places, the park's own scenes, or random car parks.

    above: share of random outdoor places that are seen from straight above.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "classes.txt").write_text("".join(f"{label}\n" for label in labels))
    if carparks:
        kind, pictures = "carpark", boxed(seed, count)
    elif park:
        kind, pictures = "park", scenes(seed)
    else:
        kind, pictures = "sim", frames(seed, count, min_visible=VISIBLE, above=above)
    for i in each(range(count), "simulate"):
        image, boxes = next(pictures)
        name = f"{kind}_{seed}_{i:05}"
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        lines = [
            f"{labels.index(label)} {(x0 + x1) / 2:.5f} {(y0 + y1) / 2:.5f} {x1 - x0:.5f} {y1 - y0:.5f}\n"
            for label, (x0, y0, x1, y1), visible in boxes
            if label in labels and visible >= VISIBLE
        ]
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))


def scenes(seed: int) -> Iterator[tuple[Image, list[Labelled]]]:
    """Moments of the park's scenes without end; every few pictures other people, weather and light."""
    rng = np.random.default_rng(seed)
    turn = 0
    while True:
        for scene in get_args(Scene):
            film = Film(Shot(scene, seed + turn, bool(rng.random() < NIGHTS)))
            for time in np.sort(rng.uniform(0, ROUND, PER_FILM)):
                image, seen = film.take(float(time), int(rng.integers(1 << 30)))
                yield image, [(s.label, s.xyxy, s.visible) for s in seen]
        turn += 1
