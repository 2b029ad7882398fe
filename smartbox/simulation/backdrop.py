"""The empty picture of a scene, rendered once: sky, textured and marked ground, buildings; and the props as sprites."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.simulation.camera import Camera, Vectors
from smartbox.simulation.layout import Layout
from smartbox.simulation.light import Light, shade
from smartbox.simulation.mesh import Mesh
from smartbox.simulation.raster import SHIFT, Sprite, darken, draw, paint, shadow
from smartbox.types import Image

FINE = 2  # the ground and the buildings are drawn at twice the size, then averaged


@dataclass(frozen=True, eq=False)
class Backdrop:
    """picture: H x W x 3 without actors; props: (distance, sprite) of things that actors may pass behind.

    solid: True where something built stands, so no actor's foot can be seen there.
    """

    camera: Camera
    light: Light
    picture: Image
    props: tuple[tuple[float, Sprite], ...]
    solid: NDArray[np.bool_]
    grain: Image


def noise_tile(rng: np.random.Generator, size: int = 512, slope: float = 1.1) -> NDArray[np.float32]:
    """Seamless fractal noise, mean 0, deviation 1 (a spectrum falling with frequency to the `slope`)."""
    f = np.fft.fftfreq(size)
    radius = np.hypot(f[:, None], f[None, :])
    radius[0, 0] = 1.0
    field = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal((size, size))) / radius[:, : size // 2 + 1] ** slope, (size, size)
    )
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


def render_backdrop(layout: Layout, camera: Camera, light: Light, rng: np.random.Generator) -> Backdrop:
    lit = replace(light, lamps=light.lamps + tuple(layout.lamps))
    big = replace(camera, width=camera.width * FINE, height=camera.height * FINE)
    tile = noise_tile(rng)
    grain = np.clip(128 + 4 * noise_tile(rng, 256, 0.7), 100, 156).astype(np.uint8)
    picture = _ground(layout, big, lit, tile)
    if not layout.indoor:
        _sky(picture, big, lit, tile)
    solid = np.zeros(picture.shape[:2], np.uint8)
    eye = np.array(camera.eye)
    for mesh in sorted(layout.solids, key=lambda m: -_distance(m, eye)):
        _solid(picture, solid, mesh, big, lit)
    if layout.solids:
        _stain(picture, solid, tile)
    small = np.asarray(cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA), np.uint8)
    built = cv2.resize(solid, (camera.width, camera.height), interpolation=cv2.INTER_AREA) > 127
    props = []
    for mesh in layout.props:
        cast = None if layout.indoor else shadow(mesh, camera, lit)
        if cast is not None:
            darken(small, cast)
        sprite = draw(mesh, camera, lit, grain)
        if sprite is not None:
            props.append((_distance(mesh, eye), sprite))
    return Backdrop(camera, lit, small, tuple(sorted(props, key=lambda p: -p[0])), built, grain)


def with_props(backdrop: Backdrop) -> Image:
    """The empty scene with its props."""
    picture = backdrop.picture.copy()
    for _, sprite in backdrop.props:
        paint(picture, sprite)
    return picture


def _distance(mesh: Mesh, eye: Vectors) -> float:
    low, high = mesh.points[:, :2].min(0), mesh.points[:, :2].max(0)
    return float(np.linalg.norm((low + high) / 2 - eye[:2]))


def _ground(layout: Layout, camera: Camera, light: Light, tile: NDArray[np.float32]) -> Image:
    h, w = camera.height, camera.width
    colour = np.full((h, w, 3), layout.ground, np.float32)
    rough = np.full((h, w), layout.rough, np.float32)
    v, u = np.mgrid[0:h:4, 0:w:4].astype(float)
    spots, t = camera.ground(np.stack([u.ravel(), v.ravel()], axis=1))
    shape = u.shape
    rough *= 0.8
    x = cv2.resize(np.clip(spots[:, 0], -3e3, 3e3).reshape(shape).astype(np.float32), (w, h))
    y = cv2.resize(np.clip(spots[:, 1], -3e3, 3e3).reshape(shape).astype(np.float32), (w, h))
    far = cv2.resize(np.minimum(t, 1e3).reshape(shape).astype(np.float32), (w, h))
    coarse = _sample(tile, x * 18, y * 18)
    fine = _sample(tile, y * 90 + 37, x * 90)
    wide = _sample(tile, x * 3 + 111, y * 3)
    grain = 0.5 * wide + 0.35 * coarse / (1 + (far / 45) ** 2) + 0.35 * fine / (1 + (far / 12) ** 2)
    for area in layout.areas:
        corners = camera.outline(np.column_stack([area.polygon, np.zeros(len(area.polygon))]))
        if not len(corners):
            continue
        spot = np.round(np.clip(corners, -8000, 8000) * 8).astype(np.int32)
        if area.worn:
            x0, y0, x1, y1 = _bounds(corners, w, h)
            mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
            if not mask.size:
                continue
            cv2.fillPoly(mask, [spot - np.array([x0 * 8, y0 * 8], np.int32)], (255,), cv2.LINE_AA, SHIFT)
            share = (
                mask.astype(np.float32) / 255 * np.clip(1.05 - area.worn * (1 + 0.8 * coarse[y0:y1, x0:x1]), 0.05, 1)
            )
            under = colour[y0:y1, x0:x1]
            under += share[..., None] * (np.array(area.colour, np.float32) - under)
        else:
            cv2.fillPoly(colour, [spot], area.colour, cv2.LINE_AA, SHIFT)
            cv2.fillPoly(rough, [spot], (area.rough,), cv2.LINE_AA, SHIFT)
    near = np.column_stack([np.clip(spots, -1e3, 1e3), np.zeros(len(spots))])
    arriving = light.at(near).reshape(*shape, 3).astype(np.float32)
    colour *= cv2.resize(arriving, (w, h)) * np.exp(rough * grain)[..., None]
    if light.haze:
        veil = 1 - np.exp(-light.haze * far / 100)[..., None]
        colour = colour * (1 - veil) + veil * np.array(light.sky, np.float32)
    return np.clip(colour, 0, 255).astype(np.uint8)


def _bounds(corners: Vectors, w: int, h: int) -> tuple[int, int, int, int]:
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    return (
        int(np.clip(x0 - 1, 0, w)),
        int(np.clip(y0 - 1, 0, h)),
        int(np.clip(x1 + 2, 0, w)),
        int(np.clip(y1 + 2, 0, h)),
    )


def _sample(tile: NDArray[np.float32], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float32]:
    n = tile.shape[0]
    padded = np.pad(tile, ((0, 1), (0, 1)), mode="wrap")
    return np.asarray(cv2.remap(padded, np.mod(x, n), np.mod(y, n), cv2.INTER_LINEAR), np.float32)


def _sky(picture: Image, camera: Camera, light: Light, tile: NDArray[np.float32]) -> None:
    """Everything above the horizon: paler towards it, with clouds."""
    pitch = np.radians(camera.pitch)
    horizon = int(np.clip(camera.height / 2 - camera.focal * np.tan(pitch), 0, camera.height))
    if horizon < 2:
        return
    w = camera.width
    up = np.linspace(1, 0, horizon, dtype=np.float32)[:, None, None]
    base = np.array(light.sky, np.float32)
    zenith = base * np.array([0.98, 0.85, 0.72], np.float32)
    sky = base * (1 - up) + zenith * up
    clouds = cv2.resize(tile[:128, :256], (w, max(horizon, 8)), interpolation=cv2.INTER_CUBIC)[:horizon]
    cover = np.clip(clouds * 0.5 * light.clouds + 0.1, 0, 1)[..., None]
    picture[:horizon] = np.clip(sky * (1 - cover) + cover * base.max() * 1.02, 0, 255).astype(np.uint8)


def _solid(picture: Image, solid: Image, mesh: Mesh, camera: Camera, light: Light) -> None:
    """A large body, face by face, each cut at the near plane."""
    eye = np.array(camera.eye)
    colours = shade(mesh, light, eye)
    centres = mesh.points[mesh.faces].mean(1)
    facing = (mesh.normals() * (eye - centres)).sum(1) > 0
    depth = np.linalg.norm(centres - eye, axis=1) - mesh.lift
    for i in np.flatnonzero(facing)[np.argsort(-depth[facing], kind="stable")]:
        corners = camera.outline(mesh.points[mesh.faces[i]])
        if len(corners):
            spot = np.round(np.clip(corners, -8000, 8000) * 8).astype(np.int32)
            cv2.fillConvexPoly(picture, spot, colours[i].tolist(), cv2.LINE_AA, SHIFT)
            cv2.fillConvexPoly(solid, spot, (255,), cv2.LINE_8, SHIFT)


def _stain(picture: Image, solid: Image, tile: NDArray[np.float32]) -> None:
    """Dirt and weather on walls, so that they are not of one colour."""
    h, w = picture.shape[:2]
    cut = cv2.resize(tile[:256, :384], (w, h), interpolation=cv2.INTER_LINEAR)
    cut = 0.06 * cut + 0.03 * cv2.resize(tile, (w, h))
    factor = np.where(solid[..., None] > 0, np.exp(cut)[..., None], 1.0)
    np.copyto(picture, np.clip(picture * factor, 0, 255).astype(np.uint8))
