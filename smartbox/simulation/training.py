"""Single random pictures with their boxes, for training: every place, light, camera and actor is drawn from the seed.

Seeds from 1_000_000 on are training's; those below are for demos and tests, so that neither has seen the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from smartbox.simulation.backdrop import Backdrop, render_backdrop
from smartbox.simulation.compose import Placed, compose
from smartbox.simulation.cycles import CycleKind, cycle_mesh, helmet, random_cycle, riding
from smartbox.simulation.lens import random_lens
from smartbox.simulation.light import random_light
from smartbox.simulation.people import Pose, person_mesh, random_person, sitting, standing, walking
from smartbox.simulation.vehicles import VehicleKind, random_vehicle, vehicle_mesh
from smartbox.simulation.worlds import World, random_world
from smartbox.types import Box, Image

TRAINING_SEEDS = 1_000_000
Labelled = tuple[str, Box, float]  # label, xyxy 0–1 of what can be seen, share of the object that can be seen

MIN_PIXELS = 12  # objects lower than this are left out: nothing can be learnt from them


def frames(
    seed: int,
    count: int,
    width: int = 640,
    height: int = 360,
    per_scene: int = 6,
    min_visible: float = 0.25,
    above: float = 0.0,
) -> Iterator[tuple[Image, list[Labelled]]]:
    """`count` pictures (BGR) with boxes tight to the visible pixels; `per_scene` share one place and camera.

    Objects of which less than `min_visible` can be seen are drawn but not listed. above: share of the outdoor
    places that are seen from straight above.
    """
    made = 0
    scene = 0
    while made < count:
        rng = np.random.default_rng([seed, scene])
        light = random_light(rng)
        world = random_world(rng, light, width, height, above)
        if world.layout.indoor:
            light = random_light(rng, indoor=True)
        backdrop = render_backdrop(world.layout, world.camera, light, rng)
        for _ in range(min(per_scene, count - made)):
            yield _picture(rng, world, backdrop, min_visible)
            made += 1
        scene += 1


def _picture(
    rng: np.random.Generator, world: World, backdrop: Backdrop, min_visible: float
) -> tuple[Image, list[Labelled]]:
    light = backdrop.light
    actors = _cast(rng, world, backdrop)
    picture, seen = compose(backdrop, actors)
    lens = random_lens(rng, picture, light.night)
    image = lens.take(picture, int(rng.integers(1 << 30)))
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        seen = [replace(s, xyxy=(1 - s.xyxy[2], s.xyxy[1], 1 - s.xyxy[0], s.xyxy[3])) for s in seen]
    return image, [(s.label, s.xyxy, s.visible) for s in seen if s.visible >= min_visible]


@dataclass(frozen=True)
class _Spot:
    x: float
    y: float
    radius: float


def _cast(rng: np.random.Generator, world: World, backdrop: Backdrop) -> list[Placed]:
    if rng.random() < 0.07:
        return []
    people = int(rng.choice([0, 1, 2, 3, 5, 8], p=[0.2, 0.25, 0.2, 0.15, 0.12, 0.08]))
    vehicles = int(rng.choice([0, 1, 2, 4, 7], p=[0.25, 0.2, 0.2, 0.2, 0.15])) if world.wheels else 0
    spots: list[_Spot] = []
    cast: list[Placed] = []
    for _ in range(vehicles):
        kind: VehicleKind = ("car", "bus", "truck")[rng.choice(3, p=[0.6, 0.18, 0.22])]
        look = random_vehicle(rng, kind)
        place = _place(rng, backdrop, spots, look.length / 2, MIN_PIXELS / look.height)
        if place is None:
            continue
        heading = world.along + float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.08))
        if rng.random() < 0.4:
            heading = float(rng.uniform(0, 2 * np.pi))
        lamps = bool(rng.random() < (0.7 if backdrop.light.night else 0.15))
        cast.append(
            Placed(
                kind,
                vehicle_mesh(look, lamps).moved(*place, 0.0, heading),
                (*place, heading, look.length / 2) if lamps else None,
            )
        )
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.7, 0.15, 0.1, 0.05])) if world.wheels else 0):
        cast += _rider(rng, world, backdrop, spots)
    for seat in world.seats:
        if rng.random() < 0.5:
            mesh = person_mesh(random_person(rng), _seated(rng))
            cast.append(Placed("person", mesh.moved(seat[0], seat[1], 0.0, seat[2])))
    for _ in range(people):
        cast += _somebody(rng, backdrop, spots)
    return cast


def _rider(rng: np.random.Generator, world: World, backdrop: Backdrop, spots: list[_Spot]) -> list[Placed]:
    """A motorcycle or a bicycle, mostly with somebody on it; the two are listed apart."""
    kind: CycleKind = "motorcycle" if rng.random() < 0.65 else "bicycle"
    place = _place(rng, backdrop, spots, 0.9, MIN_PIXELS / 1.2)
    if place is None:
        return []
    heading = world.along + float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.3))
    if rng.random() < 0.4:
        heading = float(rng.uniform(0, 2 * np.pi))
    bike = cycle_mesh(random_cycle(rng, kind), bool(rng.random() < 0.4)).moved(*place, 0.0, heading)
    out = [Placed(kind, bike)]
    if rng.random() < 0.75:
        look = replace(random_person(rng), coat=0.0, hat=helmet(rng) if rng.random() < 0.75 else None)
        body = person_mesh(look, riding(kind, float(rng.uniform(0, 6.3)))).moved(
            -0.32 if kind == "motorcycle" else -0.2, 0.0
        )
        out.append(Placed("person", body.moved(*place, 0.0, heading)))
    return out


def _somebody(rng: np.random.Generator, backdrop: Backdrop, spots: list[_Spot]) -> list[Placed]:
    place = _place(rng, backdrop, spots, 0.35, MIN_PIXELS / 1.7 * 1.2)
    if place is None:
        return []
    heading = float(rng.uniform(0, 2 * np.pi))
    group = 2 if rng.random() < 0.12 else 1
    out = []
    for i in range(group):
        x, y = place[0] + 0.55 * i * np.sin(heading), place[1] - 0.55 * i * np.cos(heading)
        mesh = person_mesh(random_person(rng), random_pose(rng))
        out.append(Placed("person", mesh.moved(float(x), float(y), 0.0, heading)))
    return out


def random_pose(rng: np.random.Generator) -> Pose:
    kind = rng.random()
    if kind < 0.55:
        return walking(float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.6, 1.5)))
    if kind < 0.83:
        arms = rng.uniform(-0.3, 1.3, 2) * (rng.random(2) < 0.5)
        bends = rng.uniform(0.1, 1.9, 2)
        return replace(
            standing(float(rng.uniform(-0.15, 0.15))),
            shoulders=(float(arms[0]), float(arms[1])), elbows=(float(bends[0]), float(bends[1])),
            lean=float(rng.uniform(-0.05, 0.25)), bow=float(rng.uniform(-0.1, 0.5)), turn=float(rng.uniform(-0.8, 0.8)),
        )  # fmt: skip
    if kind < 0.95:
        return _seated(rng)
    if kind < 0.98:
        return Pose(
            lying=True,
            hips=(float(rng.uniform(0, 0.6)), 0.0),
            knees=(float(rng.uniform(0, 0.9)), 0.0),
            spread=float(rng.uniform(0, 0.6)),
        )
    return Pose(
        hips=(1.9, 1.7), knees=(2.2, 2.3), shoulders=(0.8, 0.7), elbows=(0.8, 0.5), lean=0.5, bow=0.2
    )  # crouching


def _seated(rng: np.random.Generator) -> Pose:
    reach = rng.uniform(0.2, 1.2, 2)
    bow, turn, lean = float(rng.uniform(0, 0.8)), float(rng.uniform(-0.6, 0.6)), float(rng.uniform(-0.1, 0.5))
    return sitting((float(reach[0]), float(reach[1])), bow, turn, lean)


def _place(
    rng: np.random.Generator, backdrop: Backdrop, spots: list[_Spot], radius: float, pixels_per_metre: float
) -> tuple[float, float] | None:
    """A free spot on the ground that the camera sees, near enough that a metre is so many pixels high."""
    camera = backdrop.camera
    for _ in range(12):
        u, v = rng.uniform(0.02, 0.98) * camera.width, rng.uniform(0.1, 1.12) * camera.height
        ground, t = camera.ground(np.array([[u, v]]))
        x, y = float(ground[0, 0]), float(ground[0, 1])
        row = min(int(v), camera.height - 1)
        if (
            not np.isfinite(t[0])
            or backdrop.solid[row, int(u)]
            or camera.focal / max(float(t[0]), 0.1) < pixels_per_metre
        ):
            continue
        if camera.eye[2] < 4 and np.hypot(x - camera.eye[0], y - camera.eye[1]) < radius + 1.6:
            continue
        if all(np.hypot(x - s.x, y - s.y) > 0.8 * (radius + s.radius) for s in spots):
            spots.append(_Spot(x, y, radius))
            return x, y
    return None
