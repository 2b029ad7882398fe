"""Pictures with boxes for training and scoring: YOLO folders, per-picture `labelled` classes, a teacher's boxes.

What is not known to be background is an *ignore* box: there the loss says nothing for that class (-1: any class).
"""

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import iou_matrix
from smartbox.types import Floats, Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ANY = -1
VEHICLES = ("car", "bus", "truck")


@dataclass(frozen=True, eq=False)
class Picture:
    """image: H x W x 3 BGR; boxes: n x 4 xyxy pixels; classes: n; ignore: m x 4 pixels; ignored: m classes or -1."""

    name: str
    image: Image
    boxes: Floats
    classes: NDArray[np.int64]
    ignore: Floats
    ignored: NDArray[np.int64]


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


def load(folder: Path, names: tuple[str, ...], *, teacher: Path | None = None, limit: int = 640) -> list[Picture]:
    """Every picture of a training folder in memory, its classes renumbered into `names`, longest side <= `limit`."""
    own = classes_of(folder)
    unknown = sorted(set(own) - set(names))
    if unknown:
        raise ValueError(f"{folder}/classes.txt: {unknown} are not classes of the recipe, which are {list(names)}")
    renumber = np.array([names.index(c) for c in own], np.int64)
    taught = dict(np.load(teacher)) if teacher else {}
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
        picture = _plain(entry, np.asarray(image, np.uint8), boxes, renumber[classes], names)
        pictures.append(teach(picture, taught[entry.name] * scale_row(scale), entry, names) if taught else picture)
    return pictures


def scale_row(scale: float) -> Floats:
    return np.array([scale, scale, scale, scale, 1, 1], np.float32)


def _plain(entry: Entry, image: Image, boxes: Floats, classes: NDArray[np.int64], names: tuple[str, ...]) -> Picture:
    """Classes that are not labelled in this picture are ignored all over it."""
    height, width = image.shape[:2]
    whole = [[0.0, 0.0, width, height]]
    missing = [] if entry.labelled is None else [i for i, name in enumerate(names) if name not in entry.labelled]
    ignored = [ANY] if positives_only(entry) else missing
    ignore = np.array(whole * len(ignored), np.float32).reshape(-1, 4)
    return Picture(entry.name, image, boxes, classes, ignore, np.array(ignored, np.int64))


def positives_only(entry: Entry) -> bool:
    """Nothing is labelled completely there: boxes say what is, nothing says what is not."""
    return entry.labelled is not None and not entry.labelled


def teach(picture: Picture, taught: Floats, entry: Entry, names: tuple[str, ...]) -> Picture:
    """Join a teacher's boxes (k x 6: xyxy pixels, score, class of `names`) to the labels.

    Sure boxes of unlabelled classes become labels; unsure ones, and sure ones that contradict the labels, are ignored.
    """
    if positives_only(entry) or not len(taught):
        return replace(
            picture,
            ignore=picture.ignore if positives_only(entry) else picture.ignore[:0],
            ignored=picture.ignored if positives_only(entry) else picture.ignored[:0],
        )
    kind = taught[:, 5].astype(np.int64)
    covered = iou_matrix(taught[:, :4].astype(np.float32), picture.boxes)
    fresh = (covered.max(1) < 0.5) if len(picture.boxes) else np.ones(len(taught), bool)
    open_class = np.array([entry.labelled is not None and names[k] not in entry.labelled for k in kind])
    open_class |= np.array([names[k] == "bicycle" for k in kind])  # no set here labels bicycles
    sure = fresh & open_class & (taught[:, 4] > 0.45)
    unsure = fresh & ~sure & (taught[:, 4] > 0.15)
    vehicles = [names.index(v) for v in VEHICLES if v in names]
    doubt: list[tuple[Any, int]] = []
    for box, k in zip(taught[unsure, :4], kind[unsure], strict=True):
        doubt += [(box, v) for v in (vehicles if k in vehicles else [int(k)])]
    if picture.name.startswith("cctv_"):  # their buses are called truck
        truck, bus = names.index("truck"), names.index("bus")
        doubt += [(box, bus) for box in picture.boxes[picture.classes == truck]]
    return Picture(
        picture.name,
        picture.image,
        np.concatenate([picture.boxes, taught[sure, :4].astype(np.float32)]),
        np.concatenate([picture.classes, kind[sure]]),
        np.array([box for box, _ in doubt], np.float32).reshape(-1, 4),
        np.array([k for _, k in doubt], np.int64),
    )
