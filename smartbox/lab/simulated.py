"""Writes simulated pictures with their exact boxes as a YOLO folder, which training and scoring read like any other."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np

from smartbox.errors import ConfigError
from smartbox.lab.data import classes_of
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
MARK = "simulated.json"  # the Order that a folder is made by; its classes.txt is written when all pictures are there


@dataclass(frozen=True)
class Order:
    """`count` pictures of 640x360, drawn from `seed`: of random places, the park's own scenes, or random car parks.

    above: share of random outdoor places that are seen from straight above.
    """

    labels: tuple[str, ...]
    seed: int
    count: int
    park: bool = False
    above: float = 0.0
    carparks: bool = False

    @property
    def start(self) -> str:
        """What the pictures' names begin with."""
        return f"{'carpark' if self.carparks else 'park' if self.park else 'sim'}_{self.seed}_"


def ensure(folder: Path, order: Order) -> None:
    """Make the pictures where they are not all there yet. ConfigError where the folder is of another order."""
    said = _said(folder)
    if said and sorted(said.get("labels", ())) == sorted(order.labels):  # whoever reads the folder goes by their names
        order = replace(order, labels=tuple(said["labels"]))
    done = (folder / "classes.txt").is_file()
    if done and said:
        _same(folder, said, order)
    elif not done or sum(1 for _ in (folder / "images").glob("*")) < order.count:
        write(folder, order)


def write(folder: Path, order: Order) -> None:
    """Make the pictures, again if need be. ConfigError where the folder holds others."""
    said, classes, labels = _said(folder), folder / "classes.txt", order.labels
    if not said and classes.is_file():
        said = {"labels": list(classes_of(folder))}
    _same(folder, said, order)
    _no_others(folder, order)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    classes.unlink(missing_ok=True)
    (folder / MARK).write_text(json.dumps(asdict(order)) + "\n")
    pictures = drawn(order)
    for i in each(range(order.count), "simulate"):
        image, boxes = next(pictures)
        name = f"{order.start}{i:05}"
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
        lines = [
            f"{labels.index(label)} {(x0 + x1) / 2:.5f} {(y0 + y1) / 2:.5f} {x1 - x0:.5f} {y1 - y0:.5f}\n"
            for label, (x0, y0, x1, y1), visible in boxes
            if label in labels and visible >= VISIBLE
        ]
        (folder / "labels" / f"{name}.txt").write_text("".join(lines))
    classes.write_text("".join(f"{label}\n" for label in labels))


def _said(folder: Path) -> dict[str, Any]:
    """What the folder is made by; nothing where it does not say."""
    try:
        return dict(json.loads((folder / MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _same(folder: Path, said: dict[str, Any], order: Order) -> None:
    """ConfigError where the folder is of another order."""
    asked = json.loads(json.dumps(asdict(order)))
    other = [f"{key} {value}, not {asked.get(key)}" for key, value in said.items() if value != asked.get(key)]
    if other:
        raise ConfigError(f"{folder}: was made with {', '.join(other)}; give another directory, or remove this one")


def _no_others(folder: Path, order: Order) -> None:
    """ConfigError where the folder holds pictures that are of no such order."""
    other = next((p.name for p in (folder / "images").glob("*") if not p.name.startswith(order.start)), None)
    if other:
        raise ConfigError(f"{folder}: holds {other}, which is none of these pictures; give another directory")


def drawn(order: Order) -> Iterator[tuple[Image, list[Labelled]]]:
    """At least as many pictures as are asked for."""
    if order.carparks:
        return boxed(order.seed, order.count)
    if order.park:
        return scenes(order.seed)
    return frames(order.seed, order.count, min_visible=VISIBLE, above=order.above)


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
