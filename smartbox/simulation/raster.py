"""From meshes to pixels: small sprites with soft edges, painted far to near, and the shadows that they cast."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.simulation.camera import NEAR, Camera, Vectors
from smartbox.simulation.light import Light, shade
from smartbox.simulation.mesh import Mesh
from smartbox.types import Image

Mask = NDArray[np.uint8]
SHIFT = 3  # bits of sub-pixel position given to OpenCV


@dataclass(frozen=True, eq=False)
class Sprite:
    """A drawn object: where its top left corner lies, its colour times alpha (BGR), alpha 0–255.

    inside: share of its outline's box that lies in the picture.
    """

    x: int
    y: int
    colour: Image
    alpha: Mask
    inside: float

    @property
    def window(self) -> tuple[slice, slice]:
        h, w = self.alpha.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


def _window(pixels: Vectors, camera: Camera, margin: int) -> tuple[int, int, int, int] | None:
    lo, hi = np.floor(pixels.min(0)) - margin, np.ceil(pixels.max(0)) + margin
    x0, y0 = max(0, int(max(lo[0], -1e6))), max(0, int(max(lo[1], -1e6)))
    x1, y1 = min(camera.width, int(min(hi[0], 1e6))), min(camera.height, int(min(hi[1], 1e6)))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _inside(pixels: Vectors, camera: Camera) -> float:
    lo, hi = pixels.min(0), pixels.max(0)
    size = np.array([camera.width, camera.height])
    seen = np.clip(hi, 0, size) - np.clip(lo, 0, size)
    return float(seen.prod() / max((hi - lo).prod(), 1e-9))


def draw(mesh: Mesh, camera: Camera, light: Light, grain: Mask | None = None) -> Sprite | None:
    """The mesh as a sprite; None when it is out of sight or reaches behind the camera."""
    pixels, depth = camera.project(mesh.points)
    if depth.min() < NEAR:
        return None
    window = _window(pixels, camera, 1)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    corners = pixels[mesh.faces]
    a, b = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    visible = np.flatnonzero(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0)  # y down turns the sense around
    order = visible[np.argsort(mesh.lift[visible] - depth[mesh.faces[visible]].mean(1), kind="stable")]
    fine = 3 if (x1 - x0) * (y1 - y0) < 120 * 120 else 2
    canvas = np.zeros(((y1 - y0) * fine, (x1 - x0) * fine, 4), np.uint8)
    spots = np.round(((corners[order] - [x0, y0]) * fine - 0.5) * (1 << SHIFT))
    spots = np.clip(spots, -30000, 30000).astype(np.int32)
    colours = shade(mesh, light, np.array(camera.eye))[order]
    for spot, (blue, green, red) in zip(spots, colours.tolist(), strict=True):
        cv2.fillConvexPoly(canvas, spot, (blue, green, red, 255), cv2.LINE_8, SHIFT)
    if grain is not None:
        _grain(canvas, grain)
    small = cv2.resize(canvas, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return Sprite(
        x0, y0, np.ascontiguousarray(small[..., :3]), np.ascontiguousarray(small[..., 3]), _inside(pixels, camera)
    )


def _grain(canvas: Mask, grain: Mask) -> None:
    """Cloth and dirt: a slight unevenness of the colour, 128 = none."""
    h, w = canvas.shape[:2]
    cut = cv2.resize(grain[: max(8, h // 2), : max(8, w // 2)], (w, h), interpolation=cv2.INTER_LINEAR)
    canvas[..., :3] = cv2.multiply(canvas[..., :3], cv2.merge([cut] * 3), scale=1 / 128)


def paint(picture: Image, sprite: Sprite) -> None:
    """Lay the sprite over the picture."""
    under = picture[sprite.window]
    rest = cv2.cvtColor(255 - sprite.alpha, cv2.COLOR_GRAY2BGR)
    cv2.add(cv2.multiply(under, rest, scale=1 / 255), sprite.colour, dst=under)
    picture[sprite.window] = under


def shadow(mesh: Mesh, camera: Camera, light: Light) -> Sprite | None:
    """What the mesh darkens on the ground: the sun's shadow and the dark under it; alpha only."""
    points = mesh.points
    under = np.column_stack([points[:, :2], np.zeros(len(points))])
    if light.shadow > 0.3 and light.sun[2] > 0.15:
        sun = np.array(light.sun)
        under = points - sun * (points[:, 2:3] / sun[2])
    pixels, depth = camera.project(under)
    if depth.min() < NEAR:
        return None
    soft = 3
    window = _window(pixels, camera, 4 * soft)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    corners = pixels[mesh.faces]
    a, b = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    keep = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) > 0.5
    spots = np.round(np.clip((corners[keep] - [x0, y0]) * 8, -30000, 30000)).astype(np.int32)
    tone = int(255 * (light.shadow if light.shadow > 0.3 else 0.45))
    for spot in spots:
        cv2.fillConvexPoly(mask, spot, (tone,), cv2.LINE_8, SHIFT)
    size = (soft, soft) if light.shadow > 0.3 else (3 * soft, 2 * soft)
    mask = np.asarray(cv2.blur(mask, size), np.uint8)
    return Sprite(x0, y0, np.zeros((0, 0, 3), np.uint8), mask, 1.0)


def darken(picture: Image, cast: Sprite) -> None:
    """Lay a shadow over the picture."""
    under = picture[cast.window]
    picture[cast.window] = cv2.multiply(under, cv2.cvtColor(255 - cast.alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
