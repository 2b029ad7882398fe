"""Random car parks for training: pictures, each with its slots and which of them are taken, or with its boxes.

Unlike the park's own lot, rows, slant, markings, camera, light and weather are all drawn from the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import Polygon
from smartbox.simulation import layout as L
from smartbox.simulation.backdrop import Backdrop, render_backdrop
from smartbox.simulation.camera import Camera, Vectors
from smartbox.simulation.compose import Drawn, Placed, Seen, assemble, render_actor
from smartbox.simulation.layout import Layout
from smartbox.simulation.lens import random_lens
from smartbox.simulation.light import Lamp, Light, random_light
from smartbox.simulation.people import person_mesh, random_person, standing, walking
from smartbox.simulation.training import Labelled
from smartbox.simulation.vehicles import VehicleKind, random_vehicle, vehicle_mesh
from smartbox.simulation.worlds import tone, wear
from smartbox.types import Image

SMALLEST = 11.0  # pixels: the geometric mean of a slot's sides below which nobody would draw it
HIDDEN = 0.4  # share of a slot behind others' cars from which on its state cannot be seen


@dataclass(frozen=True)
class Bay:
    """A slot in the world: its corners (4 x 2, m) in order, and the way a car that drives in looks (radians)."""

    corners: Vectors
    heading: float

    @property
    def middle(self) -> Vectors:
        middle: Vectors = self.corners.mean(0)
        return middle


@dataclass(frozen=True)
class Slot:
    """A slot in a picture: its polygon (0–1) and whether a vehicle stands in it."""

    polygon: Polygon
    taken: bool


def carparks(
    seed: int, count: int, width: int = 640, height: int = 360, per_scene: int = 3
) -> Iterator[tuple[Image, list[Slot]]]:
    """`count` pictures (BGR) with the slots that can be judged; `per_scene` share one place and camera."""
    for image, slots, _ in _taken(seed, count, width, height, per_scene):
        yield image, slots


def boxed(
    seed: int, count: int, width: int = 640, height: int = 360, per_scene: int = 3
) -> Iterator[tuple[Image, list[Labelled]]]:
    """The same pictures with what a detector should find: who stands, drives or walks there. Free slots are nothing."""
    for image, _, seen in _taken(seed, count, width, height, per_scene):
        yield image, [(s.label, s.xyxy, s.visible) for s in seen]


def _taken(
    seed: int, count: int, width: int, height: int, per_scene: int
) -> Iterator[tuple[Image, list[Slot], list[Seen]]]:
    made = scene = 0
    while made < count:
        rng = np.random.default_rng([seed, scene, 7])
        light = random_light(rng)
        layout, bays = _place(rng, light)
        backdrop = render_backdrop(layout, _camera(rng, width, height), light, rng)
        for _ in range(min(per_scene, count - made)):
            picture, slots, seen = _picture(rng, backdrop, bays)
            image = random_lens(rng, picture, light.night).take(picture, int(rng.integers(1 << 30)))
            yield image, slots, seen
            made += 1
        scene += 1


def _place(rng: np.random.Generator, light: Light) -> tuple[Layout, list[Bay]]:
    layout = Layout(tone(rng, L.ASPHALT if rng.random() < 0.75 else L.CONCRETE, 0.4), 0.22)
    wear(layout, rng, -22, -4, 22, 40, int(rng.integers(6, 34)))
    bays: list[Bay] = []
    y = float(rng.uniform(-1, 4))
    while y < 36 and len(bays) < 70:
        deep = float(rng.uniform(4.5, 5.4))
        row = _row(rng, layout, y, deep)
        bays += row
        if rng.random() < 0.4:  # rows that touch, with kerb and bushes between now and then
            y += deep + float(rng.choice([0.0, 0.6, 1.5]))
            for bay in row[:: int(rng.integers(2, 5))]:
                if rng.random() < 0.4:
                    layout.props.append(L.bush(rng, float(bay.corners[2][0]), y - 0.2, float(rng.uniform(0.3, 0.8))))
        else:
            y += deep + float(rng.uniform(4.5, 7.5))
    for _ in range(int(rng.integers(0, 4))):
        x, far = float(rng.choice([-1, 1]) * rng.uniform(9, 20)), float(rng.uniform(6, 40))
        layout.props.append(L.tree(rng, x, far, float(rng.uniform(3, 7))))
    for far in np.arange(rng.uniform(0, 8), 40, rng.uniform(12, 20)):
        x = float(rng.uniform(-12, 12))
        layout.props.append(L.pole(x, float(far), 6.0, glow=1.0 if light.night else 0.0))
        if light.night:
            lamp = Lamp((x, float(far), 6.0), (0.7, 0.9, 1.0), float(rng.uniform(0.6, 1.2)), float(rng.uniform(6, 10)))
            layout.lamps.append(lamp)
    return layout, bays


def _row(rng: np.random.Generator, layout: Layout, y: float, deep: float) -> list[Bay]:
    """A row of slots along x, straight or slanted, and its markings."""
    wide = float(rng.uniform(2.3, 2.9))
    slant = float(rng.uniform(-3.5, 3.5)) if rng.random() < 0.4 else 0.0
    ink = L.WHITE if rng.random() < 0.75 else L.YELLOW
    worn, thick = float(rng.uniform(0.1, 0.8)), float(rng.uniform(0.08, 0.16))
    marking = str(rng.choice(["lines", "ticks", "closed", "none"], p=[0.5, 0.2, 0.2, 0.1]))
    start, heading = float(rng.uniform(-20, -14)), float(np.arctan2(deep, slant))
    bays = []
    for x in np.arange(start, start + 14 * wide, wide):
        near, far = np.array([x, y]), np.array([x + slant, y + deep])
        along = np.array([wide, 0.0])
        bays.append(Bay(np.array([near, near + along, far + along, far]), heading))
        reach = near + (far - near) * (0.25 if marking == "ticks" else 1.0)
        if marking != "none":
            layout.line((near[0], near[1]), (reach[0], reach[1]), thick, ink, worn)
    if marking == "closed":
        end = start + 14 * wide
        layout.line((start + slant, y + deep), (end + slant, y + deep), thick, ink, worn)
    return bays


def _camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    """On a mast, a wall or a roof, looking over the rows."""
    tall = float(rng.uniform(3.5, 16.0))
    eye = (float(rng.uniform(-9, 9)), float(rng.uniform(-14, -3)), tall)
    pitch = float(np.degrees(np.arctan2(tall, rng.uniform(8, 24))))
    return Camera(width, height, eye, float(rng.uniform(-40, 40)), pitch, float(rng.uniform(42, 90)))


def _picture(rng: np.random.Generator, backdrop: Backdrop, bays: list[Bay]) -> tuple[Image, list[Slot], list[Seen]]:
    full = float(rng.choice([0.0, 0.15, 0.5, 0.85, 1.0], p=[0.08, 0.27, 0.35, 0.22, 0.08]))
    night = backdrop.light.night
    owners: list[Bay | None] = []
    cast: list[Placed] = []
    for bay in bays:
        if rng.random() < full and np.hypot(*(bay.middle - backdrop.camera.eye[:2])) < 55:
            cast.append(_parked(rng, bay))
            owners.append(bay)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))):  # somebody drives or walks by
        cast.append(_passing(rng, bays, night))
        owners.append(None)
    drawn = [render_actor(backdrop, placed) for placed in cast]
    picture, seen = assemble(backdrop, drawn)
    shape = (backdrop.camera.height, backdrop.camera.width)
    covers = [(owner, _mask(d, shape)) for owner, d in zip(owners, drawn, strict=True)]
    slots = [slot for bay in bays if (slot := _slot(backdrop, bay, covers)) is not None]
    return picture, slots, seen


def _parked(rng: np.random.Generator, bay: Bay) -> Placed:
    kind: VehicleKind = "car" if rng.random() < 0.95 else "truck"
    look = random_vehicle(rng, kind)
    x, y = bay.middle + rng.normal(0, (0.12, 0.25))
    heading = bay.heading + float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.05))
    return Placed(kind, vehicle_mesh(look).moved(float(x), float(y), 0.0, heading))


def _passing(rng: np.random.Generator, bays: list[Bay], night: bool) -> Placed:
    """In the aisle before a row, or on foot anywhere, in free slots too."""
    bay = bays[int(rng.integers(len(bays)))]
    if rng.random() < 0.5:
        x, y = bay.middle[0], bay.corners[0][1] - float(rng.uniform(2.2, 3.5))
        heading = float(rng.choice([0.0, np.pi])) + float(rng.normal(0, 0.1))
        look = random_vehicle(rng, "car")
        beams = (float(x), float(y), heading, look.length / 2) if night else None
        return Placed("car", vehicle_mesh(look, night).moved(float(x), float(y), 0.0, heading), beams)
    x, y = bay.middle + rng.uniform(-2, 2, 2)
    pose = walking(float(rng.uniform(0, 6.3))) if rng.random() < 0.7 else standing()
    return Placed("person", person_mesh(random_person(rng), pose).moved(float(x), float(y), 0.0, rng.uniform(0, 6.3)))


def _mask(drawn: Drawn, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    if drawn.sprite is not None:
        mask[drawn.sprite.window] = drawn.sprite.alpha > 127
    return mask


def _slot(backdrop: Backdrop, bay: Bay, covers: list[tuple[Bay | None, NDArray[np.bool_]]]) -> Slot | None:
    """None where it is out of sight, too small, or hidden by what does not stand in it."""
    camera = backdrop.camera
    pixels, depth = camera.project(np.column_stack([bay.corners, np.zeros(4)]))
    size = np.array([camera.width, camera.height])
    if depth.min() < 1 or (pixels < 0).any() or (pixels >= size).any():
        return None
    x, y = pixels.T
    area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
    if np.sqrt(area) < SMALLEST:
        return None
    columns, rows = _inside(pixels)
    taken = any(owner is bay for owner, _ in covers)
    others = np.zeros(len(rows), bool)
    for owner, mask in covers:
        if owner is not bay:
            others |= mask[rows, columns]
    if others.mean() > HIDDEN or (backdrop.solid[rows, columns].mean() > HIDDEN):
        return None
    return Slot(tuple((float(px), float(py)) for px, py in pixels / size), taken)


def _inside(quad: Vectors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows of an 8 x 8 sample of points of a quad in pixels."""
    u, v = (a.ravel()[:, None] for a in np.meshgrid(np.linspace(0.06, 0.94, 8), np.linspace(0.06, 0.94, 8)))
    points = (quad[0] * (1 - u) + quad[1] * u) * (1 - v) + (quad[3] * (1 - u) + quad[2] * u) * v
    return points[:, 0].astype(np.int64), points[:, 1].astype(np.int64)
