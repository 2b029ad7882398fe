"""The four cameras of the park. Their geometry never changes, so that a configuration fits every seed;
colours, weather, trees and light are the seed's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from smartbox.geometry import Polygon
from smartbox.simulation import layout as L
from smartbox.simulation.backdrop import Backdrop, render_backdrop
from smartbox.simulation.camera import Camera
from smartbox.simulation.layout import Layout
from smartbox.simulation.lens import Lens, exposure
from smartbox.simulation.light import Lamp, Light, random_light
from smartbox.simulation.mesh import Colour
from smartbox.simulation.worlds import room_walls, tone, wall_colour, wear
from smartbox.types import Point

Scene = Literal["post", "lane", "lot", "gate"]
SCENES: tuple[Scene, ...] = get_args(Scene)

SEAT: tuple[float, float, float] = (0.25, 2.15, -2.0)  # of the guard: x, y, heading
LANE_Y = (1.2, 5.0)  # the fire lane along x
ROAD_Y = (8.6, 14.6)  # the public road behind it
SLOT_Y = (8.0, 13.0)
SLOT_X = tuple(-7.8 + 2.6 * i for i in range(6))  # left edges
AISLE_Y = 4.6
YARD = (-4.2, 4.6, 4.2, 11.5)  # the restricted area of the gate: x0, y0, x1, y1

_CAMERAS: Mapping[Scene, tuple[tuple[float, float, float], float, float, float]] = {
    "post": ((-1.7, -1.9, 2.45), 22.0, 17.0, 72.0),
    "lane": ((0.0, -9.0, 5.2), 0.0, 22.0, 70.0),
    "lot": ((0.0, -4.2, 7.2), 0.0, 29.0, 64.0),
    "gate": ((-0.6, -2.6, 4.0), 2.0, 22.0, 66.0),
}  # eye, yaw, pitch, field of view


@dataclass(frozen=True, eq=False)
class Stage:
    """What one camera sees without actors. zones, slots: polygons 0–1 of the picture."""

    scene: Scene
    camera: Camera
    light: Light
    lens: Lens
    backdrop: Backdrop
    zones: Mapping[str, Polygon]
    slots: Mapping[str, Polygon] = field(default_factory=dict)


@lru_cache(maxsize=32)
def camera(scene: Scene, width: int = 640, height: int = 360) -> Camera:
    eye, yaw, pitch, fov = _CAMERAS[scene]
    return Camera(width, height, eye, yaw, pitch, fov)


def zones(scene: Scene) -> dict[str, Polygon]:
    """The polygons that the scene's rules watch, 0–1."""
    cam = camera(scene)
    if scene == "post":
        return {"post": on_ground(cam, [(-1.6, -0.4), (2.3, -0.4), (2.3, 4.2), (-1.6, 4.2)])}
    if scene == "lane":
        near, far = LANE_Y[0] - 0.4, LANE_Y[1] + 2.2  # with the verge: boxes reach up into it, lorries' most of all
        return {"lane": on_ground(cam, [(-9, near), (9, near), (9, far), (-9, far)])}
    if scene == "gate":
        x0, y0, x1, y1 = YARD
        return {"yard": on_ground(cam, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])}
    return {}


def slots(scene: Scene) -> dict[str, Polygon]:
    """The parking slots, name -> polygon 0–1."""
    if scene != "lot":
        return {}
    cam = camera(scene)
    (y0, y1), wide = SLOT_Y, 2.6
    return {
        f"P{i + 1}": on_ground(cam, [(x, y0), (x + wide, y0), (x + wide, y1), (x, y1)]) for i, x in enumerate(SLOT_X)
    }


def on_ground(cam: Camera, polygon: list[Point]) -> Polygon:
    """A world polygon on the ground as 0–1 of the picture, cut at its edges and rounded for people to read."""
    corners = cam.outline(np.array([[x, y, 0.0] for x, y in polygon]))
    shares = np.clip(corners / [cam.width, cam.height], 0, 1)
    out: list[Point] = []
    for x, y in shares:
        point = (round(float(x), 3), round(float(y), 3))
        if point not in out:
            out.append(point)
    return tuple(out)


def stage(
    scene: Scene, seed: int, night: bool = False, width: int = 640, height: int = 360, cam: Camera | None = None
) -> Stage:
    """The scene as this seed dresses it. cam: another view of it than the scene's own, which its zones do not fit."""
    rng = np.random.default_rng([seed, SCENES.index(scene)])
    cam = cam or camera(scene, width, height)
    light = random_light(rng, night, indoor=scene == "post")
    layout = {"post": _post, "lane": _lane, "lot": _lot, "gate": _gate}[scene](rng, light)
    backdrop = render_backdrop(layout, cam, light, rng)
    target = float(rng.uniform(62, 82)) if night and scene != "post" else float(rng.uniform(100, 128))
    lens = Lens(
        blur=float(rng.choice([0.0, 0.5, 0.7])),
        noise=float(rng.uniform(2.0, 4.5) if night else rng.uniform(1.0, 3.0)),
        gain=exposure(backdrop.picture, target),
        vignette=float(rng.uniform(0.0, 0.25)),
        quality=int(rng.integers(72, 92)),
        mono=bool(night and rng.random() < 0.3),
    )
    return Stage(scene, cam, light, lens, backdrop, zones(scene), slots(scene))


def _post(rng: np.random.Generator, _light: Light) -> Layout:
    layout = Layout(tone(rng, (120, 140, 155), 0.3), 0.12, indoor=True)
    if rng.random() < 0.6:
        layout.paving(-3, -3, 3, 5, float(rng.uniform(0.4, 0.9)), tone(rng, (90, 100, 110), 0.3))
    room_walls(layout, rng, 2.7, -3.0, 4.4, 2.9)
    x, y, heading = SEAT
    layout.props.append(L.chair(x, y, heading, tone(rng, (62, 58, 56), 0.4)))
    front = L.before(x, y, heading)
    turn = heading + np.pi / 2
    layout.props += [
        p.moved(front[0], front[1], 0.0, turn) for p in L.desk(0.0, 0.0, 1.5, 0.62, tone(rng, (110, 140, 165), 0.35))
    ]
    layout.props.append(L.bin_(-2.2, 3.6, tone(rng, (80, 90, 80), 0.4)))
    return layout


def _lane(rng: np.random.Generator, light: Light) -> Layout:
    layout = Layout(tone(rng, L.GRASS, 0.2), 0.28)
    layout.rect(-40, -12, 40, LANE_Y[1] + 0.2, tone(rng, L.PAVING, 0.15), 0.14)
    layout.paving(-14, -8, 14, LANE_Y[0], float(rng.uniform(0.8, 1.4)), tone(rng, (110, 116, 120)))
    layout.rect(-40, *_span(LANE_Y), tone(rng, L.ASPHALT), 0.18)
    wear(layout, rng, -12, LANE_Y[0], 12, LANE_Y[1], 7)
    red: Colour = L.YELLOW if rng.random() < 0.6 else (50, 50, 180)
    layout.line((-40, LANE_Y[0]), (40, LANE_Y[0]), 0.16, red)
    layout.line((-40, LANE_Y[1]), (40, LANE_Y[1]), 0.16, red)
    for x in np.arange(-12, 12, 4.0):
        layout.line((float(x), LANE_Y[0] + 0.3), (float(x) + 2.6, LANE_Y[1] - 0.3), 0.14, red, 0.35)
    layout.rect(-60, *_span(ROAD_Y, 60), tone(rng, L.ASPHALT), 0.18)
    layout.kerb((-60, ROAD_Y[0]), (60, ROAD_Y[0]))
    layout.kerb((-60, ROAD_Y[1]), (60, ROAD_Y[1]))
    layout.dashes((-50, sum(ROAD_Y) / 2), (50, sum(ROAD_Y) / 2), 0.15, 3, 4, L.WHITE)
    _far_side(layout, rng, light, 20.0)
    for x in np.arange(-13, 14, rng.uniform(5, 8)):
        if rng.random() < 0.6:
            layout.props.append(L.bush(rng, float(x), 6.9, float(rng.uniform(0.35, 0.6))))
    _lamps(layout, rng, light, [(-8.0, 7.0), (8.0, 7.0)])
    return layout


def _span(y: tuple[float, float], far: float = 40) -> tuple[float, float, float]:
    return y[0], far, y[1]


def _lot(rng: np.random.Generator, light: Light) -> Layout:
    layout = Layout(tone(rng, L.ASPHALT, 0.2), 0.2)
    wear(layout, rng, -11, -2, 11, SLOT_Y[1], 14)
    ink = L.WHITE if rng.random() < 0.7 else L.YELLOW
    for x in (*SLOT_X, SLOT_X[-1] + 2.6):
        layout.line((x, SLOT_Y[0]), (x, SLOT_Y[1]), 0.13, ink)
    layout.line((SLOT_X[0], SLOT_Y[1]), (SLOT_X[-1] + 2.6, SLOT_Y[1]), 0.13, ink)
    for x in (-14.0, 2.0, 10.0):
        layout.line((x, AISLE_Y), (x + 2.2, AISLE_Y), 0.15, ink, 0.4)
    layout.rect(-50, SLOT_Y[1] + 0.9, 50, 60, tone(rng, L.GRASS, 0.2), 0.28)
    layout.kerb((-50, SLOT_Y[1] + 0.8), (50, SLOT_Y[1] + 0.8))
    _far_side(layout, rng, light, 24.0)
    _lamps(layout, rng, light, [(-5.2, 14.6), (5.2, 14.6)])
    return layout


def _gate(rng: np.random.Generator, light: Light) -> Layout:
    layout = Layout(tone(rng, L.GRASS, 0.2), 0.28)
    x0, y0, x1, y1 = YARD
    layout.rect(-40, -8, 40, 3.4, tone(rng, L.PAVING, 0.15), 0.14)
    layout.paving(-12, -4, 12, 3.2, float(rng.uniform(0.8, 1.5)), tone(rng, (112, 118, 122)))
    layout.kerb((-40, 3.4), (40, 3.4))
    layout.rect(x0 - 0.5, 3.4, x1 + 0.5, y1 + 1, tone(rng, L.CONCRETE, 0.15), 0.16)
    wear(layout, rng, x0, y0, x1, y1, 8)
    ink: Colour = L.YELLOW if rng.random() < 0.6 else (60, 60, 190)
    for a, b in (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0))):
        layout.line(a, b, 0.14, ink)
    rail = tone(rng, (120, 124, 126), 0.3)
    layout.props += [
        L.fence((x0 - 0.7, 4.0), (x0 - 0.7, 12.5), 1.2, rail),
        L.fence((x1 + 0.7, 4.0), (x1 + 0.7, 12.5), 1.2, rail),
    ]
    layout.solids.append(
        L.building(rng, -9, 13.5, 9, 26, float(rng.uniform(4, 7)), wall_colour(rng), 0.3 if light.night else 0.0)
    )
    _far_side(layout, rng, light, 24.0)
    for x in (-8.0, 8.5):
        if rng.random() < 0.7:
            layout.props.append(L.bush(rng, x, float(rng.uniform(8, 11)), float(rng.uniform(0.5, 1.0))))
    _lamps(layout, rng, light, [(-5.8, 4.2), (5.8, 8.0)])
    return layout


def _far_side(layout: Layout, rng: np.random.Generator, light: Light, back: float) -> None:
    """Trees and a row of houses behind."""
    lit = 0.25 if light.night else 0.0
    x = -60.0
    while x < 60:
        wide = float(rng.uniform(9, 20))
        deep = back + float(rng.uniform(2, 8))
        layout.solids.append(
            L.building(rng, x, deep, x + wide, deep + 12, float(rng.uniform(4, 14)), wall_colour(rng), lit)
        )
        x += wide + float(rng.choice([0.0, 3.0, 6.0]))
    for x in np.arange(-24, 24, rng.uniform(6, 11)):
        layout.props.append(
            L.tree(rng, float(x + rng.uniform(-1, 1)), back - float(rng.uniform(0.5, 3)), float(rng.uniform(3, 6)))
        )


def _lamps(layout: Layout, rng: np.random.Generator, light: Light, places: list[Point]) -> None:
    warm: Colour = (0.6, 0.82, 1.0) if rng.random() < 0.6 else (1.0, 0.98, 0.92)
    for x, y in places:
        arm = 1.2 if x < 0 else -1.2
        layout.props.append(L.pole(x, y, 5.5, arm=arm, glow=1.0 if light.night else 0.0))
        if light.night:
            layout.lamps.append(Lamp((x + arm, y - 2.0, 5.5), warm, float(rng.uniform(0.9, 1.2)), 8.0))
