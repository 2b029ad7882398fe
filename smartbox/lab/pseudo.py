"""Joins a teacher's boxes to the labels of a picture: new labels where nothing is labelled, doubt elsewhere."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from smartbox.geometry import iou_matrix
from smartbox.lab.data import Picture
from smartbox.types import Floats

SURE, DOUBTFUL, SAME = 0.45, 0.15, 0.5  # scores; overlap from which on a box is one that is labelled already
Rivals = Mapping[int, tuple[int, ...]]  # classes that a teacher may mistake for one another


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
