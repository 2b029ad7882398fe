"""Random rooms whose people sit, read, look at phones, sleep at the desk, stand and lie: for the posture model.

Head-down is a head on or near the desk. Who reads or looks at a phone bows the head over an upright body: upright.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from smartbox.simulation.backdrop import Backdrop, render_backdrop
from smartbox.simulation.compose import Placed, compose
from smartbox.simulation.lens import random_lens
from smartbox.simulation.light import random_light
from smartbox.simulation.mesh import box
from smartbox.simulation.people import Pose, person_mesh, random_guard, random_person, sitting, standing, walking
from smartbox.simulation.worlds import World, random_world, tone
from smartbox.types import Box, Image

Posed = tuple[str, Box, float]  # upright · head-down · lying, xyxy 0–1 of what can be seen, share that can be seen


def rooms(
    seed: int, count: int, width: int = 640, height: int = 360, per_scene: int = 5
) -> Iterator[tuple[Image, list[Posed]]]:
    """`count` pictures (BGR); `per_scene` share one room and camera."""
    made = scene = 0
    while made < count:
        rng = np.random.default_rng([seed, scene, 11])
        scene += 1
        light = random_light(rng, indoor=True)
        world = random_world(rng, light, width, height)
        if not world.seats:
            continue
        backdrop = render_backdrop(world.layout, world.camera, light, rng)
        for _ in range(min(per_scene, count - made)):
            yield _picture(rng, world, backdrop)
            made += 1


def _picture(rng: np.random.Generator, world: World, backdrop: Backdrop) -> tuple[Image, list[Posed]]:
    cast: list[tuple[str, Placed]] = []
    for x, y, heading in world.seats:
        if rng.random() < 0.8:
            label, pose = ("head-down", asleep(rng)) if rng.random() < 0.6 else ("upright", awake(rng))
            cast.append((label, _person(rng, pose, x, y, heading)))
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.45, 0.3]))):
        place = _free(rng, world)
        if place is None:
            continue
        heading = float(rng.uniform(0, 2 * np.pi))
        if rng.random() < 0.5:
            cast += _lying(rng, *place, heading)
        else:
            pose = walking(float(rng.uniform(0, 6.3))) if rng.random() < 0.5 else _upright(rng)
            cast.append(("upright", _person(rng, pose, *place, heading)))
    keyed = [replace(placed, key=str(i)) for i, (_, placed) in enumerate(cast)]
    picture, seen = compose(backdrop, keyed)
    image = random_lens(rng, picture, backdrop.light.night).take(picture, int(rng.integers(1 << 30)))
    return image, [(cast[int(s.key)][0], s.xyxy, s.visible) for s in seen if cast[int(s.key)][0]]


def _person(rng: np.random.Generator, pose: Pose, x: float, y: float, heading: float, lift: float = 0.0) -> Placed:
    look = random_guard(rng) if rng.random() < 0.4 else random_person(rng)
    return Placed("person", person_mesh(replace(look, pack=None), pose).moved(x, y, lift, heading))


def asleep(rng: np.random.Generator) -> Pose:
    """Bent over the desk, head on or near it, arms before or beside, one perhaps hanging."""
    lean, bow = float(rng.uniform(0.85, 1.3)), float(rng.uniform(0.1, 0.7))
    arms = rng.uniform(1.1, 1.7, 2)
    if rng.random() < 0.25:
        arms[rng.integers(2)] = rng.uniform(0.0, 0.5)
    bends = rng.uniform(0.0, 1.0, 2)
    return replace(
        sitting((float(arms[0]), float(arms[1])), bow, float(rng.uniform(-1.4, 1.4)), lean),
        elbows=(float(bends[0]), float(bends[1])), spread=float(rng.uniform(0.0, 0.6)),
        hips=(float(rng.uniform(1.3, 1.6)), float(rng.uniform(1.3, 1.6))),
    )  # fmt: skip


def awake(rng: np.random.Generator) -> Pose:
    """At a desk: types, reads bent over a book, holds a phone, leans back, talks to the side."""
    kind = rng.random()
    turn = float(rng.uniform(-0.9, 0.9))
    if kind < 0.35:  # types or writes
        reach = rng.uniform(0.5, 1.2, 2)
        return sitting((float(reach[0]), float(reach[1])), float(rng.uniform(0, 0.4)), turn, float(rng.uniform(0, 0.4)))
    if kind < 0.65:  # reads: the head bowed, the body bent a little
        return sitting((0.9, 0.9), float(rng.uniform(0.5, 1.0)), turn * 0.5, float(rng.uniform(0.1, 0.55)))
    if kind < 0.85:  # a phone before the chest or in the lap
        lift, bend = float(rng.uniform(0.2, 0.8)), float(rng.uniform(1.0, 2.0))
        pose = sitting((lift, lift + 0.1), float(rng.uniform(0.5, 0.95)), turn * 0.4, float(rng.uniform(-0.1, 0.3)))
        return replace(pose, elbows=(bend, bend))
    return sitting((0.3, 0.5), float(rng.uniform(-0.1, 0.3)), turn, float(rng.uniform(-0.35, 0.0)))


def _upright(rng: np.random.Generator) -> Pose:
    arms = rng.uniform(-0.3, 1.3, 2) * (rng.random(2) < 0.5)
    return replace(
        standing(float(rng.uniform(-0.15, 0.15))),
        shoulders=(float(arms[0]), float(arms[1])), lean=float(rng.uniform(0, 0.35)), bow=float(rng.uniform(0, 0.7)),
    )  # fmt: skip


def _lying(rng: np.random.Generator, x: float, y: float, heading: float) -> list[tuple[str, Placed]]:
    """On the floor, or on a bench or bed."""
    pose = Pose(
        lying=True, hips=(float(rng.uniform(0, 1.2)), float(rng.uniform(0, 0.6))),
        knees=(float(rng.uniform(0, 1.6)), float(rng.uniform(0, 0.9))), spread=float(rng.uniform(0, 0.8)),
        shoulders=(float(rng.uniform(-0.3, 1.2)), float(rng.uniform(-0.3, 0.8))),
    )  # fmt: skip
    if rng.random() < 0.5:
        return [("lying", _person(rng, pose, x, y, heading))]
    high, half = float(rng.uniform(0.3, 0.55)), float(rng.uniform(0.3, 0.7))
    bench = box((-1.05, -half, 0.0), (1.05, half, high), tone(rng, (150, 150, 155), 0.5), 0.1)
    return [
        ("", Placed("bench", bench.moved(x, y, 0.0, heading))),
        ("lying", _person(rng, pose, x, y, heading, high)),
    ]


def _free(rng: np.random.Generator, world: World) -> tuple[float, float] | None:
    """A place on the floor well in sight, away from the seats."""
    camera = world.camera
    for _ in range(20):
        spot = rng.uniform((0.15, 0.5), (0.85, 1.0)) * (camera.width, camera.height)
        ground, far = camera.ground(spot[None])
        x, y = float(ground[0, 0]), float(ground[0, 1])
        if not 2.0 < float(far[0]) < 9.0 or abs(x) > 4.0 or y > 6.0:
            continue
        if all(np.hypot(x - sx, y - sy) > 1.4 for sx, sy, _ in world.seats):
            return x, y
    return None
