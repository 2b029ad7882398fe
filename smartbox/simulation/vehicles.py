"""Vehicles as lofted bodies with windows, wheels and lamps. Local axes: x forward, y left, z up; metres."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from smartbox.simulation.camera import Vectors
from smartbox.simulation.mesh import Colour, Mesh, box, disc, limb, loft, merge, patch

VehicleKind = Literal["car", "bus", "truck"]

GLASS: Colour = (42, 36, 30)
TYRE: Colour = (26, 26, 27)
DARK: Colour = (38, 37, 36)

# Paint of cars on the road, roughly by frequency (BGR).
PAINTS: tuple[Colour, ...] = (
    (228, 230, 231), (215, 218, 220), (24, 23, 22), (40, 38, 37), (96, 95, 94), (130, 130, 128), (172, 172, 170),
    (188, 190, 190), (110, 52, 24), (70, 40, 22), (34, 30, 140), (28, 24, 178), (46, 40, 92), (70, 84, 52),
    (120, 150, 168), (60, 120, 190), (40, 150, 205), (150, 100, 60), (60, 50, 46), (90, 110, 122),
)  # fmt: skip

# Side profile of car bodies: (share of the length from the rear, height of the top in m).
Profile = tuple[tuple[float, float], ...]
SEDAN: Profile = (
    (0, 0.62), (0.012, 0.9), (0.05, 0.99), (0.15, 1.02), (0.23, 1.26), (0.3, 1.40), (0.37, 1.45),
    (0.45, 1.47), (0.52, 1.45), (0.58, 1.38), (0.64, 1.2), (0.72, 0.98), (0.84, 0.91), (0.94, 0.80), (0.985, 0.68),
    (1, 0.5),
)  # fmt: skip
HATCH: Profile = (
    (0, 0.66), (0.01, 0.96), (0.03, 1.04), (0.07, 1.3), (0.12, 1.44), (0.2, 1.49), (0.32, 1.52),
    (0.44, 1.52), (0.52, 1.49), (0.6, 1.36), (0.66, 1.2), (0.75, 1.0), (0.86, 0.93), (0.95, 0.82), (0.985, 0.68),
    (1, 0.5),
)  # fmt: skip
SUV: Profile = (
    (0, 0.72), (0.008, 1.02), (0.02, 1.14), (0.05, 1.45), (0.09, 1.66), (0.18, 1.72), (0.32, 1.74),
    (0.46, 1.74), (0.53, 1.7), (0.6, 1.52), (0.67, 1.28), (0.74, 1.14), (0.87, 1.08), (0.96, 0.96), (0.99, 0.76),
    (1, 0.55),
)  # fmt: skip
PICKUP: Profile = (
    (0, 0.78), (0.005, 1.05), (0.02, 1.1), (0.2, 1.1), (0.36, 1.1), (0.4, 1.4), (0.43, 1.68),
    (0.5, 1.74), (0.58, 1.73), (0.63, 1.62), (0.69, 1.32), (0.75, 1.14), (0.88, 1.08), (0.97, 0.98), (0.99, 0.78),
    (1, 0.6),
)  # fmt: skip


@dataclass(frozen=True)
class VehicleLook:
    """One vehicle's body: everything that its shape and paint depend on. Metres."""

    kind: VehicleKind
    body: str
    length: float
    width: float
    height: float
    paint: Colour
    second: Colour
    seed: int


def random_vehicle(rng: np.random.Generator, kind: VehicleKind) -> VehicleLook:
    """A plausible vehicle of the kind."""
    paint = _jitter(PAINTS[rng.integers(len(PAINTS))], rng)
    second = _jitter(tuple(rng.uniform(20, 230, 3)), rng)
    seed = int(rng.integers(1 << 31))
    if kind == "car":
        body = str(rng.choice(["sedan", "hatch", "suv", "sedan", "hatch", "suv", "pickup"]))
        size = {"sedan": (4.5, 1.8), "hatch": (4.0, 1.75), "suv": (4.5, 1.87), "pickup": (5.2, 1.87)}[body]
        k = rng.uniform(0.93, 1.08)
        return VehicleLook(
            "car", body, size[0] * k, size[1] * rng.uniform(0.97, 1.05), rng.uniform(0.95, 1.06), paint, second, seed
        )
    if kind == "bus":
        paint = paint if rng.random() < 0.5 else _jitter(tuple(rng.uniform(30, 240, 3)), rng)
        body = str(rng.choice(["city", "coach", "mini"], p=[0.5, 0.35, 0.15]))
        length = {"city": 11.5, "coach": 12.0, "mini": 7.2}[body] * rng.uniform(0.9, 1.05)
        height = {"city": 3.05, "coach": 3.5, "mini": 2.7}[body] * rng.uniform(0.97, 1.04)
        return VehicleLook("bus", body, length, 2.5 if body != "mini" else 2.15, height, paint, second, seed)
    body = str(rng.choice(["box", "box", "flat", "tank", "tarp", "tipper"]))
    length = rng.uniform(5.8, 10.5)
    width = 2.1 + 0.06 * (length - 5.8)
    return VehicleLook(
        "truck", body, length, width, 2.5 + 0.2 * (length - 5.8) * rng.uniform(0.7, 1.1), paint, second, seed
    )


def vehicle_mesh(look: VehicleLook, lamps: bool = False) -> Mesh:
    """The body in local axes; `lamps`: head and tail lights burn."""
    make = {"car": _car, "bus": _bus, "truck": _truck}[look.kind]
    body = make(look, 1.0 if lamps else 0.0)
    # The faces of long bodies are large: what lies on them must be drawn after them from any side.
    return body if look.kind == "car" else replace(body, lift=body.lift * 3)


def _jitter(colour: Sequence[float], rng: np.random.Generator) -> Colour:
    b, g, r = np.clip(np.asarray(colour) * rng.uniform(0.85, 1.15) + rng.normal(0, 5, 3), 8, 245)
    return float(b), float(g), float(r)


def _shade(colour: Colour, by: float) -> Colour:
    return colour[0] * by, colour[1] * by, colour[2] * by


def _section(half: float, roof: float, floor: float, belt: float, top: float) -> Vectors:
    """A closed ring (y, z) across the body, from the right floor up over the roof to the left floor."""
    knee = max(belt, min(top - 0.04, top))
    right = [
        (0.86 * half, floor), (half, floor + 0.14), (1.0 * half, (floor + belt) / 2 + 0.08), (0.965 * half, belt),
        (roof, max(knee - 0.02, belt + 0.004)), (0.55 * roof, top),
    ]  # fmt: skip
    return np.array([(-y, z) for y, z in right] + [(y, z) for y, z in reversed(right)])


def _car(look: VehicleLook, glow: float) -> Mesh:
    profile = {"sedan": SEDAN, "hatch": HATCH, "suv": SUV, "pickup": PICKUP}[look.body]
    length, half = look.length, look.width / 2
    floor = 0.2 if look.body in {"sedan", "hatch"} else 0.3
    belt0 = {"sedan": 0.93, "hatch": 0.97, "suv": 1.1, "pickup": 1.06}[look.body]
    rings = []
    for t, z in profile:
        top = z * look.height
        belt = min(belt0 * look.height, top - 0.03)
        slim = half * (1 - 0.13 * (2 * abs(t - 0.5)) ** 5)
        cabin = np.clip((top - belt) / 0.45, 0, 1)
        lifted = floor + 0.12 * (2 * abs(t - 0.5)) ** 8
        ring = _section(slim, slim * (0.95 - 0.2 * cabin), lifted, belt, top)
        rings.append(np.column_stack([np.full(len(ring), (t - 0.5) * length), ring]))
    stacked = np.array(rings)
    body = loft(stacked, look.paint, gloss=0.55)
    _glaze(body, profile, belt0, look)
    return merge(
        [
            body,
            *_wheels(look, (0.17, 0.81) if look.body != "pickup" else (0.2, 0.82), 0.33),
            *_lights(look, glow),
            *_mirrors(look, belt0),
        ]
    )


def _glaze(body: Mesh, profile: Profile, belt0: float, look: VehicleLook) -> None:
    """Turn the faces between belt and roof, and the steep faces of the cabin, into glass."""
    strips = len(profile) - 1
    grid = np.arange(strips * 12).reshape(strips, 12)
    glass: list[int] = []
    for i in range(strips):
        (t0, z0), (t1, z1) = profile[i], profile[i + 1]
        cabin = min(z0, z1) > belt0 + 0.12
        middle = 0.405 < (t0 + t1) / 2 < 0.42
        if cabin and not middle:
            glass += [int(grid[i, 3]), int(grid[i, 7])]
        if max(z0, z1) > belt0 + 0.2 and abs(z1 - z0) / ((t1 - t0) * look.length) > 0.42:
            glass += [int(f) for f in grid[i, 4:7]]
    body.colour[glass] = GLASS
    body.gloss[glass] = 0.95
    body.colour[grid[:, 11]] = DARK
    body.colour[grid[:, 0]] = _shade(look.paint, 0.55)
    body.colour[grid[:, 10]] = _shade(look.paint, 0.55)


def _wheels(look: VehicleLook, shares: Sequence[float], radius: float) -> list[Mesh]:
    hub: Colour = (150, 152, 154) if look.kind == "car" else (120, 120, 122)
    parts = []
    for share in shares:
        for side in (-1.0, 1.0):
            x, y = (share - 0.5) * look.length, side * (look.width / 2 + 0.005)
            out = np.array([0.0, side, 0.0])
            parts.append(disc(np.array([x, y - side * 0.01, radius * 1.08]), out, radius * 1.18, (16, 16, 16), 0.32))
            parts.append(disc(np.array([x, y, radius]), out, radius, TYRE, 0.36))
            parts.append(disc(np.array([x, y + side * 0.01, radius]), out, radius * 0.62, hub, 0.4, gloss=0.3))
            parts.append(disc(np.array([x, y + side * 0.015, radius]), out, radius * 0.2, DARK, 0.42))
            across = np.array([0.0, side, 0.0])
            parts.append(
                limb(
                    np.array([x, y - side * 0.22, radius]),
                    np.array([x, y, radius]) - across * 0.02,
                    (radius * 0.97,) * 2,
                    TYRE,
                    10,
                )
            )
    return parts


def _plate(x: float, z: float, forward: bool, half: float = 0.26) -> Mesh:
    return _end(x, -half, half, z - 0.06, z + 0.06, forward, (205, 208, 210))


def _end(
    x: float,
    y0: float,
    y1: float,
    z0: float,
    z1: float,
    forward: bool,
    colour: Colour,
    gloss: float = 0.2,
    glow: float = 0.0,
) -> Mesh:
    """A quad on the front (`forward`) or rear of a body."""
    corners = np.array([[x, y0, z0], [x, y1, z0], [x, y1, z1], [x, y0, z1]])
    return patch(corners if forward else corners[::-1], colour, gloss, glow, lift=0.35)


def _lights(look: VehicleLook, glow: float) -> list[Mesh]:
    half, nose, tail = look.width / 2, look.length / 2 + 0.01, -look.length / 2 - 0.01
    high = 0.68 * look.height if look.body in {"sedan", "hatch"} else 0.82 * look.height
    white: Colour = (225, 240, 245) if glow else (190, 195, 198)
    red: Colour = (40, 30, 235) if glow else (30, 24, 150)
    parts = [_plate(nose, 0.42, True), _plate(tail, 0.75, False)]
    parts.append(_end(nose, -half * 0.45, half * 0.45, 0.5, 0.62, True, DARK))
    for side in (-1.0, 1.0):
        a, b = sorted((side * half * 0.52, side * half * 0.86))
        parts.append(_end(nose, a, b, high - 0.09, high + 0.05, True, white, 0.5, glow))
        parts.append(_end(tail, a, b, high + 0.05, high + 0.2, False, red, 0.3, glow * 0.9))
    parts.append(_end(tail, -half * 0.8, half * 0.8, 0.32, 0.46, False, _shade(look.paint, 0.45)))
    return parts


def _mirrors(look: VehicleLook, belt: float) -> list[Mesh]:
    half, x = look.width / 2, 0.14 * look.length
    return [
        box(
            (x - 0.06, s * half - 0.02, belt),
            (x + 0.08, s * half + s * 0.17 + 0.02, belt + 0.13),
            _shade(look.paint, 0.8),
            0.4,
        )
        for s in (-1.0, 1.0)
    ]


def _side(
    x0: float,
    x1: float,
    y: float,
    z0: float,
    z1: float,
    colour: Colour,
    gloss: float = 0.0,
    glow: float = 0.0,
    lift: float = 0.3,
) -> Mesh:
    """A quad on the left (y > 0) or right side."""
    corners = np.array([[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]])
    return patch(corners[::-1] if y > 0 else corners, colour, gloss, glow, lift)


def _hull(
    x0: float,
    x1: float,
    half: float,
    z0: float,
    z1: float,
    colour: Colour,
    steps: int,
    crown: float = 0.12,
    gloss: float = 0.3,
) -> Mesh:
    """A long box with rounded roof edges, cut into `steps` so that painting by depth works along it."""
    ring = np.array(
        [
            (-half, z0), (-half, (z0 + z1) / 2), (-half, z1 - crown), (-half + crown * 0.8, z1),
            (half - crown * 0.8, z1),             (half, z1 - crown), (half, (z0 + z1) / 2), (half, z0),
        ]
    )  # fmt: skip
    xs = np.linspace(x0, x1, steps + 1)
    return loft(np.array([np.column_stack([np.full(8, x), ring]) for x in xs]), colour, gloss)


def _bus(look: VehicleLook, glow: float) -> Mesh:
    rng = np.random.default_rng(look.seed)
    half, nose = look.width / 2, look.length / 2
    sill = 0.32 if look.body == "city" else 0.38
    low = rng.uniform(0.95, 1.25) if look.body != "coach" else rng.uniform(1.35, 1.7)
    top = look.height - rng.uniform(0.35, 0.5)
    parts = [_hull(-nose, nose, half, sill, look.height, look.paint, 14, 0.18)]
    inside = 0.55 * glow if rng.random() < 0.6 else 0.0
    pane: Colour = GLASS if not inside else (120, 150, 160)
    n = int(rng.integers(5, 9))
    edges = np.linspace(-nose + 0.45, nose - 0.5, n + 1)
    gap = rng.uniform(0.04, 0.14)
    stripe = rng.random() < 0.6
    for y in (-half - 0.012, half + 0.012):
        for a, b in pairwise(edges):
            parts.append(_side(a + gap / 2, b - gap / 2, y, low, top, pane, 0.9, inside, 0.35))
            if stripe:
                parts.append(_side(a, b, y, low - rng.uniform(0.3, 0.32), low - 0.06, look.second, 0.3, 0.0, 0.3))
                parts.append(_side(a, b, y, sill + 0.02, sill + 0.22, _shade(look.second, 0.8), 0.2, 0.0, 0.3))
        if y < 0:  # doors on the kerb side
            for x in (nose - 1.5, -0.6):
                parts.append(_side(x, x + 1.0, y, sill + 0.1, top, GLASS, 0.9, inside, 0.4))
    parts.append(
        _end(
            nose + 0.012,
            -half * 0.92,
            half * 0.92,
            low - 0.1,
            top + 0.02,
            True,
            pane if inside else GLASS,
            0.95,
            inside * 0.6,
        )
    )
    parts.append(_end(-nose - 0.012, -half * 0.8, half * 0.8, low + 0.15, top, False, GLASS, 0.9))
    parts.append(
        _end(
            nose + 0.014,
            -half * 0.6,
            half * 0.6,
            top + 0.06,
            look.height - 0.1,
            True,
            (20, 120, 200) if glow else DARK,
            0.2,
            glow,
        )
    )
    parts += [_plate(nose + 0.014, 0.55, True), _plate(-nose - 0.014, 0.7, False)]
    for s in (-1.0, 1.0):
        a, b = sorted((s * half * 0.6, s * half * 0.92))
        parts.append(_end(nose + 0.014, a, b, 0.62, 0.82, True, (225, 240, 245), 0.5, glow))
        parts.append(_end(-nose - 0.014, a, b, 0.8, 1.15, False, (40, 30, 200), 0.3, glow))
        parts.append(
            box((nose - 0.1, s * half - 0.03, top - 0.5), (nose + 0.2, s * half + s * 0.22 + 0.03, top - 0.1), DARK)
        )
    if rng.random() < 0.5:
        parts.append(_hull(-2.0, 1.0, half * 0.7, look.height - 0.05, look.height + 0.22, _shade(look.paint, 0.9), 3))
    parts += _wheels(look, (0.22, 0.8), 0.46)
    return merge(parts)


def _truck(look: VehicleLook, glow: float) -> Mesh:
    rng = np.random.default_rng(look.seed)
    half, nose, tail = look.width / 2, look.length / 2, -look.length / 2
    cab = min(2.0, 0.3 * look.length)
    high = min(look.height, rng.uniform(2.15, 2.5) + 0.1 * (look.length - 5.8))
    bed = 0.85
    wedge = np.array(
        [(0.0, high * 0.97), (0.12, high), (0.62, high), (0.85, high * 0.8), (0.97, high * 0.5), (1.0, 0.62)]
    )
    rings = []
    for t, top in wedge:
        ring = _section(half * 0.96, half * 0.9, 0.45, min(1.25, top - 0.05), float(top))
        rings.append(np.column_stack([np.full(len(ring), nose - cab + t * cab), ring]))
    front = loft(np.array(rings), look.paint, 0.4)
    grid = np.arange(5 * 12).reshape(5, 12)
    glass = [*grid[2:4, 4:7].ravel(), *grid[1:3, 3], *grid[1:3, 7]]
    front.colour[glass], front.gloss[glass] = GLASS, 0.95
    chassis = _hull(tail + 0.1, nose - cab * 0.3, half * 0.75, 0.45, bed, (44, 44, 46), 8, 0.03, 0.0)
    parts = [front, chassis, *_cargo(look, rng, tail, nose - cab - 0.12, bed)]
    for s in (-1.0, 1.0):
        a, b = sorted((s * half * 0.55, s * half * 0.88))
        parts.append(_end(nose + 0.015, a, b, 0.62, 0.8, True, (225, 240, 245), 0.5, glow))
        parts.append(_end(tail - 0.015, a, b, 0.6, 0.82, False, (40, 30, 200), 0.3, glow))
        parts.append(box((nose - 0.5, s * half - 0.02, 1.35), (nose - 0.38, s * half + s * 0.24 + 0.02, 1.85), DARK))
    parts += [_plate(nose + 0.015, 0.55, True), _plate(tail - 0.015, 0.62, False)]
    parts.append(_end(nose + 0.012, -half * 0.5, half * 0.5, 0.72, 1.05, True, _shade(DARK, 0.8)))
    shares = (0.2, 0.84) if look.length < 8 else (0.12, 0.26, 0.86)
    parts += _wheels(look, shares, 0.42)
    return merge(parts)


def _cargo(look: VehicleLook, rng: np.random.Generator, x0: float, x1: float, bed: float) -> list[Mesh]:
    half, top = look.width / 2, look.height
    tone = look.second if rng.random() < 0.5 else (205.0, 208.0, 210.0)
    if look.body in {"flat", "tipper"}:
        wall = bed + rng.uniform(0.35, 0.6) if look.body == "flat" else bed + rng.uniform(0.8, 1.2)
        load = _shade(look.second, 0.7) if rng.random() < 0.5 else (70.0, 95.0, 120.0)
        parts = [_hull(x0, x1, half, bed, wall, tone, 8, 0.03, 0.1)]
        high = wall + rng.uniform(0.1, 0.9)
        pile = _hull(x0 + 0.3, x1 - 0.3, half * 0.85, wall - 0.05, high, load, 6, 0.35, 0.0)
        parts.append(replace(pile, lift=pile.lift + 0.4))
    elif look.body == "tank":
        turn = np.arange(10) * 2 * np.pi / 10
        ring = np.column_stack([np.cos(turn) * half * 0.92, np.sin(turn) * 0.85 + bed + 0.85])
        xs = np.linspace(x0, x1, 9)
        parts = [loft(np.array([np.column_stack([np.full(10, x), ring]) for x in xs]), tone, 0.6)]
    else:
        crown = 0.06 if look.body == "box" else 0.4
        parts = [_hull(x0, x1, half, bed, top, tone, 9, crown, 0.15)]
        if rng.random() < 0.6:  # lettering or a logo
            a, b = x0 + (x1 - x0) * 0.25, x0 + (x1 - x0) * rng.uniform(0.5, 0.8)
            mark = tuple(float(c) for c in rng.uniform(20, 230, 3))
            z = bed + (top - bed) * 0.5
            for y in (-half - 0.012, half + 0.012):
                parts.append(_side(a, b, y, z, z + (top - bed) * 0.25, (mark[0], mark[1], mark[2]), 0.1))
        parts.append(_end(x0 - 0.012, -0.02, 0.02, bed, top - 0.1, False, DARK))
    return parts
