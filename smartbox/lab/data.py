"""Pictures with boxes for training and scoring: YOLO folders, per-picture `labelled` classes.

What is not known to be background is an *ignore* box: there the loss says nothing for that class (-1: any class).
What is missing in a folder, or cannot be read, is a SourceError.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.errors import SourceError
from smartbox.types import Floats, Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ANY = -1
LINE = "a line is CLASS X Y WIDTH HEIGHT: a number from 0, the middle and the size as shares of the picture"
BEYOND = 0.01  # so far outside of the picture the middle of a box may lie


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
    """The names in `folder`/classes.txt, one a line, as their numbers go."""
    path = folder / "classes.txt"
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: {why(error)}; write the names of the classes, one a line, in their order") from None
    if not lines:
        raise SourceError(f"{path}: names no class; write them, one a line, in their order")
    if "" in lines:
        raise SourceError(f"{path}:{lines.index('') + 1}: is empty; write a name in every line, for lines are numbers")
    return tuple(lines)


def why(error: OSError | ValueError) -> str:
    """In words: there is no such file, it is no text."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else "is no text"


def read_image(path: Path) -> Image:
    """H x W x 3, BGR."""
    image = cv2.imread(str(path))
    if image is None:
        raise SourceError(f"{path}: not a picture that OpenCV can read")
    return np.asarray(image, np.uint8)


def entries(folder: Path) -> list[Entry]:
    """The pictures of `folder` (images/, labels/, classes.txt; images.tsv here or in the parent)."""
    own, found = frozenset(classes_of(folder)), []
    pictures = folder / "images"
    paths = sorted(p for p in pictures.iterdir() if p.suffix.lower() in SUFFIXES) if pictures.is_dir() else []
    if not paths:
        lack = "holds no picture" if pictures.is_dir() else "is no directory"
        raise SourceError(f"{pictures}: {lack}; put pictures there ({', '.join(SUFFIXES)})")
    facts = _facts(folder)
    for path in paths:
        row = facts.get(path.stem, {})
        known = _named(row["labelled"]) & own if "labelled" in row else None
        found.append(Entry(path.stem, path, folder / "labels" / f"{path.stem}.txt", known, row.get("source", "")))
    return found


def _named(text: str | None) -> frozenset[str]:
    """The names before commas; remarks are in brackets, and other text names nothing."""
    return frozenset(word.strip() for word in re.sub(r"\(.*?\)", "", text or "").split(","))


def _facts(folder: Path) -> dict[str, dict[str, str]]:
    """What images.tsv says of each picture, by name; of the folder's own rows where its `split` names the folder."""
    table = next((p for p in (folder / "images.tsv", folder.parent / "images.tsv") if p.is_file()), None)
    if table is None:
        return {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = str(error) if isinstance(error, csv.Error) else why(error)
        raise SourceError(f"{table}: {what}; it must be a tab-separated table, or not be there") from None
    if any("name" not in row for row in rows):
        raise SourceError(f"{table}: has no column `name`; write a line of names above, tab-separated")
    facts: dict[str, dict[str, str]] = {}
    for row in [row for row in rows if row.get("split") == folder.absolute().name] or rows:
        if facts.setdefault(row["name"], row).get("labelled") != row.get("labelled"):
            raise SourceError(f"{table}: names {row['name']} twice, labelled otherwise; name a picture once in a split")
    return facts


def labelled(folder: Path) -> list[Entry]:
    """As `entries`, where pictures without any label make no sense."""
    if not (folder / "labels").is_dir():
        raise SourceError(f"{folder / 'labels'}: is no directory; it must hold a NAME.txt for each picture with boxes")
    found = entries(folder)
    strange = sorted(p for p in (folder / "labels").glob("*.txt") if p.name != "classes.txt")
    if strange and not any(entry.labels.is_file() for entry in found):
        image, labels = found[0].image.name, found[0].labels.name
        raise SourceError(f"{strange[0]}: no label file here has a picture's name; that of {image} must be {labels}")
    return found


def read_boxes(path: Path, width: int, height: int, classes: int | None = None) -> tuple[Floats, NDArray[np.int64]]:
    """YOLO text (class x y w h, 0–1) -> xyxy in pixels and classes; an absent file is a picture without boxes.

    Of an outline (class x y x y x y ...) the box is what it fills; boxes without an area are left out.
    classes: how many there are, if that is known.
    """
    if not path.is_file():
        return np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: {why(error)}; {LINE}") from None
    table = np.array([_box(path, n, line, classes) for n, line in enumerate(lines, 1) if line.strip()], np.float32)
    table = table.reshape(-1, 5)
    table = table[(table[:, 3:5] > 0).all(1)]
    centre, size = table[:, 1:3], table[:, 3:5]
    xyxy = np.concatenate([centre - size / 2, centre + size / 2], 1).clip(0, 1)
    return (xyxy * np.array([width, height] * 2)).astype(np.float32), table[:, 0].astype(np.int64)


def _box(path: Path, number: int, line: str, classes: int | None) -> list[float]:
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) > 6 and len(values) % 2 and np.isfinite(values).all():  # an outline, as YOLO-seg writes it
        values = [values[0], *_around(np.reshape(values[1:], (-1, 2)))]
    if wrong := _no_box(values):
        raise SourceError(f"{path}:{number}: {line[:60]!r} {wrong}; {LINE}")
    if classes is not None and values[0] >= classes:
        raise SourceError(f"{path}:{number}: class {values[0]:.0f}, and classes.txt names only {classes}, from 0")
    return values[:5]


def _around(points: NDArray[np.float64]) -> list[float]:
    """Points n x 2 -> middle and size of what they fill."""
    low, high = points.min(0), points.max(0)
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def _no_box(values: list[float]) -> str:
    """What is wrong with the numbers of a line; a sixth is a score, as tools write it."""
    if len(values) not in (5, 6) or not np.isfinite(values).all() or not values[0].is_integer() or values[0] < 0:
        return "is no box"
    if not all(-BEYOND <= at <= 1 + BEYOND for at in values[1:3]):
        return "is no box: its middle is outside of the picture"
    return "is no box: its size is below 0" if min(values[3:5]) < 0 else ""


def load(folder: Path, names: tuple[str, ...], *, limit: int = 640) -> list[Picture]:
    """Every picture of a training folder in memory, its classes renumbered into `names`, longest side <= `limit`."""
    own = classes_of(folder)
    unknown = sorted(set(own) - set(names))
    if unknown:
        raise SourceError(f"{folder}/classes.txt: {unknown} are not classes of the recipe, which are {list(names)}")
    renumber = np.array([names.index(c) for c in own], np.int64)
    pictures = []
    for entry in labelled(folder):
        image = read_image(entry.image)
        scale = min(1.0, limit / max(image.shape[:2]))
        if scale < 1.0:
            image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        height, width = image.shape[:2]
        boxes, classes = read_boxes(entry.labels, width, height, len(own))
        pictures.append(_picture(entry, image, boxes, renumber[classes], names))
    return pictures


def _picture(entry: Entry, image: Image, boxes: Floats, classes: NDArray[np.int64], names: tuple[str, ...]) -> Picture:
    """Classes that are not labelled in this picture are ignored all over it; all, if none is labelled completely."""
    height, width = image.shape[:2]
    missing = [] if entry.labelled is None else [i for i, name in enumerate(names) if name not in entry.labelled]
    complete = len(missing) < len(names)
    ignored = missing if complete else [ANY]
    ignore = np.array([[0.0, 0.0, width, height]] * len(ignored), np.float32).reshape(-1, 4)
    return Picture(entry.name, image, boxes, classes, ignore, np.array(ignored, np.int64), frozenset(missing), complete)
