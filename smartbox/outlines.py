"""What a changed part of a place is: something that came, something that went, or only light. By its outline. Pure."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.ground import LEVEL, Ground, Mask
from smartbox.luma import Edges, edges_of
from smartbox.types import Floats, Image

Slices = tuple[slice, slice]
Verdict = Literal["object", "gone", "light", "unclear"]

SHARP = 0.25  # of its contrast that a thing loses within two pixels of its outline
CLEARLY = 1.15  # times as much edge along the outline in one picture than in the other
TEXTURE = 0.03  # deviation of the log of grey levels from which on a place has a pattern to be known by
PATTERN = 0.5  # share of that deviation that is left where light was taken off; of things that came at least 0.74
BESIDE = 0.8  # of its pixels that have the grey of the place's neighbouring ones; of things that came at most 0.54 do
REACH = 6  # pixels: how far away a pixel may be that an edge depends on
BOX = np.ones((3, 3), np.uint8)


def judge(ground: Ground, whole: Mask) -> Verdict:
    """What a changed part of the place is, by its edge and by what is to be seen inside it, now and before."""
    if ground.blind(whole) or _is_beside(ground, whole) or _is_relit(ground, whole):
        return "light"
    where = extent(whole, 3)
    contrast = np.abs(ground.fast - ground.lit)[where]
    most = float(np.percentile(contrast[whole[where]], 80))
    core = ((contrast > most / 2) & whole[where]).astype(np.uint8)
    if _fall(contrast, core) < SHARP * most:
        return "light"
    now, before = edges_at(ground.fast, where), edges_at(ground.slow, where)
    inner = cv2.erode(core, BOX).astype(bool)
    if _shows_through(now[inner], before[inner]):
        return "light"
    outline, across = cv2.dilate(core, BOX) - cv2.erode(core, BOX), _normals(core)
    came, went = _outlined(now, outline, across), _outlined(before, outline, across)
    if went > CLEARLY * came:
        return "gone"
    return "object" if came > CLEARLY * went else "unclear"


def _is_beside(ground: Ground, whole: Mask) -> bool:
    """Whether most of it is the place itself a pixel aside, as of a camera in the wind: a white post is no new one."""
    where = extent(whole, 1)
    now, lit = ground.fast[where], ground.lit[where]
    near = (now >= cv2.erode(lit, BOX) - LEVEL) & (now <= cv2.dilate(lit, BOX) + LEVEL)
    return bool(near[whole[where]].mean() > BESIDE)


def _is_relit(ground: Ground, whole: Mask) -> bool:
    """Whether all of it is brighter or darker by one factor, so that the place's own pattern is still to be seen."""
    where = extent(whole)
    inner = cv2.erode(whole[where].astype(np.uint8), BOX, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
    if inner.sum() < BOX.size:
        return False
    then, now = (np.log(memory[where][inner] + 1.0) for memory in (ground.slow, ground.fast))
    pattern = float(then.std())
    return pattern > TEXTURE and float((now - then).std()) < PATTERN * pattern


def creeps(ground: Ground, whole: Mask) -> bool:
    """Whether it is thin and came bit by bit, as the edge of a shadow does."""
    first, last = np.percentile(ground.age[whole], (10, 90))
    where = extent(whole, 1)
    deep = float(cv2.distanceTransform(whole[where].astype(np.uint8), cv2.DIST_L2, 3).max())
    return bool(last - first > 3.0 and deep < 3.5)


def _fall(contrast: Floats, core: NDArray[np.uint8]) -> float:
    """How much the contrast falls across the outline: at once for a thing, hardly for a pool of light."""
    near = np.ones((5, 5), np.uint8)
    within, beyond = (core - cv2.erode(core, near)) > 0, (cv2.dilate(core, near) - core) > 0
    return float(np.median(contrast[within]) - np.median(contrast[beyond])) if beyond.any() else 0.0


def _outlined(edges: Edges, outline: Floats | Image, across: Edges) -> float:
    """How much of an outline edges follow, 0–1: a step from one side to the other, the same over some pixels.

    Texture has edges there too, but of any direction.
    """
    along = outline.astype(np.float32)
    step = (edges * across.conj()).real.astype(np.float32) * along
    steady = cv2.blur(step, (9, 9)) / np.maximum(cv2.blur(along, (9, 9)), 1e-6)
    return float(np.abs(steady)[outline > 0].mean())


def _shows_through(now: Edges, before: Edges) -> bool:
    """Whether the place's own edges are still to be seen: then nothing lies on it."""
    if not before.size or np.abs(before).mean() < 0.1:
        return False  # too plain a place to tell
    both = float(np.linalg.norm(now) * np.linalg.norm(before))
    return both > 0 and float(np.vdot(before, now).real) / both > 0.7


def _normals(part: Image) -> Edges:
    """Unit vectors across the outline of a part, as complex numbers; 0 where there is no outline."""
    soft = cv2.GaussianBlur(part.astype(np.float32), (0, 0), 1.5)
    across = cv2.Sobel(soft, cv2.CV_32F, 1, 0) + 1j * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    normals: Edges = (across / np.maximum(np.abs(across), 1e-6)).astype(np.complex64)
    return normals


def alike(kept: Edges, now: Edges, mask: Mask) -> float:
    """How much the edges are those that were kept: their correlation, 0–1."""
    size = float(np.linalg.norm(kept[mask]) * np.linalg.norm(now[mask]))
    return max(0.0, float(np.vdot(kept[mask], now[mask]).real) / size) if size > 1e-6 else 0.0


def edges_at(picture: Floats, where: Slices) -> Edges:
    """The edges in a part of a picture, as they are in the whole."""
    (top, bottom, _), (left, right, _) = (part.indices(size) for part, size in zip(where, picture.shape, strict=True))
    wide = slice(max(0, top - REACH), bottom + REACH), slice(max(0, left - REACH), right + REACH)
    y, x = top - wide[0].start, left - wide[1].start
    return edges_of(picture[wide])[y : y + bottom - top, x : x + right - left]


def extent(mask: Mask, margin: int = 0) -> Slices:
    """The smallest rectangle round `mask`, with a margin within the picture."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(rows[0]) - margin), min(mask.shape[0], int(rows[-1]) + 1 + margin)),
        slice(max(0, int(cols[0]) - margin), min(mask.shape[1], int(cols[-1]) + 1 + margin)),
    )
