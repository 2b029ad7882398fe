"""Motorcycles and bicycles, and how one sits on them. Local axes as vehicles'."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from smartbox.simulation.camera import Vectors
from smartbox.simulation.mesh import Colour, Mesh, box, disc, ellipsoid, limb, merge, shift
from smartbox.simulation.people import CLOTHES, Pose
from smartbox.simulation.vehicles import PAINTS, TYRE

CycleKind = Literal["motorcycle", "bicycle"]
DARK: Colour = (36, 36, 38)
STEEL: Colour = (135, 138, 140)


@dataclass(frozen=True)
class CycleLook:
    """scooter: a motorcycle with a leg shield and small wheels; box: a carrier behind."""

    kind: CycleKind
    paint: Colour
    seat: Colour
    scooter: bool
    box: bool


def random_cycle(rng: np.random.Generator, kind: CycleKind) -> CycleLook:
    b, g, r = np.clip(np.array(PAINTS[rng.integers(len(PAINTS))]) * rng.uniform(0.8, 1.2), 8, 240)
    seat = CLOTHES[rng.integers(0, 4)]
    return CycleLook(kind, (float(b), float(g), float(r)), seat, bool(rng.random() < 0.5), bool(rng.random() < 0.25))


def riding(kind: CycleKind, phase: float = 0.0) -> Pose:
    """Feet on the pegs, or on the pedals at `phase`."""
    if kind == "motorcycle":
        return Pose(
            hips=(1.15, 1.15), knees=(1.35, 1.35), shoulders=(0.95, 0.95), elbows=(0.35, 0.35), lean=0.3, bow=-0.15,
            spread=0.45, root=0.8,
        )  # fmt: skip
    push = 0.35 * np.sin(phase)
    return Pose(
        hips=(0.85 + push, 0.85 - push), knees=(1.1 + 1.2 * push, 1.1 - 1.2 * push), shoulders=(1.0, 1.0),
        elbows=(0.2, 0.2), lean=0.45, bow=-0.25, spread=0.25, root=0.95,
    )  # fmt: skip


def helmet(rng: np.random.Generator) -> Colour:
    return CLOTHES[rng.integers(len(CLOTHES))]


def cycle_mesh(look: CycleLook, lamps: bool = False) -> Mesh:
    parts = _motorcycle(look) if look.kind == "motorcycle" else _bicycle(look)
    front = _at(0.62 if look.kind == "motorcycle" else 0.5, 0.0, 0.85)
    lamp = ellipsoid(front, (0.07, 0.09, 0.09), (215.0, 225.0, 230.0), 4, 8)
    if lamps:
        lamp = replace(lamp, glow=np.ones(len(lamp.glow)))
    return merge([*parts, lamp])


def _at(x: float, y: float, z: float) -> Vectors:
    return np.array([x, y, z])


def _wheel(x: float, radius: float, tyre: float, spokes: Colour) -> list[Mesh]:
    """A tyre with a disc of another colour on both sides."""
    rim = 0.78 if tyre < 0.03 else 0.6
    centre = _at(x, 0.0, radius)
    parts = [limb(shift(centre, y=-tyre), shift(centre, y=tyre), (radius, radius), TYRE, 14)]
    for side in (-1.0, 1.0):
        out = _at(0.0, side, 0.0)
        parts.append(disc(centre + out * tyre * 1.7, out, radius * rim, spokes, 0.05, 0.2))
    return parts


def _motorcycle(look: CycleLook) -> list[Mesh]:
    radius, base = (0.24, 0.62) if look.scooter else (0.31, 0.68)
    parts = [*_wheel(base, radius, 0.06, STEEL), *_wheel(-base, radius, 0.07, STEEL)]
    for side in (-0.07, 0.07):
        parts.append(limb(_at(base, side, radius), _at(0.48, side, 0.85), (0.025, 0.025), STEEL, 5))
        parts.append(limb(_at(-base, side, radius), _at(-0.1, side, 0.45), (0.03, 0.03), DARK, 5))
    parts.append(limb(_at(0.5, -0.36, 1.02), _at(0.5, 0.36, 1.02), (0.02, 0.02), DARK, 5))
    parts.append(ellipsoid(_at(-0.42, 0.0, 0.76), (0.42, 0.13, 0.08), look.seat, 4, 10))
    parts.append(ellipsoid(_at(-0.4, 0.0, 0.62), (0.45, 0.12, 0.14), look.paint, 5, 10))
    if look.scooter:
        parts.append(box((-0.1, -0.16, 0.2), (0.35, 0.16, 0.28), look.paint, 0.3))
        parts.append(limb(_at(0.42, 0.0, 0.28), _at(0.5, 0.0, 0.95), (0.2, 0.2, 0.12), look.paint, 8))
    else:
        parts.append(ellipsoid(_at(0.12, 0.0, 0.78), (0.3, 0.14, 0.15), look.paint, 5, 10))
        parts.append(ellipsoid(_at(0.05, 0.0, 0.42), (0.25, 0.15, 0.2), (70.0, 72.0, 74.0), 5, 8))
        parts.append(limb(_at(0.0, -0.16, 0.3), _at(-0.75, -0.17, 0.38), (0.035, 0.05), STEEL, 6))
    for part in parts:
        part.gloss[:] = np.maximum(part.gloss, 0.25)
    parts.append(box((-0.98, -0.09, 0.5), (-0.93, 0.09, 0.62), (30.0, 26.0, 170.0)))
    if look.box:
        parts.append(box((-1.0, -0.22, 0.82), (-0.6, 0.22, 1.2), look.seat))
    return parts


def _bicycle(look: CycleLook) -> list[Mesh]:
    base, radius = 0.52, 0.34
    parts = [*_wheel(base, radius, 0.018, (120.0, 124.0, 126.0)), *_wheel(-base, radius, 0.018, (120.0, 124.0, 126.0))]
    crank, saddle, head = _at(-0.05, 0.0, 0.3), _at(-0.22, 0.0, 0.85), _at(0.38, 0.0, 0.85)
    tubes = ((crank, saddle), (crank, head), (saddle, head), (crank, _at(-base, 0, radius)),
             (saddle, _at(-base, 0, radius)), (head, _at(base, 0, radius)))  # fmt: skip
    parts += [limb(a, b, (0.022, 0.022), look.paint, 5) for a, b in tubes]
    parts.append(limb(_at(0.4, -0.28, 1.0), _at(0.4, 0.28, 1.0), (0.016, 0.016), DARK, 5))
    parts.append(limb(head, _at(0.4, 0.0, 1.0), (0.018, 0.018), STEEL, 5))
    parts.append(ellipsoid(_at(-0.24, 0.0, 0.9), (0.14, 0.07, 0.04), look.seat, 3, 8))
    return parts
