"""Joins a teacher's boxes to the labels of a picture: new labels where nothing is labelled, doubt elsewhere."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from smartbox.errors import SourceError
from smartbox.geometry import iou_matrix
from smartbox.lab.data import Picture, why
from smartbox.types import Floats

SURE, DOUBTFUL, SAME = 0.45, 0.15, 0.5  # scores; overlap from which on a box is one that is labelled already
NAMES = "/classes"  # of a teacher's file: the names of its classes; no picture is called so
Rivals = Mapping[int, tuple[int, ...]]  # classes that a teacher may mistake for one another


def read(path: Path, labels: tuple[str, ...]) -> dict[str, Floats]:
    """What `lab teach` wrote of each picture: k x 6 (xyxy 0–1, score, class of `labels`).

    Boxes of classes that are no labels are left out. The numbers of a file that names no classes are the labels' own.
    """
    try:
        with path.open("rb") as file, np.load(file) as found:
            rows: dict[str, Any] = dict(found)
    except OSError as error:
        raise SourceError(f"{path}: {why(error)}; make it by `smartbox lab teach`") from None
    except (ValueError, EOFError, TypeError, BadZipFile):
        raise SourceError(f"{path}: is no whole file of a teacher; make it by `smartbox lab teach`") from None
    if NAMES not in rows:
        return rows
    names = rows.pop(NAMES).tolist()
    number = np.array([labels.index(name) if name in labels else -1 for name in names], np.float32)
    return {picture: _renumbered(taught, number) for picture, taught in rows.items()}


def _renumbered(taught: Floats, number: Floats) -> Floats:
    found = taught.copy()
    found[:, 5] = number[taught[:, 5].astype(np.int64)]
    return found[found[:, 5] >= 0]


def join(picture: Picture, taught: Floats, always_open: frozenset[int], rivals: Rivals) -> Picture:
    """taught: k x 6 (xyxy 0–1, score, class).

    Sure boxes of classes that are not labelled here become labels, so those classes need not be ignored all over any
    more. Unsure boxes, and sure ones that the labels do not know, are ignored. Where nothing is labelled completely,
    a teacher changes nothing.
    """
    if not picture.complete:
        return picture
    height, width = picture.image.shape[:2]
    boxes = taught[:, :4] * np.array([width, height] * 2, np.float32)
    kinds, score = taught[:, 5].astype(np.int64), taught[:, 4]
    known = iou_matrix(boxes, picture.boxes).max(1, initial=0.0) >= SAME
    sure = ~known & np.isin(kinds, sorted(picture.open | always_open)) & (score > SURE)
    unsure = ~known & ~sure & (score > DOUBTFUL)
    doubt = [(i, kind) for i in np.flatnonzero(unsure) for kind in rivals.get(int(kinds[i]), (int(kinds[i]),))]
    return replace(
        picture,
        boxes=np.concatenate([picture.boxes, boxes[sure]]),
        classes=np.concatenate([picture.classes, kinds[sure]]),
        ignore=boxes[[i for i, _ in doubt]].reshape(-1, 4),
        ignored=np.array([kind for _, kind in doubt], np.int64),
    )


def ambiguous(picture: Picture, said: int, perhaps: int) -> Picture:
    """Boxes labelled `said` may be `perhaps`: no verdict on that class there."""
    unclear = picture.boxes[picture.classes == said]
    return replace(
        picture,
        ignore=np.concatenate([picture.ignore, unclear]),
        ignored=np.concatenate([picture.ignored, np.full(len(unclear), perhaps, np.int64)]),
    )
