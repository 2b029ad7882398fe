"""Where a detector should look twice: crops round small things that move or are followed. Pure.

A model of 320 pixels sees a camera of 1280 at a quarter; who is 60 pixels tall there has 15 left, too few for any
detector. A crop shows him at up to three times that size. How many crops a frame may cost is bounded by the caller.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import iou_matrix, suppress
from smartbox.motion import MotionSettings
from smartbox.types import Box, Detections, Floats, Motion, Track

ZOOM = 3.0
"""How much larger than in the whole picture a crop shows things, at most; never larger than they are."""
SMALL = 64.0
"""What is higher (model pixels in the whole picture) is seen well enough without a crop."""
MOVES = MotionSettings().cell
"""Share of changed pixels per second from which a cell of the motion grid counts: what opens the motion gate."""
EDGE = 0.02
"""A box this near to a crop's own border (share of its side) is cut there: the neighbour or the whole shows more."""
SAME = 0.5
"""Two boxes that overlap more are one thing, seen twice."""

Size = tuple[int, int]


def window(frame: Size, model: Size) -> tuple[float, float] | None:
    """Width and height of a crop, as shares of the frame; None where the whole picture shows as much."""
    ratio = min(model[0] / frame[0], model[1] / frame[1])
    if ratio > 0.8:
        return None
    scale = min(1.0, ZOOM * ratio)
    return min(1.0, model[0] / scale / frame[0]), min(1.0, model[1] / scale / frame[1])


def choose(frame: Size, model: Size, most: int, motion: Motion | None, tracks: Sequence[Track]) -> tuple[Box, ...]:
    """At most `most` crops, 0–1 of the frame, that show most of what is small; frame, model: width and height.

    motion: None when nothing is known yet: then the picture is searched from side to side.
    """
    side = window(frame, model)
    if side is None or most < 1:
        return ()
    if motion is None:
        return tiles(side, most)
    small = SMALL / min(model[0] / frame[0], model[1] / frame[1]) / frame[1]
    items = [t.xyxy for t in tracks if t.xyxy[3] - t.xyxy[1] < small]
    known = [t.xyxy for t in tracks]
    items += [box for box in _moving(motion) if box[3] - box[1] < small and not _inside_any(box, known)]
    return _cover(items, side, most)


def tiles(side: tuple[float, float], most: int) -> tuple[Box, ...]:
    """Evenly spread over the frame, overlapping, row by row from the top, where far things are."""
    columns, rows = (1 if share >= 1 else int(np.ceil(1.15 / share)) for share in side)
    found = []
    for row, column in product(range(rows), range(columns)):
        x = (1 - side[0]) * column / max(1, columns - 1)
        y = (1 - side[1]) * row / max(1, rows - 1)
        found.append((x, y, x + side[0], y + side[1]))
    return tuple(found[:most])


def _moving(motion: Motion) -> list[Box]:
    """Boxes round the moving parts of the picture."""
    rows, cols = motion.rate.shape
    mask = (motion.rate >= MOVES).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = []
    for x, y, w, h, _ in stats[1:count]:
        boxes.append((x / cols, y / rows, (x + w) / cols, (y + h) / rows))
    return boxes


def _inside_any(box: Box, others: Sequence[Box]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(o[0] <= x <= o[2] and o[1] <= y <= o[3] for o in others)


def _cover(items: Sequence[Box], side: tuple[float, float], most: int) -> tuple[Box, ...]:
    """Greedily the window that holds most of what no window holds yet."""
    left = [item for item in items if item[2] - item[0] <= side[0] and item[3] - item[1] <= side[1]]
    chosen: list[Box] = []
    while left and len(chosen) < most:
        best = max((_round(item, side) for item in left), key=lambda w: sum(_holds(w, item) for item in left))
        chosen.append(best)
        left = [item for item in left if not _holds(best, item)]
    return tuple(chosen)


def _round(item: Box, side: tuple[float, float]) -> Box:
    """The window with `item` in its middle, moved into the frame."""
    x = min(max((item[0] + item[2] - side[0]) / 2, 0.0), 1.0 - side[0])
    y = min(max((item[1] + item[3] - side[1]) / 2, 0.0), 1.0 - side[1])
    return x, y, x + side[0], y + side[1]


def _holds(outer: Box, item: Box) -> bool:
    slack = 1e-9
    return (
        outer[0] - slack <= item[0]
        and outer[1] - slack <= item[1]
        and item[2] <= outer[2] + slack
        and item[3] <= outer[3] + slack
    )


def merge(whole: Detections, crops: Sequence[tuple[Box, Detections]], groups: Mapping[str, str]) -> Detections:
    """One list, best first: what the crops show whole is added, and nothing is there twice.

    groups: label -> a name for labels that are mistaken for one another (car, bus and truck: vehicle).
    """
    parts = [whole, *(found[_uncut(found.xyxy, region)] for region, found in crops)]
    every = Detections(
        np.concatenate([p.xyxy for p in parts]),
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.class_id for p in parts]),
        whole.labels,
    )
    every = every[np.argsort(-every.score, kind="stable")]
    names = np.array([groups.get(label, label) for label in whole.labels])[every.class_id]
    return every[suppress((iou_matrix(every.xyxy, every.xyxy) > SAME) & (names[:, None] == names))]


def _uncut(boxes: Floats, region: Box) -> NDArray[np.bool_]:
    """Mask of boxes that end before the region does, or where the frame itself ends."""
    x0, y0, x1, y1 = region
    dx, dy = EDGE * (x1 - x0), EDGE * (y1 - y0)
    cut = np.zeros(len(boxes), bool)
    for axis, low, high, slack in ((0, x0, x1, dx), (1, y0, y1, dy)):
        if low > 0:
            cut |= boxes[:, axis] < low + slack
        if high < 1:
            cut |= boxes[:, axis + 2] > high - slack
    return ~cut
