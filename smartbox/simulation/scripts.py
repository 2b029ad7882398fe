"""What happens before each camera: the plans of all actors, drawn from the seed. 180 s a round.

Whatever breaks a rule does so for clearly longer than the demo's dwell, or for clearly less: a detector that misses
a frame must not decide it. Each scene has its hard negatives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import dist, pi

import numpy as np

from smartbox.simulation.actors import Actor, Ease, Manner, Move, Stay, curve
from smartbox.simulation.people import random_guard, random_person
from smartbox.simulation.stages import AISLE_Y, LANE_Y, ROAD_Y, SCENES, SEAT, SLOT_X, SLOT_Y, YARD, Scene
from smartbox.simulation.vehicles import VehicleKind, VehicleLook, random_vehicle
from smartbox.types import Point

ROUND = 180.0  # s
Rng = np.random.Generator


def cast(scene: Scene, seed: int, night: bool = False) -> tuple[Actor, ...]:
    """All actors of one round."""
    rng = np.random.default_rng([seed, SCENES.index(scene), 1])
    make: Callable[[Rng, bool], list[Actor]] = {"post": _post, "lane": _lane, "lot": _lot, "gate": _gate}[scene]
    return tuple(make(rng, night))


@dataclass
class Walk:
    """Builds a plan of walking and standing: the time runs on with each part."""

    time: float
    place: Point
    speed: float
    parts: list[Move | Stay]

    def to(self, *path: Point) -> "Walk":
        points = (self.place, *path)
        length = sum(dist(a, b) for a, b in pairwise(points))
        self.parts.append(Move(self.time, self.time + length / self.speed, points))
        self.time, self.place = self.time + length / self.speed, path[-1]
        return self

    def stay(self, seconds: float, heading: float, manner: Manner = "stand") -> "Walk":
        self.parts.append(Stay(self.time, self.time + seconds, self.place, heading, manner))
        self.time += seconds
        return self


def _post(rng: Rng, _night: bool) -> list[Actor]:
    """A guard arrives, works, sleeps at the desk for long, works, nods off for a moment, works and leaves."""
    out: Point = (2.35, -1.3)
    x, y, heading = SEAT
    seat: Point = (x, y)
    way: tuple[Point, ...] = ((1.9, 1.2), (1.25, 2.75), (0.6, 2.7), seat)
    walk = Walk(float(rng.uniform(2, 5)), out, float(rng.uniform(0.9, 1.2)), []).to(*way)
    walk.stay(rng.uniform(16, 24), heading, "work")
    walk.stay(rng.uniform(26, 34), heading, "asleep")
    walk.stay(rng.uniform(18, 26), heading, "work")
    walk.stay(rng.uniform(2.5, 4.0), heading, "asleep")
    walk.stay(rng.uniform(16, 22), heading, "work")
    walk.to(*reversed(way[:-1]), out)
    return [Actor("guard", "person", random_guard(rng), tuple(walk.parts), phase=float(rng.uniform(0, 6)))]


def drive(start: float, path: tuple[Point, ...], speed: float, ease: Ease = "none", backwards: bool = False) -> Move:
    """At `speed` m/s; easing takes longer by the share that it slows down."""
    length = sum(dist(a, b) for a, b in pairwise(path))
    slower = {"none": 1.0, "start": 2.0, "stop": 2.0, "both": 1.5}[ease]
    return Move(start, start + slower * length / speed, path, ease, backwards)


def stop_and_go(
    start: float, y: float, at: float, seconds: float, speed: float, way: int, far: float = 22.0
) -> tuple[Move | Stay, ...]:
    """Drives in along x, stops at `at` for so long, drives on."""
    brake, pull = 6.0, 6.0
    first = drive(start, ((-way * far, y), (at - way * brake, y)), speed)
    slow = drive(first.end, ((at - way * brake, y), (at, y)), speed, "stop")
    stand = Stay(slow.end, slow.end + seconds, (at, y), 0.0 if way > 0 else pi, "halt")
    away = drive(stand.end, ((at, y), (at + way * pull, y)), speed, "start")
    return first, slow, stand, away, drive(away.end, ((at + way * pull, y), (way * far, y)), speed)


def _kind(rng: Rng, cars: float = 0.65) -> VehicleKind:
    rest = (1 - cars) / 2
    return ("car", "truck", "bus")[int(rng.choice(3, p=[cars, rest, rest]))]


def _lane(rng: Rng, night: bool) -> list[Actor]:
    """One vehicle stops in the fire lane for long, one for a moment, some drive through; the road behind is busy."""
    middle = sum(LANE_Y) / 2
    actors: list[Actor] = []

    def add(look: VehicleLook, plan: tuple[Move | Stay, ...]) -> None:
        actors.append(Actor(f"{look.kind}{len(actors) + 1}", look.kind, look, plan, lamps=night))

    through = float(rng.uniform(4, 8))
    way = int(rng.choice([-1, 1]))
    add(
        random_vehicle(rng, "car"),
        (drive(through, ((-way * 22, middle), (way * 22, middle)), float(rng.uniform(6, 8))),),
    )
    long_stop = float(rng.uniform(20, 26))
    kind: VehicleKind = "car" if rng.random() < 0.7 else "truck"
    plan = stop_and_go(
        long_stop, middle, float(rng.uniform(-3, 3)), float(rng.uniform(26, 34)), float(rng.uniform(5, 6.5)), way
    )
    add(random_vehicle(rng, kind), plan)
    short = plan[-1].end + float(rng.uniform(16, 22))
    brief = stop_and_go(
        short, middle, float(rng.uniform(-3, 3)), float(rng.uniform(1.0, 2.5)), float(rng.uniform(6, 7)), -way
    )
    add(random_vehicle(rng, "car"), brief)
    last = brief[-1].end + float(rng.uniform(12, 20))
    add(random_vehicle(rng, "car"), (drive(last, ((-way * 22, middle), (way * 22, middle)), float(rng.uniform(6, 8))),))
    for direction, y in ((1, ROAD_Y[0] + 1.6), (-1, ROAD_Y[1] - 1.6)):
        start = float(rng.uniform(0, 6))
        while start < ROUND - 25:
            speed = float(rng.uniform(8, 11))
            add(random_vehicle(rng, _kind(rng)), (drive(start, ((-direction * 34, y), (direction * 34, y)), speed),))
            start += float(rng.uniform(11, 26))
    return actors


def _lot(rng: Rng, night: bool) -> list[Actor]:
    """Two slots are free at first; both fill, the lot is full, then one car leaves. Others drive past."""
    wide = 2.6
    centres = [x + wide / 2 for x in SLOT_X]
    middle = sum(SLOT_Y) / 2
    empty = [int(i) for i in rng.choice(6, 2, replace=False)]
    leaver = int(rng.choice([i for i in range(6) if i not in empty]))
    actors: list[Actor] = []
    leave = float(rng.uniform(58, 66))
    for i, x in enumerate(centres):
        if i in empty:
            continue
        nose_in = bool(rng.random() < 0.6)
        place: Point = (x + float(rng.uniform(-0.15, 0.15)), middle + float(rng.uniform(-0.2, 0.2)))
        heading = pi / 2 if nose_in else -pi / 2
        look = random_vehicle(rng, "car")
        plan: tuple[Move | Stay, ...] = (Stay(0.0, ROUND, place, heading, "park"),)
        if i == leaver:
            plan = (Stay(0.0, leave, place, heading, "park"), *park_out(leave, place, nose_in))
        actors.append(Actor(f"car{i + 1}", "car", look, plan, lamps=night and i == leaver))
    arrive = float(rng.uniform(5, 9))
    for i in empty:
        plan = park_in(arrive, (centres[i], middle))
        actors.append(Actor(f"car{i + 1}", "car", random_vehicle(rng, "car"), plan, lamps=night))
        arrive = plan[1].end + float(rng.uniform(3, 6))
    past = float(rng.uniform(96, 110))
    actors.append(
        Actor(
            "car7",
            "car",
            random_vehicle(rng, "car"),
            (drive(past, ((-20, AISLE_Y - 1), (20, AISLE_Y - 1)), 5.0),),
            lamps=night,
        )
    )
    walk = Walk(float(rng.uniform(115, 125)), (-11.0, AISLE_Y), 1.3, []).to((11.0, AISLE_Y))
    actors.append(Actor("walker", "person", random_person(rng), tuple(walk.parts)))
    return actors


def park_in(start: float, slot: Point) -> tuple[Move | Stay, ...]:
    """Along the aisle from the left, then round into the slot, nose first."""
    x, y = slot
    corner: Point = (x - 4.0, AISLE_Y - 1)
    along = drive(start, ((-20.0, AISLE_Y - 1), corner), 5.0)
    turn = curve(corner, (x, AISLE_Y - 1), (x, AISLE_Y + 2.5))
    swing = drive(along.end, (*turn, (x, y)), 3.5, "stop")
    return along, swing, Stay(swing.end, ROUND, (x, y), pi / 2, "park")


def park_out(start: float, place: Point, nose_in: bool) -> tuple[Move | Stay, ...]:
    """Out of the slot and away to the right; backwards first when it stands nose in."""
    x, y = place
    if not nose_in:
        turn = ((x, y), *curve((x, AISLE_Y + 2.5), (x, AISLE_Y - 1), (x + 4.0, AISLE_Y - 1)))
        swing = drive(start, turn, 3.0, "start")
        return swing, drive(swing.end, ((x + 4.0, AISLE_Y - 1), (22.0, AISLE_Y - 1)), 6.0)
    turn = ((x, y), *curve((x, AISLE_Y + 2.5), (x, AISLE_Y - 1), (x - 4.0, AISLE_Y - 1)))
    swing = drive(start, turn, 2.5, "both", backwards=True)
    return swing, drive(swing.end + 0.5, ((x - 4.0, AISLE_Y - 1), (22.0, AISLE_Y - 1)), 5.0, "start")


def _gate(rng: Rng, _night: bool) -> list[Actor]:
    """Persons pass outside; two, one after the other, go into the yard, stay a while and come out again."""
    x0, y0, x1, y1 = YARD
    actors: list[Actor] = []

    def add(walk: Walk) -> None:
        actors.append(
            Actor(
                f"person{len(actors) + 1}",
                "person",
                random_person(rng),
                tuple(walk.parts),
                phase=float(rng.uniform(0, 6)),
            )
        )

    start = float(rng.uniform(6, 10))
    for _ in range(2):
        side = int(rng.choice([-1, 1]))
        speed = float(rng.uniform(1.1, 1.4))
        inside: Point = (float(rng.uniform(x0 + 1.6, x1 - 1.6)), float(rng.uniform(y0 + 1.8, y0 + 3.4)))
        second: Point = (float(rng.uniform(x0 + 1.6, x1 - 1.6)), float(rng.uniform(y0 + 1.8, y1 - 2.6)))
        walk = Walk(start, (side * 9.0, 3.0), speed, []).to((inside[0], 3.1), inside)
        walk.stay(rng.uniform(5, 9), float(rng.uniform(0, 2 * pi)), "talk").to(second)
        walk.stay(rng.uniform(3, 6), float(rng.uniform(0, 2 * pi)), "stand")
        walk.to((second[0], 3.1), (-side * 9.0, 3.0))
        add(walk)
        start = walk.time + float(rng.uniform(12, 20))
    passing = float(rng.uniform(1, 4))
    while passing < ROUND - 25:
        side = int(rng.choice([-1, 1]))
        y = float(rng.uniform(2.0, 2.6))
        add(Walk(passing, (side * 9.0, y), float(rng.uniform(1.1, 1.6)), []).to((-side * 9.0, y)))
        passing += float(rng.uniform(22, 40))
    return actors
