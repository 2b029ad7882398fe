"""What stands still in a scene: ground, markings, buildings, trees, fences, lanterns, furniture. Metres."""

from dataclasses import dataclass, field

import numpy as np

from smartbox.simulation.camera import Vectors
from smartbox.simulation.light import Lamp
from smartbox.simulation.mesh import Colour, Mesh, box, ellipsoid, limb, merge, patch, shift
from smartbox.types import Point

ASPHALT: Colour = (108, 108, 110)
CONCRETE: Colour = (150, 154, 156)
PAVING: Colour = (138, 146, 152)
GRASS: Colour = (58, 104, 84)
SAND: Colour = (120, 150, 168)
WHITE: Colour = (215, 218, 220)
YELLOW: Colour = (60, 185, 225)


@dataclass(frozen=True, eq=False)
class Area:
    """A polygon on the ground (n x 2) and its surface; rough: strength of its grain; worn: share that has faded."""

    polygon: Vectors
    colour: Colour
    rough: float = 0.18
    worn: float = 0.0


@dataclass
class Layout:
    """solids stand behind all actors and are drawn once; props are ordered among the actors by their distance."""

    ground: Colour = GRASS
    rough: float = 0.3
    indoor: bool = False
    areas: list[Area] = field(default_factory=list)
    solids: list[Mesh] = field(default_factory=list)
    props: list[Mesh] = field(default_factory=list)
    lamps: list[Lamp] = field(default_factory=list)

    def area(self, polygon: object, colour: Colour, rough: float = 0.18, worn: float = 0.0) -> None:
        self.areas.append(Area(np.asarray(polygon, float), colour, rough, worn))

    def rect(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, rough: float = 0.18, worn: float = 0.0
    ) -> None:
        self.area([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], colour, rough, worn)

    def line(
        self, a: tuple[float, float], b: tuple[float, float], width: float, colour: Colour, worn: float = 0.25
    ) -> None:
        """A painted line."""
        p, q = np.array(a, float), np.array(b, float)
        side = np.array([-(q - p)[1], (q - p)[0]]) / max(float(np.linalg.norm(q - p)), 1e-6) * width / 2
        self.area([p + side, q + side, q - side, p - side], colour, 0.1, worn)

    def dashes(
        self, a: tuple[float, float], b: tuple[float, float], width: float, dash: float, gap: float, colour: Colour
    ) -> None:
        p, q = np.array(a, float), np.array(b, float)
        length = float(np.linalg.norm(q - p))
        along = (q - p) / length
        for start in np.arange(0, length, dash + gap):
            u, v = p + along * start, p + along * min(length, start + dash)
            self.line((u[0], u[1]), (v[0], v[1]), width, colour)

    def paving(self, x0: float, y0: float, x1: float, y1: float, step: float, colour: Colour) -> None:
        """Joints of paving stones."""
        for x in np.arange(x0, x1, step):
            self.line((x, y0), (x, y1), 0.025, colour, 0.0)
        for y in np.arange(y0, y1, step):
            self.line((x0, y), (x1, y), 0.025, colour, 0.0)

    def kerb(self, a: tuple[float, float], b: tuple[float, float], colour: Colour = (168, 170, 172)) -> None:
        self.line(a, b, 0.28, colour, 0.0)


def building(
    rng: np.random.Generator,
    x0: float,
    y0: float,
    x1: float,
    y1: float,
    height: float,
    colour: Colour,
    lit: float = 0.0,
) -> Mesh:
    """A block with rows of windows on its sides; lit: share of windows with a light on."""
    parts = [box((x0, y0, 0.0), (x1, y1, height), colour)]
    floors = max(1, int(height / rng.uniform(2.9, 3.8)))
    pane: Colour = tuple(float(c) for c in rng.uniform(35, 90) * np.array([1.15, 1.0, 0.9]))  # type: ignore[assignment]
    share, tall = rng.uniform(0.4, 0.85), rng.uniform(0.4, 0.75)
    sides = (((x0, y0), (x1, y0)), ((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0)))
    for a, b in sides:
        p, q = np.array([*a, 0.0]), np.array([*b, 0.0])
        length = float(np.linalg.norm(q - p))
        along = (q - p) / length
        out = np.array([along[1], -along[0], 0.0])
        n = max(1, int(length / 2.6))
        for floor in range(floors):
            z = (floor + (1 - tall) / 2 + 0.05) * height / floors
            top = z + tall * height / floors
            for i in range(n):
                u = p + along * (i + (1 - share) / 2) * length / n + out * 0.03
                v = u + along * share * length / n
                on = bool(rng.random() < lit)
                tone: Colour = (120, 205, 240) if on else pane
                corners = np.array([shift(u, z=z), shift(v, z=z), shift(v, z=top), shift(u, z=top)])
                parts.append(patch(corners, tone, 0.8, 0.75 if on else 0.0, 0.3))
        sign = rng.random() < 0.25
        if sign:
            u, v = p + along * length * 0.2 + out * 0.06, p + along * length * 0.7 + out * 0.06
            tone = (float(rng.uniform(20, 230)), float(rng.uniform(20, 230)), float(rng.uniform(20, 230)))
            z = height / floors * 0.92
            parts.append(
                patch(
                    np.array([shift(u, z=z), shift(v, z=z), shift(v, z=z + 0.7), shift(u, z=z + 0.7)]),
                    tone,
                    0.2,
                    lit,
                    0.5,
                )
            )
    return merge(parts)


def tree(rng: np.random.Generator, x: float, y: float, height: float) -> Mesh:
    """A trunk and a crown of leafy balls."""
    bark: Colour = (50, 66, 82)
    crown = height * rng.uniform(0.3, 0.42)
    parts = [limb(np.array([x, y, 0.0]), np.array([x, y, height * 0.65]), (0.02 * height, 0.014 * height), bark)]
    green = np.array([40, 92, 70]) * rng.uniform(0.6, 1.25) + rng.normal(0, 8, 3)
    for _ in range(int(rng.integers(6, 11))):
        centre = np.array([x, y, height * 0.72]) + rng.normal(0, 0.45, 3) * crown * [1, 1, 0.7]
        r = crown * rng.uniform(0.35, 0.65)
        b, g, d = np.clip(green * rng.uniform(0.75, 1.2), 10, 200)
        ball = ellipsoid(centre, (r, r, r * 0.8), (float(b), float(g), float(d)), 6, 9)
        ball.colour[:] = np.clip(ball.colour * rng.uniform(0.6, 1.35, (len(ball.colour), 1)), 0, 230)
        parts.append(ball)
    return merge(parts)


def bush(rng: np.random.Generator, x: float, y: float, size: float) -> Mesh:
    parts = []
    for _ in range(4):
        centre = np.array([x, y, size * 0.4]) + rng.normal(0, 0.3, 3) * size * [1, 1, 0.3]
        ball = ellipsoid(centre, (size * 0.6, size * 0.6, size * 0.5), (44.0, 88.0, 66.0), 5, 8)
        ball.colour[:] = np.clip(ball.colour * rng.uniform(0.6, 1.35, (len(ball.colour), 1)), 0, 230)
        parts.append(ball)
    return merge(parts)


def fence(a: tuple[float, float], b: tuple[float, float], height: float, colour: Colour, step: float = 2.0) -> Mesh:
    """Posts and two rails."""
    p, q = np.array([*a, 0.0]), np.array([*b, 0.0])
    n = max(1, round(float(np.linalg.norm(q - p)) / step))
    parts = []
    for i in range(n + 1):
        foot = p + (q - p) * i / n
        parts.append(limb(foot, shift(foot, z=height), (0.04, 0.04), colour, 5))
    for z in (0.5 * height, 0.95 * height):
        parts += [
            limb(p + (q - p) * i / n + [0, 0, z], p + (q - p) * (i + 1) / n + [0, 0, z], (0.025, 0.025), colour, 5)
            for i in range(n)
        ]
    return merge(parts)


def pole(
    x: float, y: float, height: float, colour: Colour = (110, 112, 112), arm: float = 1.2, glow: float = 0.0
) -> Mesh:
    """A lantern: pole, arm along +x (or -x when negative), head."""
    foot, top = np.array([x, y, 0.0]), np.array([x, y, height])
    tip = shift(top, x=arm, z=0.15)
    parts = [limb(foot, top, (0.09, 0.06), colour, 6), limb(top, tip, (0.05, 0.04), colour, 5)]
    head = box(
        (tip[0] - 0.3, y - 0.12, tip[2] - 0.08),
        (tip[0] + 0.3, y + 0.12, tip[2] + 0.05),
        (170, 215, 235) if glow else colour,
    )
    head.glow[:] = glow
    return merge([*parts, head])


def bollard(x: float, y: float, colour: Colour = (50, 170, 215)) -> Mesh:
    return limb(np.array([x, y, 0.0]), np.array([x, y, 0.8]), (0.07, 0.07), colour, 6)


def bin_(x: float, y: float, colour: Colour = (60, 90, 50)) -> Mesh:
    return box((x - 0.3, y - 0.3, 0), (x + 0.3, y + 0.3, 1.0), colour, 0.2)


DESK_TOP = 0.74  # m
DESK_AHEAD = 0.62  # m from who sits at a desk to the middle of it


def before(x: float, y: float, heading: float) -> Point:
    """The middle of the desk at which somebody sits."""
    return x + DESK_AHEAD * float(np.cos(heading)), y + DESK_AHEAD * float(np.sin(heading))


def desk(x: float, y: float, wide: float = 1.5, deep: float = 0.7, colour: Colour = (90, 124, 152)) -> list[Mesh]:
    """A desk along x, with a screen facing +y (towards who sits behind it, at greater y)."""
    dark: Colour = (34, 32, 30)
    z = DESK_TOP
    wood = merge(
        [
            box((x - wide / 2, y - deep / 2, z - 0.04), (x + wide / 2, y + deep / 2, z), colour, 0.2),
            box((x - wide / 2, y - deep / 2, 0), (x - wide / 2 + 0.05, y + deep / 2, z - 0.04), colour),
            box((x + wide / 2 - 0.05, y - deep / 2, 0), (x + wide / 2, y + deep / 2, z - 0.04), colour),
        ]
    )
    return [wood, box((x - wide * 0.42, y - 0.14, z), (x - wide * 0.12, y - 0.1, z + 0.3), dark, 0.3)]


def chair(x: float, y: float, heading: float, colour: Colour = (52, 48, 46)) -> Mesh:
    """A swivel chair whose sitter looks along `heading`."""
    parts = [
        box((-0.24, -0.25, 0.4), (0.24, 0.25, 0.47), colour),
        box((-0.3, -0.23, 0.47), (-0.24, 0.23, 0.98), colour),
        limb(np.array([0.0, 0.0, 0.05]), np.array([0.0, 0.0, 0.4]), (0.04, 0.04), (60, 60, 60), 6),
        box((-0.28, -0.04, 0.02), (0.28, 0.04, 0.08), (60, 60, 60)),
        box((-0.04, -0.28, 0.02), (0.04, 0.28, 0.08), (60, 60, 60)),
    ]
    return merge(parts).moved(x, y, 0.0, heading)


def crate(rng: np.random.Generator, x: float, y: float) -> Mesh:
    a, b, c = rng.uniform(0.25, 0.7, 3)
    tone = (float(rng.uniform(40, 150)), float(rng.uniform(60, 170)), float(rng.uniform(60, 190)))
    return box((-a, -b, 0), (a, b, 2 * c), tone).moved(x, y, 0.0, float(rng.uniform(0, 3)))
