"""Meshes of coloured quads, and the few solids that everything in the park is made of. Metres, z up."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from smartbox.simulation.camera import Vectors

Colour = tuple[float, float, float]  # BGR, 0–255, before light
Faces = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """points n x 3; faces m x 4 (triangles repeat a corner), corners counter-clockwise seen from outside.

    colour m x 3 BGR; gloss m: 0 matt – 1 mirror; glow m: share of the colour that needs no light;
    lift m: metres by which a face is drawn as if nearer, for lamps and wheels that lie on a body.
    """

    points: Vectors
    faces: Faces
    colour: Vectors
    gloss: Vectors
    glow: Vectors
    lift: Vectors

    def moved(self, x: float, y: float, z: float = 0.0, heading: float = 0.0) -> "Mesh":
        """Turned by `heading` radians about z (0 keeps +x forward), then shifted."""
        c, s = cos(heading), sin(heading)
        turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
        return replace(self, points=self.points @ turn + np.array([x, y, z]))

    def normals(self) -> Vectors:
        """Unit normals, m x 3; zero for faces without area."""
        a, b, c, d = (self.points[self.faces[:, i]] for i in range(4))
        n = cross(c - a, d - b)
        length = np.linalg.norm(n, axis=1, keepdims=True)
        unit: Vectors = n / np.maximum(length, 1e-12)
        return unit


def shift(points: Vectors, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Vectors:
    """Points moved by a vector."""
    moved: Vectors = points + np.array([x, y, z])
    return moved


def merge(parts: Iterable[Mesh]) -> Mesh:
    """One mesh of several."""
    parts = list(parts)
    offsets = np.cumsum([0, *(len(p.points) for p in parts)])[:-1]
    return Mesh(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.faces + o for p, o in zip(parts, offsets, strict=True)]),
        np.concatenate([p.colour for p in parts]),
        np.concatenate([p.gloss for p in parts]),
        np.concatenate([p.glow for p in parts]),
        np.concatenate([p.lift for p in parts]),
    )


def plain(
    points: Vectors, faces: Faces, colour: Colour, gloss: float = 0.0, glow: float = 0.0, lift: float = 0.0
) -> Mesh:
    """A mesh whose faces are all alike."""
    m = len(faces)
    return Mesh(
        points,
        faces,
        np.full((m, 3), colour, float),
        np.full(m, gloss),
        np.full(m, glow),
        np.full(m, lift),
    )


@lru_cache(maxsize=64)
def strip_faces(rings: int, around: int, first: int = 0) -> Faces:
    """Quads between consecutive closed rings of `around` points each, ring by ring."""
    r, k = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = first + r * around + k, first + r * around + (k + 1) % around
    faces: Faces = np.stack([a, b, b + around, a + around], axis=-1).reshape(-1, 4)
    faces.setflags(write=False)
    return faces


@lru_cache(maxsize=64)
def _skin(rings: int, around: int, turned: bool) -> Faces:
    """Strips and both ends; turned: seen from the other side."""
    ks, top, ends = np.arange(around), (rings - 1) * around, np.full((2, around), rings * around)
    low = np.stack([(ks + 1) % around, ks, ends[0], ends[0]], axis=1)
    high = np.stack([top + ks, top + (ks + 1) % around, ends[1] + 1, ends[1] + 1], axis=1)
    faces: Faces = np.concatenate([strip_faces(rings, around), low, high])
    faces = np.ascontiguousarray(faces[:, ::-1] if turned else faces)
    faces.setflags(write=False)
    return faces


def loft(rings: Vectors, colour: Colour, gloss: float = 0.0) -> Mesh:
    """Skin over rings (s x k x 3) with both ends closed. Faces: the strips ring-major, then the two ends."""
    s, k, _ = rings.shape
    points = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(1)])
    return plain(points, _skin(s, k, not _outward(rings)), colour, gloss)


def _outward(rings: Vectors) -> bool:
    """Whether strips as they come look away from their axis: by the sum over all, as single ones may be folded."""
    across = np.concatenate([rings[:, 1:], rings[:, :1]], axis=1)
    a, b, c, d = rings[:-1], across[:-1], across[1:], rings[1:]
    axis = rings.sum(1) / rings.shape[1]
    away = (a + b + c + d) / 4 - (axis[:-1, None] + axis[1:, None]) / 2
    return float(np.vdot(away, cross(c - a, d - b))) >= 0


def cross(a: Vectors, b: Vectors) -> Vectors:
    """Of vectors along the last axis; np.cross takes five times as long for few."""
    (ax, ay, az), (bx, by, bz) = (a[..., 0], a[..., 1], a[..., 2]), (b[..., 0], b[..., 1], b[..., 2])
    out = np.empty(a.shape)
    out[..., 0], out[..., 1], out[..., 2] = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    return out


def box(low: tuple[float, float, float], high: tuple[float, float, float], colour: Colour, gloss: float = 0.0) -> Mesh:
    """An upright box between two corners."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    ring = np.array([[x0, y0, 0.0], [x1, y0, 0.0], [x1, y1, 0.0], [x0, y1, 0.0]])
    points = np.concatenate([shift(ring, z=z0), shift(ring, z=z1)])
    sides = [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [4, 5, 6, 7], [3, 2, 1, 0]]
    return plain(points, np.array(sides), colour, gloss)


def ellipsoid(
    centre: Vectors, radii: tuple[float, float, float], colour: Colour, rows: int = 5, around: int = 8
) -> Mesh:
    """A ball squeezed along the axes."""
    polar = np.linspace(-0.46, 0.46, rows + 1) * np.pi
    turn = np.arange(around) * 2 * np.pi / around
    rings = np.stack(
        [
            np.cos(polar)[:, None] * np.cos(turn),
            np.cos(polar)[:, None] * np.sin(turn),
            np.broadcast_to(np.sin(polar)[:, None], (rows + 1, around)),
        ],
        axis=-1,
    )
    return loft(rings * np.array(radii) + centre, colour)


def limb(start: Vectors, end: Vectors, radii: tuple[float, ...], colour: Colour, around: int = 7) -> Mesh:
    """A tapering tube from joint to joint with the given radii on the way; a little rounded at both ends."""
    along = end - start
    axis = along / max(float(np.sqrt(along @ along)), 1e-6)
    side = cross(axis, _Y if abs(axis[1]) < 0.9 else _X)
    side /= np.sqrt(side @ side)
    circle = _circle(around)
    circle = circle[:, :1] * side + circle[:, 1:] * cross(axis, side)
    widths = np.array([radii[0] * 0.6, *radii, radii[-1] * 0.6])
    middles = np.empty((len(widths), 3))
    middles[0], middles[-1] = start - axis * widths[0], end + axis * widths[-1]
    middles[1:-1] = start + along * np.linspace(0.0, 1.0, len(radii))[:, None]
    return loft(middles[:, None] + circle * widths[:, None, None], colour)


_X, _Y = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])


@lru_cache(maxsize=16)
def _circle(around: int) -> Vectors:
    turn = np.arange(around) * 2 * np.pi / around
    circle: Vectors = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return circle


def disc(centre: Vectors, normal: Vectors, radius: float, colour: Colour, lift: float, gloss: float = 0.0) -> Mesh:
    """A flat disc, seen from the side its normal points to."""
    side = np.cross(normal, [0.0, 0.0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0.0, 0.0])
    side = side / np.linalg.norm(side)
    other = np.cross(normal, side)
    turn = np.arange(12) * 2 * np.pi / 12
    rim = centre + radius * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other)
    points = np.concatenate([rim, np.asarray(centre, float)[None]])
    ks = np.arange(12)
    faces = np.stack([ks, (ks + 1) % 12, np.full(12, 12), np.full(12, 12)], axis=1)
    return plain(points, faces, colour, gloss, lift=lift)


def patch(corners: Vectors, colour: Colour, gloss: float = 0.0, glow: float = 0.0, lift: float = 0.0) -> Mesh:
    """One flat quad, corners counter-clockwise seen from outside."""
    return plain(np.asarray(corners, float), np.array([[0, 1, 2, 3]]), colour, gloss, glow, lift)
