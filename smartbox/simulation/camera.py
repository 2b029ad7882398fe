"""A pinhole camera over a ground plane: world metres (x right, y forward, z up) to pixels and back."""

from dataclasses import dataclass
from functools import cached_property
from math import cos, radians, sin, tan

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]

NEAR = 0.4  # m; nothing closer than this is drawn


def _clip(polygon: Vectors, normal: Vectors, least: float) -> Vectors:
    """The part of a polygon where normal · point >= least."""
    if not len(polygon):
        return polygon
    height = polygon @ normal - least
    if height.min() >= 0:
        return polygon
    out: list[Vectors] = []
    for p, q, dp, dq in zip(polygon, np.roll(polygon, -1, axis=0), height, np.roll(height, -1), strict=True):
        if dp >= 0:
            out.append(p)
        if (dp >= 0) != (dq >= 0):
            out.append(p + (q - p) * (dp / (dp - dq)))
    return np.array(out) if out else np.zeros((0, 3))


@dataclass(frozen=True)
class Camera:
    """eye: metres; yaw: degrees to the right of +y; pitch: degrees down; fov: horizontal degrees."""

    width: int
    height: int
    eye: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 20.0
    fov: float = 65.0

    @cached_property
    def focal(self) -> float:
        """Pixels."""
        return self.width / 2 / tan(radians(self.fov) / 2)

    @cached_property
    def axes(self) -> Vectors:
        """Rows right, up, forward: world -> camera."""
        yaw, pitch = radians(self.yaw), radians(self.pitch)
        right = np.array([cos(yaw), -sin(yaw), 0.0])
        forward = np.array([sin(yaw) * cos(pitch), cos(yaw) * cos(pitch), -sin(pitch)])
        return np.stack([right, np.cross(right, forward), forward])

    def to_camera(self, points: Vectors) -> Vectors:
        """World (n x 3) -> camera coordinates (n x 3): right, up, depth."""
        moved: Vectors = (points - np.array(self.eye)) @ self.axes.T
        return moved

    def to_pixels(self, seen: Vectors) -> Vectors:
        """Camera coordinates (n x 3, depth > 0) -> pixels (n x 2)."""
        scale = self.focal / np.maximum(seen[:, 2], 1e-3)
        return np.stack([self.width / 2 + seen[:, 0] * scale, self.height / 2 - seen[:, 1] * scale], axis=1)

    def project(self, points: Vectors) -> tuple[Vectors, Vectors]:
        """World (n x 3) -> pixels (n x 2), depth in metres (n)."""
        seen = self.to_camera(points)
        return self.to_pixels(seen), seen[:, 2]

    def outline(self, polygon: Vectors) -> Vectors:
        """A world polygon (n x 3) clipped to the field of view -> pixels (m x 2); empty when out of sight."""
        seen = self.to_camera(polygon)
        wide = self.width / 2 / self.focal * 1.1
        tall = self.height / 2 / self.focal * 1.1
        seen = _clip(seen, np.array([0.0, 0.0, 1.0]), NEAR)
        for plane in ((1.0, 0.0, wide), (-1.0, 0.0, wide), (0.0, 1.0, tall), (0.0, -1.0, tall)):
            seen = _clip(seen, np.array(plane), 0.0)
        return self.to_pixels(seen) if len(seen) >= 3 else np.zeros((0, 2))

    def ground(self, pixels: Vectors) -> tuple[Vectors, Vectors]:
        """Pixels (n x 2) -> where their rays meet the ground (n x 2), and the distance in m (inf above the horizon)."""
        x = (pixels[:, 0] - self.width / 2) / self.focal
        y = (self.height / 2 - pixels[:, 1]) / self.focal
        rays = np.stack([x, y, np.ones_like(x)], axis=1) @ self.axes
        with np.errstate(divide="ignore"):
            t = np.where(rays[:, 2] < -1e-6, -self.eye[2] / rays[:, 2], np.inf)
        reach = np.minimum(t, 1e5)[:, None]
        return np.array(self.eye[:2]) + rays[:, :2] * reach, t
