"""Polygons, anchors, boxes and letterbox maths. Pure; coordinates 0–1 unless said otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smartbox.types import Box, Floats, Point, View

Polygon = tuple[Point, ...]
LAST = 1 - 1e-6  # of the picture: a border belongs to what lies below it, and below 1 lies nothing


@dataclass(frozen=True, slots=True)
class Zone:
    """A named place in one source's picture: a polygon, a directed line, or a set of named slots."""

    id: str
    source: str
    polygon: Polygon = ()
    line: tuple[Point, Point] | None = None
    slots: Mapping[str, Polygon] = field(default_factory=dict)


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Even-odd test whether `point` lies inside `polygon`."""
    x, y = point
    inside = False
    px, py = polygon[-1]
    for qx, qy in polygon:
        if (qy > y) != (py > y) and x < (px - qx) * (y - qy) / (py - qy) + qx:
            inside = not inside
        px, py = qx, qy
    return inside


def area(polygon: Sequence[Point]) -> float:
    """Unsigned area (shoelace)."""
    twice = 0.0
    px, py = polygon[-1]
    for qx, qy in polygon:
        twice += px * qy - qx * py
        px, py = qx, qy
    return abs(twice) / 2


def entangled(polygon: Sequence[Point]) -> bool:
    """Do two of its sides cross? Corners that touch are no crossing."""
    sides = list(zip(polygon, [*polygon[1:], polygon[0]], strict=True))

    def side(a: Point, b: Point, p: Point) -> float:
        return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])

    return any(
        side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
        for i, (a, b) in enumerate(sides)
        for c, d in sides[i + 2 :]
    )


def clip(polygon: Sequence[Point], box: Box) -> list[Point]:
    """The part of `polygon` inside `box` (Sutherland–Hodgman, 1974)."""
    points = list(polygon)
    for axis, bound, sign in ((0, box[0], 1), (0, box[2], -1), (1, box[1], 1), (1, box[3], -1)):
        out: list[Point] = []
        for p, q in zip(points, points[1:] + points[:1], strict=True):
            dp, dq = sign * (p[axis] - bound), sign * (q[axis] - bound)
            if dp >= 0:
                out.append(p)
            if (dp >= 0) != (dq >= 0):
                t = dp / (dp - dq)
                out.append((p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])))
        points = out
        if not points:
            return []
    return points


def overlap(polygon: Sequence[Point], box: Box) -> float:
    """Share of the box's area that lies inside `polygon`, 0–1."""
    box_area = _area_of(box)
    piece = clip(polygon, box)
    return area(piece) / box_area if len(piece) >= 3 and box_area > 0 else 0.0


def covered(polygon: Sequence[Point], box: Box) -> float:
    """Share of the polygon's area that `box` covers, 0–1."""
    piece = clip(polygon, box)
    whole = area(polygon)
    return area(piece) / whole if len(piece) >= 3 and whole > 0 else 0.0


def bottom_center(box: Box) -> Point:
    """Where it stands. What the lower edge of the picture cuts off stands in its last row: in zones drawn to there."""
    return ((box[0] + box[2]) / 2, min(box[3], LAST))


def center(box: Box) -> Point:
    return ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = _area_of(a) + _area_of(b) - inter
    return inter / union if union > 0 else 0.0


def _area_of(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou_matrix(a: Floats, b: Floats) -> Floats:
    """Intersection over union of every pair: (n x 4), (m x 4) -> n x m."""
    lo = np.maximum(a[:, None, :2], b[None, :, :2])
    side = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - lo, 0, None)
    inter = side[..., 0] * side[..., 1]
    union = _areas(a)[:, None] + _areas(b)[None, :] - inter
    return np.where(union > 0, inter / np.maximum(union, 1e-12), 0.0).astype(np.float32)


def suppress(rivals: NDArray[np.bool_], most: int | None = None) -> NDArray[np.int64]:
    """Greedy: of n things in falling order of worth, those that rival none kept before them, at most `most`.

    rivals: n x n, whether two of them cannot both stand.
    """
    alive = np.ones(len(rivals), bool)
    kept: list[int] = []
    for i in range(len(rivals)):
        if alive[i]:
            kept.append(i)
            if len(kept) == most:
                break
            alive &= ~rivals[i]
    return np.array(kept, np.int64)


def _areas(xyxy: Floats) -> Floats:
    side = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None)
    areas: Floats = side[:, 0] * side[:, 1]
    return areas


def nms(xyxy: Floats, score: Floats, class_id: NDArray[np.int64], threshold: float) -> NDArray[np.int64]:
    """Indices kept by greedy per-class non-maximum suppression, best score first."""
    if not len(score):
        return np.zeros(0, np.int64)
    span = float(xyxy.max() - xyxy.min()) + 1.0
    shifted = (xyxy + (class_id[:, None] * span)).astype(np.float32)  # classes never overlap one another
    order = np.argsort(-score, kind="stable")
    ious = iou_matrix(shifted[order], shifted[order]) > threshold
    keep = np.ones(len(order), bool)
    for i in range(len(order)):
        if keep[i]:
            keep[i + 1 :] &= ~ious[i, i + 1 :]
    kept: NDArray[np.int64] = order[keep].astype(np.int64)
    return kept


def letterbox(size: tuple[int, int], model: tuple[int, int]) -> tuple[float, tuple[int, int], View]:
    """Fit a picture of `size` (w, h) into `model` (w, h), keeping its shape, pasted at the top left.

    Returns the scale, the resized (w, h) and the View back.
    """
    (w, h), (mw, mh) = size, model
    ratio = min(mw / w, mh / h)
    rw, rh = max(1, round(w * ratio)), max(1, round(h * ratio))
    return ratio, (rw, rh), View((1 / rw, 1 / rh), (0.0, 0.0))


def crosses(line: tuple[Point, Point], before: Point, now: Point) -> int:
    """+1 when the step before -> now crosses the directed line from its left to its right, -1 the other way, else 0.

    Left and right as seen when walking from the line's first to its second point, y down.
    """
    (ax, ay), (bx, by) = line
    side = [(bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) for p in (before, now)]
    if (side[0] < 0) == (side[1] < 0):
        return 0
    # Always seen from the left, so that a step through the line's very end counts the same on the way back.
    (px, py), (qx, qy) = (before, now) if side[0] < 0 else (now, before)
    ends = [(qx - px) * (e[1] - py) - (qy - py) * (e[0] - px) for e in line]
    if (ends[0] < 0) == (ends[1] < 0):
        return 0
    return 1 if side[0] < 0 else -1
