"""Who acts, and their plans: a pure function from time to place and pose. Seconds from the start, metres, radians."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import cos, pi, sin
from typing import Literal

import numpy as np
from scipy.spatial import ConvexHull

from smartbox.simulation.camera import Vectors
from smartbox.simulation.compose import Placed
from smartbox.simulation.layout import DESK_TOP, before
from smartbox.simulation.mesh import Mesh
from smartbox.simulation.people import PersonLook, Pose, person_mesh, sitting, standing, walking
from smartbox.simulation.things import ThingLook, thing_mesh
from smartbox.simulation.vehicles import VehicleLook, vehicle_mesh
from smartbox.types import Point

STRIDE = 1.4  # m per two steps
Manner = Literal["stand", "talk", "work", "sit", "park", "halt", "read", "phone", "asleep", "lie"]
Ease = Literal["none", "start", "stop", "both"]


@dataclass(frozen=True)
class Move:
    """Along a path of points; ease: speed up from rest and / or slow down to rest; backwards: tail first."""

    start: float
    end: float
    path: tuple[Point, ...]
    ease: Ease = "none"
    backwards: bool = False

    @cached_property
    def _table(self) -> tuple[Vectors, Vectors]:
        points = np.array(self.path)
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        return points, np.concatenate([[0.0], np.cumsum(steps)])

    def travelled(self, time: float) -> float:
        """Metres since the start of the path."""
        u = min(max((time - self.start) / (self.end - self.start), 0.0), 1.0)
        share = {"none": u, "start": u * u, "stop": 1 - (1 - u) ** 2, "both": u * u * (3 - 2 * u)}[self.ease]
        return float(share * self._table[1][-1])

    def at(self, time: float) -> tuple[float, float, float]:
        """x, y, heading."""
        points, along = self._table
        s = self.travelled(time)
        i = min(max(int(np.searchsorted(along, s, "right")) - 1, 0), len(along) - 2)
        share = (s - along[i]) / max(along[i + 1] - along[i], 1e-9)
        x, y = points[i] + (points[i + 1] - points[i]) * share
        dx, dy = points[i + 1] - points[i]
        return float(x), float(y), float(np.arctan2(dy, dx)) + (pi if self.backwards else 0.0)


@dataclass(frozen=True)
class Stay:
    """In one place. `sit`, `park`, `halt`, `asleep` and `lie` are without any motion; `work` never stops moving.

    Who halts keeps the lamps on, who parks puts them out.
    """

    start: float
    end: float
    place: Point
    heading: float
    manner: Manner


@dataclass(frozen=True)
class Actor:
    """One body and its plan, in order of time; before the first and after the last part it is not there."""

    key: str
    label: str
    look: PersonLook | VehicleLook | ThingLook
    plan: tuple[Move | Stay, ...]
    lamps: bool = False
    phase: float = 0.0
    _starts: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(part.start for part in self.plan))

    def part(self, time: float) -> Move | Stay | None:
        i = bisect_right(self._starts, time) - 1
        return self.plan[i] if i >= 0 and time < self.plan[i].end else None

    def state(self, time: float) -> "State | None":
        part = self.part(time)
        if part is None:
            return None
        x, y, heading = part.at(time) if isinstance(part, Move) else (*part.place, part.heading)
        pose = self._pose(part, time) if isinstance(self.look, PersonLook) else None
        lamps = self.lamps and not (isinstance(part, Stay) and part.manner == "park")
        return State(x, y, heading, pose, lamps)

    def _pose(self, part: Move | Stay, time: float) -> Pose:
        if isinstance(part, Move):
            return self._stride(part, time, 0.0)
        t = time + self.phase
        if part.manner == "work":
            return _working(t)
        if part.manner == "sit":
            return sitting((0.75, 0.8), 0.55, 0.0, 0.12)
        if part.manner in _AT_A_DESK:
            return _AT_A_DESK[part.manner](t)
        if part.manner == "talk":
            lift = 0.9 + 0.5 * sin(2.1 * t)
            return replace(standing(0.05 * sin(0.9 * t)), shoulders=(0.1, lift), elbows=(0.2, 1.1 + 0.3 * sin(3.3 * t)))
        return standing(0.06 * sin(0.7 * t))

    def corners(self, time: float) -> Vectors | None:
        """World points (n x 3) whose box is that of the body, within a pixel or two; None where it is not there.

        Steps are rounded to sixteen a cycle and who stays is taken as at the start of it, so that bodies can be kept.
        """
        part = self.part(time)
        if part is None:
            return None
        if isinstance(part, Stay):
            time = part.start
        state = self.state(time)
        assert state is not None
        pose = state.pose
        if isinstance(part, Move) and pose is not None:
            pose = self._stride(part, time, pi / 8)
        turn = np.array(
            [[cos(state.heading), sin(state.heading), 0], [-sin(state.heading), cos(state.heading), 0], [0, 0, 1]]
        )
        points: Vectors = _hull(self.look, pose) @ turn + np.array([state.x, state.y, 0.0])
        return points

    def _stride(self, part: Move, time: float, step: float) -> Pose:
        phase = self.phase + 2 * pi * part.travelled(time) / STRIDE
        speed = part.travelled(part.end) / (part.end - part.start)
        if step:
            phase = round(phase / step) % round(2 * pi / step) * step
        return walking(phase, min(1.4, 0.35 + 0.5 * speed))

    def place(self, state: "State") -> Placed:
        """The body in the world."""
        beams = None
        if isinstance(self.look, VehicleLook):
            mesh = _vehicle(self.look, state.lamps)
            if state.lamps:
                beams = (state.x, state.y, state.heading, self.look.length / 2)
        elif isinstance(self.look, ThingLook):
            mesh = thing_mesh(self.look)
        else:
            mesh = person_mesh(self.look, state.pose or Pose())
        at_desk = state.pose is not None and state.pose.root is not None
        table = (*before(state.x, state.y, state.heading), DESK_TOP) if at_desk else None
        return Placed(self.label, mesh.moved(state.x, state.y, 0.0, state.heading), beams, self.key, table)


@dataclass(frozen=True)
class State:
    """Where an actor is and how it holds itself; equal states look the same."""

    x: float
    y: float
    heading: float
    pose: Pose | None
    lamps: bool = False


@lru_cache(maxsize=256)
def _vehicle(look: VehicleLook, lamps: bool) -> Mesh:
    return vehicle_mesh(look, lamps)


@lru_cache(maxsize=4096)
def _hull(look: PersonLook | VehicleLook | ThingLook, pose: Pose | None) -> Vectors:
    """The corners of the body's convex hull: all that its box depends on."""
    if isinstance(look, ThingLook):
        body = thing_mesh(look)
    else:
        body = person_mesh(look, pose or Pose()) if isinstance(look, PersonLook) else _vehicle(look, False)
    corners: Vectors = body.points[ConvexHull(body.points).vertices]
    return corners


def _working(t: float) -> Pose:
    """Types, writes, looks about: the arms are never at rest."""
    reach = (0.75 + 0.38 * sin(3.1 * t), 0.8 + 0.4 * sin(2.3 * t + 1.0))
    pose = sitting(reach, 0.2 + 0.18 * sin(1.1 * t), 0.55 * sin(0.8 * t), 0.12 + 0.14 * sin(1.7 * t))
    return replace(pose, elbows=(0.85 + 0.35 * sin(3.7 * t), 0.8 + 0.35 * sin(2.9 * t)))


def _reading(t: float) -> Pose:
    """The head bowed over a book; a page is turned every few seconds."""
    turning = max(0.0, sin(0.9 * t)) ** 4
    pose = sitting((0.9, 0.9 + 0.35 * turning), 0.75 + 0.05 * sin(0.6 * t), 0.12 * sin(0.5 * t), 0.3)
    return replace(pose, elbows=(0.85, 0.85 + 0.3 * turning))


def _on_the_phone(t: float) -> Pose:
    """A phone before the chest, thumbs at work, the head bowed."""
    pose = sitting((0.5, 0.6), 0.75 + 0.05 * sin(0.7 * t), 0.1 * sin(0.4 * t), 0.1)
    return replace(pose, elbows=(1.5 + 0.06 * sin(2.9 * t), 1.5 + 0.08 * sin(3.7 * t)))


def _asleep(_t: float) -> Pose:
    """Head on the desk."""
    return replace(sitting((1.4, 1.35), 0.4, 0.7, 1.05), elbows=(0.5, 0.4), spread=0.35)


def _lying(_t: float) -> Pose:
    """On the floor."""
    return Pose(lying=True, hips=(0.5, 0.1), knees=(0.9, 0.2), shoulders=(0.3, -0.1), spread=0.3)


_AT_A_DESK: Mapping[str, Callable[[float], Pose]] = {
    "read": _reading,
    "phone": _on_the_phone,
    "asleep": _asleep,
    "lie": _lying,
}


def curve(start: Point, control: Point, end: Point, steps: int = 24) -> tuple[Point, ...]:
    """A quadratic Bézier curve as points."""
    u = np.linspace(0, 1, steps)[:, None]
    p = (1 - u) ** 2 * np.array(start) + 2 * u * (1 - u) * np.array(control) + u**2 * np.array(end)
    return tuple((float(x), float(y)) for x, y in p)
