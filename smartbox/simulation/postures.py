"""Rooms whose people sit, read, look at phones, sleep at the desk, stand and lie: for the posture model.

Random ones, and the park's post in other colours, light and weather, half of the time from other places.
Head-down is a head on or near the desk. Who reads or looks at a phone bows the head over an upright body: upright.
Nobody sits as those of scored scenarios do (`actors.py`): how far bodies lean there is left out here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from smartbox.simulation.backdrop import Backdrop, render_backdrop
from smartbox.simulation.camera import Camera
from smartbox.simulation.compose import Placed, compose
from smartbox.simulation.layout import DESK_TOP, before
from smartbox.simulation.lens import random_lens
from smartbox.simulation.light import random_light
from smartbox.simulation.mesh import box
from smartbox.simulation.people import Pose, person_mesh, random_guard, random_person, sitting, standing, walking
from smartbox.simulation.stages import SEAT, Stage, camera, stage
from smartbox.simulation.tricks import rain, shadow
from smartbox.simulation.worlds import World, random_world, tone
from smartbox.types import Box, Image

Posed = tuple[str, Box, float]  # upright · head-down · lying, xyxy 0–1 of what can be seen, share that can be seen

SCORED = {"asleep": (1.0, 1.1), "read": (0.26, 0.34), "phone": (0.06, 0.14)}
"""How far (rad) bodies lean in scored scenarios, and round about."""
Cast = tuple[str, Placed]  # posture, empty for what is no person


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


def posts(seed: int, count: int, per_scene: int = 5) -> Iterator[tuple[Image, list[Posed]]]:
    """`count` pictures (BGR, 640x360) of a guard at the desk of a post, day and night; `per_scene` share one look."""
    made = scene = 0
    while made < count:
        rng = np.random.default_rng([seed, scene, 13])
        view = None if rng.random() < 0.5 else _elsewhere(rng)
        place = stage("post", seed + scene, bool(rng.random() < 0.3), cam=view)
        scene += 1
        for _ in range(min(per_scene, count - made)):
            yield _at_the_post(rng, place)
            made += 1


def _elsewhere(rng: np.random.Generator) -> Camera:
    """A camera in another corner or at another height, that looks at the desk."""
    x, y = before(*SEAT)
    eye = (float(rng.uniform(-2.6, 2.6)), float(rng.uniform(-2.8, -1.2)), float(rng.uniform(1.7, 2.6)))
    yaw = float(np.degrees(np.arctan2(x - eye[0], y - eye[1])) + rng.uniform(-14, 14))
    far = float(np.hypot(x - eye[0], y - eye[1]))
    pitch = float(np.degrees(np.arctan2(eye[2] - DESK_TOP, far)) + rng.uniform(-8, 6))
    own = camera("post")
    return Camera(own.width, own.height, eye, yaw, pitch, float(rng.uniform(55, 90)))


def _at_the_post(rng: np.random.Generator, place: Stage) -> tuple[Image, list[Posed]]:
    cast: list[Cast] = []
    if rng.random() < 0.92:
        cast.append(_seated(rng, *SEAT, 0.5))
    if rng.random() < 0.3:  # before the desk, beside it, or in the way of the camera
        x, y, heading = float(rng.uniform(-1.4, 1.8)), float(rng.uniform(-0.3, 1.0)), float(rng.uniform(0, 2 * np.pi))
        cast += _lying(rng, x, y, heading) if rng.random() < 0.4 else [_standing(rng, x, y, heading)]
    picture, people = _composed(place.backdrop, cast)
    index = int(rng.integers(1 << 30))
    if rng.random() < 0.12:
        picture = rain(picture, index)
    if rng.random() < 0.12:
        picture = shadow(picture, float(rng.uniform(0, 20)))
    return place.lens.take(picture, index), people


def _picture(rng: np.random.Generator, world: World, backdrop: Backdrop) -> tuple[Image, list[Posed]]:
    cast = [_seated(rng, x, y, heading, 0.6) for x, y, heading in world.seats if rng.random() < 0.8]
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.45, 0.3]))):
        place = _free(rng, world)
        if place is None:
            continue
        heading = float(rng.uniform(0, 2 * np.pi))
        cast += _lying(rng, *place, heading) if rng.random() < 0.5 else [_standing(rng, *place, heading)]
    picture, people = _composed(backdrop, cast)
    return random_lens(rng, picture, backdrop.light.night).take(picture, int(rng.integers(1 << 30))), people


def _composed(backdrop: Backdrop, cast: Sequence[Cast]) -> tuple[Image, list[Posed]]:
    picture, seen = compose(backdrop, [replace(placed, key=str(i)) for i, (_, placed) in enumerate(cast)])
    return picture, [(cast[int(s.key)][0], s.xyxy, s.visible) for s in seen if cast[int(s.key)][0]]


def _seated(rng: np.random.Generator, x: float, y: float, heading: float, asleep_share: float) -> Cast:
    """At a desk, asleep or awake."""
    label, pose = ("head-down", asleep(rng)) if rng.random() < asleep_share else ("upright", awake(rng))
    return label, replace(_person(rng, pose, x, y, heading), table=(*before(x, y, heading), DESK_TOP))


def _standing(rng: np.random.Generator, x: float, y: float, heading: float) -> Cast:
    pose = walking(float(rng.uniform(0, 6.3))) if rng.random() < 0.5 else _upright(rng)
    return "upright", _person(rng, pose, x, y, heading)


def _person(rng: np.random.Generator, pose: Pose, x: float, y: float, heading: float, lift: float = 0.0) -> Placed:
    look = random_guard(rng) if rng.random() < 0.4 else random_person(rng)
    return Placed("person", person_mesh(replace(look, pack=None), pose).moved(x, y, lift, heading))


def _lean(rng: np.random.Generator, low: float, high: float, manner: str) -> float:
    """Evenly from low to high, but not as in scored scenarios."""
    a, b = SCORED[manner]
    lean = float(rng.uniform(low, high - (b - a)))
    return lean if lean < a else lean + (b - a)


def asleep(rng: np.random.Generator) -> Pose:
    """Bent over the desk, head on or near it, arms before or beside; or slumped, with one arm or both hanging."""
    lean, bow = _lean(rng, 0.85, 1.3, "asleep"), float(rng.uniform(0.1, 0.7))
    arms = rng.uniform(1.1, 1.7, 2)
    hanging = int(rng.choice(3, p=[0.65, 0.25, 0.1]))
    for arm in rng.permutation(2)[:hanging]:
        arms[arm] = rng.uniform(0.0, 0.5)
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
        return sitting((0.9, 0.9), float(rng.uniform(0.5, 1.0)), turn * 0.5, _lean(rng, 0.1, 0.55, "read"))
    if kind < 0.85:  # a phone before the chest or in the lap
        lift, bend = float(rng.uniform(0.2, 0.8)), float(rng.uniform(1.0, 2.0))
        bow, lean = float(rng.uniform(0.5, 0.95)), _lean(rng, -0.1, 0.3, "phone")
        pose = sitting((lift, lift + 0.1), bow, turn * 0.4, lean)
        return replace(pose, elbows=(bend, bend))
    return sitting((0.3, 0.5), float(rng.uniform(-0.1, 0.3)), turn, float(rng.uniform(-0.35, 0.0)))


def _upright(rng: np.random.Generator) -> Pose:
    arms = rng.uniform(-0.3, 1.3, 2) * (rng.random(2) < 0.5)
    return replace(
        standing(float(rng.uniform(-0.15, 0.15))),
        shoulders=(float(arms[0]), float(arms[1])), lean=float(rng.uniform(0, 0.35)), bow=float(rng.uniform(0, 0.7)),
    )  # fmt: skip


def _lying(rng: np.random.Generator, x: float, y: float, heading: float) -> list[Cast]:
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
