"""Meshes of coloured quads, and the few solids that everything in the park is made of. Metres, z up."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
        n = np.cross(c - a, d - b)
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
        np.tile(np.array(colour, float), (m, 1)),
        np.full(m, gloss),
        np.full(m, glow),
        np.full(m, lift),
    )


def strip_faces(rings: int, around: int, first: int = 0) -> Faces:
    """Quads between consecutive closed rings of `around` points each, ring by ring."""
    r, k = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = first + r * around + k, first + r * around + (k + 1) % around
    faces: Faces = np.stack([a, b, b + around, a + around], axis=-1).reshape(-1, 4)
    return faces


def loft(rings: Vectors, colour: Colour, gloss: float = 0.0) -> Mesh:
    """Skin over rings (s x k x 3) with both ends closed. Faces: the strips ring-major, then the two ends."""
    s, k, _ = rings.shape
    points = np.concatenate([rings.reshape(-1, 3), rings[0].mean(0)[None], rings[-1].mean(0)[None]])
    ks = np.arange(k)
    low = np.stack([(ks + 1) % k, ks, np.full(k, s * k), np.full(k, s * k)], axis=1)
    top = (s - 1) * k
    high = np.stack([top + ks, top + (ks + 1) % k, np.full(k, s * k + 1), np.full(k, s * k + 1)], axis=1)
    faces = np.concatenate([strip_faces(s, k), low, high])
    return outward(plain(points, faces, colour, gloss), rings)


def outward(mesh: Mesh, rings: Vectors) -> Mesh:
    """Turn the faces of a loft so that its skin looks away from its axis."""
    s, k, _ = rings.shape
    axis = (rings[:-1].mean(1) + rings[1:].mean(1)) / 2
    middle = mesh.points[mesh.faces[: (s - 1) * k]].mean(1).reshape(s - 1, k, 3)
    facing = np.einsum("skd,skd->", middle - axis[:, None], mesh.normals()[: (s - 1) * k].reshape(s - 1, k, 3))
    return mesh if facing >= 0 else replace(mesh, faces=mesh.faces[:, ::-1])


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
    length = max(float(np.linalg.norm(along)), 1e-6)
    axis = along / length
    side = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    turn = np.arange(around) * 2 * np.pi / around
    circle = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other
    share = np.linspace(0.0, 1.0, len(radii))
    rings = [start - axis * radii[0] * 0.6 + circle * radii[0] * 0.6]
    rings += [start + along * t + circle * r for t, r in zip(share, radii, strict=True)]
    rings += [end + axis * radii[-1] * 0.6 + circle * radii[-1] * 0.6]
    return loft(np.array(rings), colour)


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
