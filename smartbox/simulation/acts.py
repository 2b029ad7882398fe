"""What may happen in a scored scenario, by name: each act makes actors for one of the four scenes.

Times are s, places m. An act takes only the keys that its function names; ActError says which it does not know.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import pi
from typing import Any

import numpy as np

from smartbox.simulation.actors import Actor, Manner, Move, Stay
from smartbox.simulation.people import random_guard, random_person
from smartbox.simulation.scripts import ROUND, Rng, Walk, drive, park_in, park_out, stop_and_go
from smartbox.simulation.stages import AISLE_Y, LANE_Y, ROAD_Y, SEAT, SLOT_X, SLOT_Y, YARD, Scene
from smartbox.simulation.things import ThingKind, random_thing
from smartbox.simulation.vehicles import VehicleLook, random_vehicle
from smartbox.types import Point

MIDDLE = sum(LANE_Y) / 2
FRONT_Y = -2.6  # where lorries pass between camera and lane
FAR = 300.0  # later than any scenario ends
DOOR: Point = (2.35, -1.3)  # of the post
TO_SEAT: tuple[Point, ...] = ((1.9, 1.2), (1.25, 2.75), (0.6, 2.7), SEAT[:2])
LINE_Y = 6.5  # of the line across the yard


class ActError(ValueError):
    """An act that does not exist, or a key that it does not take."""


def perform(scene: Scene, acts: Sequence[Mapping[str, Any]], seed: int, night: bool) -> tuple[Actor, ...]:
    """All actors of a scenario; each act draws its looks from a stream of its own."""
    actors: list[Actor] = []
    for number, act in enumerate(acts):
        known = ACTS[scene]
        if act.get("act") not in known:
            raise ActError(f"act {act.get('act')!r}: {scene} knows {', '.join(known)}")
        make = known[str(act["act"])]
        keys = {key: value for key, value in act.items() if key not in {"act", "decoy", "decoys"}}
        takes = [name for name in inspect.signature(make).parameters if name != "rng"]
        if unknown := sorted(set(keys) - set(takes)):
            raise ActError(f"act {act['act']!r}: {unknown[0]!r} is none of its keys: {', '.join(takes)}")
        for part, actor in enumerate(make(np.random.default_rng([seed, number, 23]), **keys)):
            lamps = night and isinstance(actor.look, VehicleLook)
            actors.append(replace(actor, key=f"{actor.key}{number + 1}.{part + 1}", lamps=lamps))
    return tuple(actors)


def _vehicle(rng: Rng, who: str) -> VehicleLook:
    """car, truck, bus or fire-engine: red and white, as a box truck is built."""
    if who == "fire-engine":
        look = random_vehicle(rng, "truck")
        return replace(look, body="box", length=8.2, width=2.4, height=3.1, paint=(32, 30, 190), second=(225, 225, 225))
    if who not in {"car", "truck", "bus"}:
        raise ActError(f"who {who!r} is none of car, truck, bus, fire-engine")
    return random_vehicle(rng, who)  # type: ignore[arg-type]


def _driver(rng: Rng, who: str, plan: tuple[Move | Stay, ...]) -> Actor:
    look = _vehicle(rng, who)
    return Actor(look.kind, look.kind, look, plan)


def _person(rng: Rng, walk: Walk) -> Actor:
    return Actor("person", "person", random_person(rng), tuple(walk.parts), phase=float(rng.uniform(0, 6)))


def _stops(rng: Rng, at: float, stay: float, who: str = "car", x: float = 0.0, way: int = 1) -> list[Actor]:
    """Drives into the fire lane, stands there, drives on. `at`: when it comes into sight."""
    return [_driver(rng, who, stop_and_go(at, MIDDLE, x, stay, float(rng.uniform(5.5, 6.5)), way))]


def _through(rng: Rng, at: float, who: str = "car", way: int = 1) -> list[Actor]:
    return [_driver(rng, who, (drive(at, ((-way * 22, MIDDLE), (way * 22, MIDDLE)), float(rng.uniform(6, 8))),))]


def _road(rng: Rng, at: float, who: str = "car", way: int = 1) -> list[Actor]:
    """Passes on the public road behind."""
    y = ROAD_Y[0] + 1.6 if way > 0 else ROAD_Y[1] - 1.6
    return [_driver(rng, who, (drive(at, ((-way * 34, y), (way * 34, y)), float(rng.uniform(8, 11))),))]


def _waits(rng: Rng, at: float, stay: float, who: str = "car", way: int = 1) -> list[Actor]:
    """Stands on the public road, in a queue or at the kerb, outside of the lane."""
    y = ROAD_Y[0] + 2.2 if way > 0 else ROAD_Y[1] - 1.6
    return [_driver(rng, who, stop_and_go(at, y, float(rng.uniform(-4, 4)), stay, 8.0, way, 34.0))]


def _front(rng: Rng, at: float, who: str = "truck", way: int = 1) -> list[Actor]:
    """Passes slowly between the camera and the lane, and hides what stands there."""
    return [_driver(rng, who, (drive(at, ((-way * 22, FRONT_Y), (way * 22, FRONT_Y)), 3.0),))]


def _walks(rng: Rng, at: float, y: float = 0.2, way: int = 1) -> list[Actor]:
    """A person along the lane's edge."""
    return [_person(rng, Walk(at, (-way * 11.0, y), float(rng.uniform(1.1, 1.5)), []).to((way * 11.0, y)))]


def _pallet(rng: Rng, at: float, stay: float, x: float = 0.0) -> list[Actor]:
    """Somebody brings a pallet into the lane at `at`, and takes it away again."""
    return _put_down(rng, "pallet", at, stay, (x, MIDDLE), (x - 9.0, -0.6))


def _bag(rng: Rng, at: float, stay: float, x: float = 0.0, y: float = 5.6) -> list[Actor]:
    """Somebody puts a bag down in the yard at `at`, and somebody takes it away again."""
    return _put_down(rng, "bag", at, stay, (x, y), (9.0 if x >= 0 else -9.0, 3.0))


def _put_down(rng: Rng, kind: ThingKind, at: float, stay: float, place: Point, out: Point) -> list[Actor]:
    beside: Point = (place[0] + (0.9 if out[0] > place[0] else -0.9), place[1] - 0.2)
    speed = 1.5
    way = float(np.hypot(beside[0] - out[0], beside[1] - out[1])) / speed
    looks = random_thing(rng, kind)
    heading = float(rng.uniform(0, pi))
    thing = Actor("object", "object", looks, (Stay(at, min(at + stay, FAR), place, heading, "halt"),))
    people = []
    for when in (at, at + stay):
        walk = Walk(when - way - 0.5, out, speed, []).to(beside).stay(1.5, heading, "talk").to(out)
        people.append(_person(rng, walk))
    return [thing, *people]


def _guard(rng: Rng, plan: Sequence[Sequence[Any]], at: float = 2.0, leaves: bool = True) -> list[Actor]:
    """At the desk of the post, one manner after the other: [[work, 20], [asleep, 25], [away, 30], …].

    Without `leaves` he stays as he is in the end.
    """
    heading = SEAT[2]
    walk = Walk(at, DOOR, float(rng.uniform(0.95, 1.15)), []).to(*TO_SEAT)
    for manner, seconds in plan:
        if manner == "away":
            walk.to(*reversed(TO_SEAT[:-1]), DOOR)
            walk.time += float(seconds)
            walk.to(*TO_SEAT)
        else:
            kind: Manner = manner
            walk.stay(float(seconds), heading, kind)
    if leaves:
        walk.to(*reversed(TO_SEAT[:-1]), DOOR)
    else:
        walk.parts[-1] = replace(walk.parts[-1], end=max(walk.time, ROUND))
    return [Actor("guard", "person", random_guard(rng), tuple(walk.parts), phase=float(rng.uniform(0, 6)))]


def _visitor(rng: Rng, at: float, stay: float, manner: Manner = "talk") -> list[Actor]:
    """Comes in, stands before the desk, goes."""
    spot: Point = (0.9, 0.9)
    walk = Walk(at, DOOR, 1.1, []).to((1.9, 0.6), spot).stay(stay, 1.6, manner).to((1.9, 0.6), DOOR)
    return [_person(rng, walk)]


def _at_the_door(rng: Rng, at: float, stay: float) -> list[Actor]:
    """Stands just outside of the post's zone."""
    return [_person(rng, Walk(at, (3.6, -1.5), 1.1, []).to((2.3, -1.2)).stay(stay, 2.2, "talk").to((3.6, -1.5)))]


def _parked(rng: Rng, slots: Sequence[int], until: float = FAR) -> list[Actor]:
    """Cars that stand in slots 1–6 from the start."""
    actors = []
    for slot in slots:
        x = SLOT_X[slot - 1] + 1.3 + float(rng.uniform(-0.12, 0.12))
        place: Point = (x, sum(SLOT_Y) / 2 + float(rng.uniform(-0.2, 0.2)))
        nose_in = bool(rng.random() < 0.6)
        plan: tuple[Move | Stay, ...] = (Stay(0.0, until, place, pi / 2 if nose_in else -pi / 2, "park"),)
        if until < FAR:
            plan += park_out(until, place, nose_in)
        actors.append(_driver(rng, "car", plan))
    return actors


def _parks(rng: Rng, slot: int, at: float, stay: float = FAR) -> list[Actor]:
    """Comes into sight at `at`, parks in a slot and leaves again after `stay`."""
    place: Point = (SLOT_X[slot - 1] + 1.3, sum(SLOT_Y) / 2)
    plan = park_in(at, place)
    stand = replace(plan[-1], end=plan[-1].start + stay)
    away = park_out(stand.end, place, True) if stay < FAR else ()
    return [_driver(rng, "car", (*plan[:-1], stand, *away))]


def _aisle(rng: Rng, at: float, who: str = "car", stay: float = 0.0) -> list[Actor]:
    """Drives past the slots, or waits before them."""
    if not stay:
        return [_driver(rng, who, (drive(at, ((-20, AISLE_Y - 1), (20, AISLE_Y - 1)), 5.0),))]
    return [_driver(rng, who, stop_and_go(at, AISLE_Y - 1.6, float(rng.uniform(-4, 4)), stay, 5.0, 1))]


def _stroll(rng: Rng, at: float) -> list[Actor]:
    """A person walks through the car park."""
    return [_person(rng, Walk(at, (-11.0, AISLE_Y), 1.3, []).to((11.0, AISLE_Y)))]


def _visit(rng: Rng, at: float, stay: float, x: float = 2.0, y: float = 5.6, manner: Manner = "talk") -> list[Actor]:
    """Goes into the yard, stays there for `stay`, comes out again on the same side."""
    side = 1.0 if x >= 0 else -1.0
    walk = Walk(at, (side * 9.0, 3.0), float(rng.uniform(1.15, 1.35)), []).to((x, 3.1), (x, y))
    walk.stay(stay, float(rng.uniform(0, 2 * pi)), manner).to((x, 3.1), (side * 9.0, 3.0))
    return [_person(rng, walk)]


def _passes(rng: Rng, at: float, y: float = 2.4, way: int = 1) -> list[Actor]:
    """On the pavement before the yard."""
    return [_person(rng, Walk(at, (-way * 9.0, y), float(rng.uniform(1.1, 1.5)), []).to((way * 9.0, y)))]


def _edge(rng: Rng, at: float, stay: float, x: float = 1.0, y: float = 3.7) -> list[Actor]:
    """Stands on the pavement right before the yard."""
    side = 1.0 if x >= 0 else -1.0
    walk = Walk(at, (side * 9.0, 2.8), 1.3, []).to((x, y)).stay(stay, pi / 2, "talk").to((side * 9.0, 2.8))
    return [_person(rng, walk)]


def _crosses(rng: Rng, at: float, x: float = 1.5, far: float = 8.2, stay: float = 5.0) -> list[Actor]:
    """Walks into the yard over the line at 6.5 m to `far` and comes back over it; nearer, he turns before it."""
    side = 1.0 if x >= 0 else -1.0
    walk = Walk(at, (side * 9.0, 3.0), 1.2, []).to((x, 3.1), (x, far)).stay(stay, pi / 2, "stand")
    return [_person(rng, walk.to((x, 3.1), (side * 9.0, 3.0)))]


def _group(rng: Rng, at: float, stay: float, n: int) -> list[Actor]:
    """n persons come into the yard one after the other and stand about."""
    x0, _, x1, _ = YARD
    actors = []
    for i in range(n):
        x = x0 + 0.9 + (x1 - x0 - 1.8) * (i + 0.5) / n + float(rng.uniform(-0.1, 0.1))
        y = (5.5, 7.6)[i % 2] + float(rng.uniform(-0.2, 0.2))
        side = 1.0 if x >= 0 else -1.0
        walk = Walk(at + 0.7 * i, (side * 9.0, 3.0), 1.3, []).to((x, 3.1), (x, y))
        walk.stay(max(1.0, at + 12.0 + stay - walk.time), float(rng.uniform(0, 2 * pi)), "talk")
        actors.append(_person(rng, walk.to((x, 3.1), (side * 9.0, 3.0))))
    return actors


Act = Callable[..., list[Actor]]
ACTS: Mapping[Scene, Mapping[str, Act]] = {
    "lane": {"stops": _stops, "through": _through, "road": _road, "waits": _waits, "front": _front, "walks": _walks,
             "pallet": _pallet},
    "post": {"guard": _guard, "visitor": _visitor, "at-the-door": _at_the_door},
    "lot": {"parked": _parked, "parks": _parks, "aisle": _aisle, "stroll": _stroll},
    "gate": {"visit": _visit, "passes": _passes, "edge": _edge, "crosses": _crosses, "group": _group, "bag": _bag},
}  # fmt: skip
