"""Pictures with boxes for training and scoring: YOLO folders, per-picture `labelled` classes.

What is not known to be background is an *ignore* box: there the loss says nothing for that class (-1: any class).
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.types import Floats, Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ANY = -1


@dataclass(frozen=True, eq=False)
class Picture:
    """image: H x W x 3 BGR; boxes: n x 4 xyxy pixels; classes: n; ignore: m x 4 pixels; ignored: m classes or -1.

    open: classes whose absence means nothing; complete: at least one class is labelled wherever it occurs.
    """

    name: str
    image: Image
    boxes: Floats
    classes: NDArray[np.int64]
    ignore: Floats
    ignored: NDArray[np.int64]
    open: frozenset[int] = frozenset()
    complete: bool = True


@dataclass(frozen=True)
class Entry:
    """A picture on disk: its file, its label file, and the classes whose absence there means absence."""

    name: str
    image: Path
    labels: Path
    labelled: frozenset[str] | None  # None: nothing is said, so all
    source: str


def classes_of(folder: Path) -> tuple[str, ...]:
    return tuple((folder / "classes.txt").read_text().split())


def entries(folder: Path) -> list[Entry]:
    """The pictures of `folder` (images/, labels/, classes.txt; images.tsv here or in the parent)."""
    table = next((p for p in (folder / "images.tsv", folder.parent / "images.tsv") if p.is_file()), None)
    facts: dict[str, dict[str, str]] = {}
    if table is not None:
        with table.open(newline="") as file:
            facts = {row["name"]: row for row in csv.DictReader(file, delimiter="\t")}
    own, found = frozenset(classes_of(folder)), []
    for path in sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in SUFFIXES):
        row = facts.get(path.stem, {})
        said = re.sub(r"\(.*?\)", "", row["labelled"]) if row.get("labelled") else None  # remarks are in brackets
        known = None if said is None else frozenset(word.strip() for word in said.split(",")) & own
        found.append(Entry(path.stem, path, folder / "labels" / f"{path.stem}.txt", known, row.get("source", "")))
    return found


def read_boxes(path: Path, width: int, height: int) -> tuple[Floats, NDArray[np.int64]]:
    """YOLO text (class x y w h, 0–1) -> xyxy in pixels and classes; an absent file is a picture without boxes."""
    rows = [line.split()[:5] for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
    table = np.array(rows, np.float32).reshape(-1, 5)
    centre, size = table[:, 1:3], table[:, 3:5]
    xyxy = np.concatenate([centre - size / 2, centre + size / 2], 1).clip(0, 1)
    return (xyxy * np.array([width, height] * 2)).astype(np.float32), table[:, 0].astype(np.int64)


def load(folder: Path, names: tuple[str, ...], *, limit: int = 640) -> list[Picture]:
    """Every picture of a training folder in memory, its classes renumbered into `names`, longest side <= `limit`."""
    own = classes_of(folder)
    unknown = sorted(set(own) - set(names))
    if unknown:
        raise ValueError(f"{folder}/classes.txt: {unknown} are not classes of the recipe, which are {list(names)}")
    renumber = np.array([names.index(c) for c in own], np.int64)
    pictures = []
    for entry in entries(folder):
        image = cv2.imread(str(entry.image))
        if image is None:
            raise ValueError(f"{entry.image}: not a picture that OpenCV can read")
        scale = min(1.0, limit / max(image.shape[:2]))
        if scale < 1.0:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = image.shape[:2]
        boxes, classes = read_boxes(entry.labels, width, height)
        pictures.append(_picture(entry, np.asarray(image, np.uint8), boxes, renumber[classes], names))
    return pictures


def _picture(entry: Entry, image: Image, boxes: Floats, classes: NDArray[np.int64], names: tuple[str, ...]) -> Picture:
    """Classes that are not labelled in this picture are ignored all over it; all, if none is labelled completely."""
    height, width = image.shape[:2]
    missing = [] if entry.labelled is None else [i for i, name in enumerate(names) if name not in entry.labelled]
    complete = len(missing) < len(names)
    ignored = missing if complete else [ANY]
    ignore = np.array([[0.0, 0.0, width, height]] * len(ignored), np.float32).reshape(-1, 4)
    return Picture(entry.name, image, boxes, classes, ignore, np.array(ignored, np.int64), frozenset(missing), complete)
