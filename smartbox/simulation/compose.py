"""One picture of a scene: shadows, then props and actors from far to near, then lamps; and what of each can be seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.simulation.backdrop import Backdrop
from smartbox.simulation.camera import Camera, Vectors
from smartbox.simulation.mesh import Mesh
from smartbox.simulation.raster import SHIFT, Sprite, darken, draw, paint, shadow
from smartbox.types import Box, Image

Beams = tuple[float, float, float, float]  # x, y, heading, length of the nose
Table = tuple[float, float, float]  # x, y of its middle, height of its top
SUNK = 0.06
"""m that an arm may sink into the table it lies on: poses know nothing of tables."""
BEFORE = 1e-3


@dataclass(frozen=True, eq=False)
class Placed:
    """An actor's body in the world; beams: where its headlights burn, if they do; key: who it is.

    table: at which it sits.
    """

    label: str
    mesh: Mesh
    beams: Beams | None = None
    key: str = ""
    table: Table | None = None


@dataclass(frozen=True)
class Seen:
    """What can be seen of an actor: xyxy 0–1 tight to its visible pixels; visible: share of the whole body."""

    label: str
    xyxy: Box
    visible: float
    key: str = ""


@dataclass(frozen=True, eq=False)
class Drawn:
    """An actor rendered: kept while it does not move.

    over: distance and sprite of what of it lies on the table before it, and is painted once more, after the table.
    """

    placed: Placed
    sprite: Sprite | None
    cast: Sprite | None
    distance: float
    over: tuple[float, Sprite] | None = None


def render_actor(backdrop: Backdrop, placed: Placed) -> Drawn:
    camera, light = backdrop.camera, backdrop.light
    sprite = draw(placed.mesh, camera, light, backdrop.grain)
    cast = shadow(placed.mesh, camera, light)
    low, high = placed.mesh.points[:, :2].min(0), placed.mesh.points[:, :2].max(0)
    distance = float(np.linalg.norm((low + high) / 2 - np.array(camera.eye[:2])))
    return Drawn(placed, sprite, cast, distance, _over(backdrop, placed, distance))


def _over(backdrop: Backdrop, placed: Placed, distance: float) -> tuple[float, Sprite] | None:
    """What is higher than the top of a table that stands between it and the camera hides that table."""
    if placed.table is None:
        return None
    camera, (x, y, top) = backdrop.camera, placed.table
    to_table = float(np.hypot(x - camera.eye[0], y - camera.eye[1]))
    if to_table >= distance or camera.eye[2] <= top:
        return None
    mesh = placed.mesh
    high = mesh.points[mesh.faces][..., 2].mean(1) > top - SUNK
    upper = Mesh(mesh.points, mesh.faces[high], mesh.colour[high], mesh.gloss[high], mesh.glow[high], mesh.lift[high])
    sprite = draw(upper, camera, backdrop.light, backdrop.grain) if high.any() else None
    return (to_table - BEFORE, sprite) if sprite else None


def compose(backdrop: Backdrop, actors: Sequence[Placed]) -> tuple[Image, list[Seen]]:
    """The picture before the lens, and who is in it."""
    return assemble(backdrop, [render_actor(backdrop, a) for a in actors])


def assemble(backdrop: Backdrop, drawn: Sequence[Drawn]) -> tuple[Image, list[Seen]]:
    picture = backdrop.picture.copy()
    night = backdrop.light.night
    beams = [(i + 1, d.placed.beams) for i, d in enumerate(drawn) if d.placed.beams is not None and night]
    for _, beam in beams:
        _road_light(picture, backdrop.camera, beam)
    for d in drawn:
        if d.cast is not None:
            darken(picture, d.cast)
    owner = np.zeros(picture.shape[:2], np.uint8)
    scene: list[tuple[float, int, Sprite]] = [(distance, 0, sprite) for distance, sprite in backdrop.props]
    scene += [(d.distance, i + 1, d.sprite) for i, d in enumerate(drawn) if d.sprite is not None]
    scene += [(d.over[0], i + 1, d.over[1]) for i, d in enumerate(drawn) if d.over is not None]
    for _, who, sprite in sorted(scene, key=lambda s: -s[0]):
        paint(picture, sprite)
        owner[sprite.window][sprite.alpha > 127] = who
    for who, beam in beams:
        _glare(picture, owner == who, backdrop.camera, beam)
    return picture, _visible(owner, drawn)


def _visible(owner: Image, drawn: Sequence[Drawn]) -> list[Seen]:
    h, w = owner.shape
    out = []
    for i, d in enumerate(drawn):
        if d.sprite is None:
            continue
        mine = owner[d.sprite.window] == i + 1
        whole = int((d.sprite.alpha > 127).sum())
        rows, cols = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if not len(rows) or not whole:
            continue
        x, y = d.sprite.x, d.sprite.y
        xyxy = ((x + cols[0]) / w, (y + rows[0]) / h, (x + cols[-1] + 1) / w, (y + rows[-1] + 1) / h)
        share = float(mine.sum()) / whole * d.sprite.inside
        out.append(
            Seen(d.placed.label, (float(xyxy[0]), float(xyxy[1]), float(xyxy[2]), float(xyxy[3])), share, d.placed.key)
        )
    return out


def _local(beam: Beams, points: list[tuple[float, float, float]]) -> Vectors:
    x, y, heading, _ = beam
    c, s = np.cos(heading), np.sin(heading)
    p = np.array(points)
    return np.column_stack([x + c * p[:, 0] - s * p[:, 1], y + s * p[:, 0] + c * p[:, 1], p[:, 2]])


def _road_light(picture: Image, camera: Camera, beam: Beams) -> None:
    """Headlights on the road ahead: two nested cones, blurred at a quarter of the size."""
    h, w = picture.shape[:2]
    nose = beam[3]
    glow = np.zeros((h // 4, w // 4), np.uint8)
    for reach, half, tone in ((12.0, 3.2, 40), (7.0, 2.0, 75)):
        cone = camera.outline(
            _local(beam, [(nose, 0.7, 0.0), (nose, -0.7, 0.0), (nose + reach, -half, 0.0), (nose + reach, half, 0.0)])
        )
        if len(cone):
            cv2.fillConvexPoly(
                glow, np.round(np.clip(cone * 2, -30000, 30000)).astype(np.int32), (tone,), cv2.LINE_8, SHIFT
            )
    wide = cv2.resize(cv2.blur(glow, (7, 7)), (w, h), interpolation=cv2.INTER_LINEAR)
    factor = cv2.merge([wide, wide, wide])
    cv2.add(picture, cv2.multiply(picture, factor, scale=1 / 75), dst=picture)


def _glare(picture: Image, own: NDArray[np.bool_], camera: Camera, beam: Beams) -> None:
    """Bright spots around headlights that look into the camera and are not hidden; `own`: the vehicle's pixels."""
    to_eye = np.array(camera.eye[:2]) - np.array(beam[:2])
    facing = float(to_eye @ np.array([np.cos(beam[2]), np.sin(beam[2])]) / max(np.linalg.norm(to_eye), 1e-6))
    if facing < 0.3:
        return
    pixels, depth = camera.project(_local(beam, [(beam[3] + 0.05, 0.65, 0.72), (beam[3] + 0.05, -0.65, 0.72)]))
    h, w = picture.shape[:2]
    for (u, v), d in zip(pixels, depth, strict=True):
        if d < 1 or not (0 <= u < w and 0 <= v < h) or not own[max(0, int(v) - 2) : int(v) + 3, int(u)].any():
            continue
        radius = int(np.clip(facing * 0.45 * camera.focal / d, 3, 60))
        x0, y0, x1, y1 = (
            max(0, int(u) - radius),
            max(0, int(v) - radius),
            min(w, int(u) + radius),
            min(h, int(v) + radius),
        )
        yy, xx = np.mgrid[y0:y1, x0:x1]
        shine = 230 * facing * np.clip(1 - np.hypot(xx - u, yy - v) / radius, 0, 1) ** 2
        picture[y0:y1, x0:x1] = np.clip(picture[y0:y1, x0:x1] + shine[..., None], 0, 255).astype(np.uint8)
