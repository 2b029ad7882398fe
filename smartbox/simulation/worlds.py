"""Random places for training pictures: streets, yards, car parks, rooms. Each says where actors may stand."""

from dataclasses import dataclass

import numpy as np

from smartbox.simulation import layout as L
from smartbox.simulation.camera import Camera
from smartbox.simulation.layout import Layout
from smartbox.simulation.light import Lamp, Light
from smartbox.simulation.mesh import Colour, Mesh, patch


@dataclass(frozen=True, eq=False)
class World:
    """A layout with the camera that looks at it; along: direction of traffic (radians); wheels: room for vehicles;
    seats: x, y, heading of chairs."""

    layout: Layout
    camera: Camera
    along: float
    wheels: bool
    seats: tuple[tuple[float, float, float], ...] = ()


def random_world(rng: np.random.Generator, light: Light, width: int, height: int, above: float = 0.0) -> World:
    """above: share of the outdoor places that a camera on a mast looks at from (nearly) straight above."""
    kind = rng.choice(["street", "yard", "lot", "room"], p=[0.42, 0.22, 0.22, 0.14])
    if kind == "room" or light.sky == (190, 200, 205):
        return _room(rng, width, height)
    layout = {"street": _street, "yard": _yard, "lot": _lot}[str(kind)](rng)
    if above and rng.random() < above:
        return World(layout, _mast(rng, width, height), float(np.pi / 2), True)
    _surround(layout, rng, light)
    return World(layout, _camera(rng, width, height), float(np.pi / 2), True)


def _mast(rng: np.random.Generator, width: int, height: int) -> Camera:
    eye = (float(rng.uniform(-4, 4)), float(rng.uniform(0, 12)), float(rng.uniform(5, 13)))
    return Camera(
        width, height, eye, float(rng.uniform(-180, 180)), float(rng.uniform(68, 89)), float(rng.uniform(45, 80))
    )


def _camera(rng: np.random.Generator, width: int, height: int) -> Camera:
    if rng.random() < 0.22:  # held by a person
        eye = (float(rng.uniform(-6, 6)), float(rng.uniform(-18, -8)), float(rng.uniform(1.3, 2.2)))
        return Camera(
            width, height, eye, float(rng.uniform(-35, 35)), float(rng.uniform(-3, 8)), float(rng.uniform(40, 75))
        )
    tall = float(rng.uniform(2.6, 9.0))
    eye = (float(rng.uniform(-9, 9)), float(rng.uniform(-20, -6)), tall)
    pitch = float(np.degrees(np.arctan2(tall, rng.uniform(7, 30))))
    return Camera(width, height, eye, float(rng.uniform(-50, 50)), pitch, float(rng.uniform(42, 95)))


def tone(rng: np.random.Generator, colour: Colour, spread: float = 0.25) -> Colour:
    """The colour, brighter or darker, slightly tinted."""
    b, g, r = np.clip(np.array(colour) * rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.93, 1.07, 3), 12, 235)
    return float(b), float(g), float(r)


def wall_colour(rng: np.random.Generator) -> Colour:
    base: tuple[Colour, ...] = (
        (170, 185, 195),
        (120, 150, 180),
        (80, 100, 150),
        (150, 150, 150),
        (90, 95, 100),
        (200, 205, 208),
    )
    return tone(rng, base[rng.integers(len(base))])


def wear(layout: Layout, rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float, count: int) -> None:
    """Repairs, oil stains and cracks, so that the ground offers things to be wrong about."""
    for _ in range(count):
        x, y = rng.uniform(x0, x1), rng.uniform(y0, y1)
        turn = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 9))))
        size = rng.uniform(0.2, 1.6)
        blob = np.stack([x + np.cos(turn) * size, y + np.sin(turn) * size * rng.uniform(0.4, 1.5)], axis=1)
        layout.area(blob, tone(rng, (70, 70, 72), 0.5), 0.2, float(rng.uniform(0.3, 0.8)))
    for _ in range(count // 3):
        a = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1)])
        for _ in range(5):
            b = a + rng.normal(0, 1.2, 2)
            layout.line((a[0], a[1]), (b[0], b[1]), 0.05, (50, 50, 52), 0.3)
            a = b


def _street(rng: np.random.Generator) -> Layout:
    layout = Layout(tone(rng, L.GRASS if rng.random() < 0.5 else L.PAVING), 0.3)
    half = float(rng.uniform(3.2, 8.0))
    walk = float(rng.uniform(1.5, 4.0))
    pave = tone(rng, L.PAVING)
    layout.rect(-half - walk, -60, half + walk, 140, pave, 0.15)
    if rng.random() < 0.6:
        layout.paving(-half - walk, -15, -half, 40, float(rng.uniform(0.5, 1.2)), tone(rng, pave, 0.3))
        layout.paving(half, -15, half + walk, 40, float(rng.uniform(0.5, 1.2)), tone(rng, pave, 0.3))
    layout.rect(-half, -60, half, 140, tone(rng, L.ASPHALT, 0.35), 0.2)
    wear(layout, rng, -half, -15, half, 40, int(rng.integers(4, 24)))
    for x in (-half, half):
        layout.kerb((x, -60), (x, 140))
    ink = L.WHITE if rng.random() < 0.7 else L.YELLOW
    for x in np.arange(-half, half, 3.4)[1:]:
        layout.dashes((float(x), -40), (float(x), 120), 0.14, 3.0, float(rng.uniform(2, 6)), ink)
    if rng.random() < 0.5:
        y = float(rng.uniform(2, 18))
        for x in np.arange(-half + 0.4, half - 0.4, 1.0):
            layout.rect(float(x), y, float(x) + 0.5, y + 3.2, L.WHITE, 0.1, 0.3)
    return layout


def _yard(rng: np.random.Generator) -> Layout:
    layout = Layout(tone(rng, L.CONCRETE if rng.random() < 0.5 else L.ASPHALT, 0.35), 0.22)
    if rng.random() < 0.6:
        layout.paving(-25, -15, 25, 45, float(rng.uniform(1.0, 5.0)), tone(rng, (95, 98, 100), 0.3))
    wear(layout, rng, -20, -10, 20, 40, int(rng.integers(6, 30)))
    if rng.random() < 0.5:
        x, y = float(rng.uniform(-8, 8)), float(rng.uniform(-2, 14))
        for shift in np.arange(0, 6, 0.9):
            layout.line((x + float(shift), y), (x + float(shift) + 2, y + 4), 0.15, L.YELLOW, 0.3)
    for _ in range(int(rng.integers(0, 5))):
        layout.props.append(L.crate(rng, float(rng.uniform(-14, 14)), float(rng.uniform(2, 28))))
    return layout


def _lot(rng: np.random.Generator) -> Layout:
    layout = Layout(tone(rng, L.ASPHALT, 0.4), 0.22)
    wear(layout, rng, -20, -10, 20, 40, int(rng.integers(4, 24)))
    ink = L.WHITE if rng.random() < 0.75 else L.YELLOW
    for row in range(int(rng.integers(1, 4))):
        y = float(rng.uniform(-2, 4)) + row * 12.0
        for x in np.arange(-22, 23, 2.6):
            layout.line((float(x), y), (float(x), y + 5), 0.12, ink)
        if rng.random() < 0.5:
            layout.line((-22, y), (22, y), 0.12, ink)
    return layout


def _surround(layout: Layout, rng: np.random.Generator, light: Light) -> None:
    """Buildings behind, trees, fences, lanterns about."""
    lit = float(rng.uniform(0.1, 0.5)) if light.night else 0.0
    x = -70.0
    back = float(rng.uniform(32, 60))
    while x < 70 and rng.random() < 0.93:
        wide = float(rng.uniform(8, 24))
        deep = back + float(rng.uniform(0, 14))
        layout.solids.append(
            L.building(rng, x, deep, x + wide, deep + 14, float(rng.uniform(3.5, 20)), wall_colour(rng), lit)
        )
        x += wide + float(rng.choice([0.0, 0.0, 4.0, 14.0]))
    for side in (-1.0, 1.0):
        y = float(rng.uniform(-2, 20))
        edge = float(rng.uniform(12, 24))
        while y < 60 and rng.random() < 0.75:
            long = float(rng.uniform(7, 20))
            a, b = sorted((side * edge, side * (edge + 12)))
            layout.solids.append(L.building(rng, a, y, b, y + long, float(rng.uniform(3.5, 14)), wall_colour(rng), lit))
            y += long + float(rng.choice([0.0, 3.0, 10.0]))
    for _ in range(int(rng.integers(0, 7))):
        x, y = float(rng.choice([-1, 1]) * rng.uniform(7, 13)), float(rng.uniform(3, 40))
        layout.props.append(
            L.tree(rng, x, y, float(rng.uniform(3, 8)))
            if rng.random() < 0.7
            else L.bush(rng, x, y, float(rng.uniform(0.5, 1.2)))
        )
    if rng.random() < 0.4:
        x = float(rng.choice([-1, 1]) * rng.uniform(8, 12))
        layout.props.append(L.fence((x, 0), (x, 12), float(rng.uniform(0.9, 2.2)), tone(rng, (120, 120, 120), 0.5)))
    for _ in range(int(rng.integers(0, 5))):
        layout.props.append(
            L.bollard(float(rng.uniform(-9, 9)), float(rng.uniform(2, 14)), tone(rng, (60, 120, 180), 0.5))
        )
    if rng.random() < 0.3:
        layout.props.append(L.bin_(float(rng.uniform(-9, 9)), float(rng.uniform(2, 14)), tone(rng, (60, 100, 70), 0.5)))
    warm: Colour = (0.55, 0.8, 1.0) if rng.random() < 0.6 else (1.0, 0.98, 0.92)
    for y in np.arange(rng.uniform(-4, 4), 50, rng.uniform(12, 22)):
        x = float(rng.choice([-1, 1]) * rng.uniform(5, 10))
        tall = float(rng.uniform(4, 8))
        layout.props.append(L.pole(x, float(y), tall, glow=1.0 if light.night else 0.0, arm=-1.2 if x > 0 else 1.2))
        if light.night:
            layout.lamps.append(
                Lamp(
                    (x + (-1.2 if x > 0 else 1.2), float(y), tall),
                    warm,
                    float(rng.uniform(0.5, 1.0)),
                    float(rng.uniform(5, 9)),
                )
            )


def _room(rng: np.random.Generator, width: int, height: int) -> World:
    layout = Layout(tone(rng, (120, 140, 155), 0.4), 0.12, indoor=True)
    if rng.random() < 0.6:
        step = float(rng.uniform(0.3, 1.2))
        layout.paving(-6, -4, 6, 9, step, tone(rng, (90, 100, 110), 0.4))
    wide, deep, tall = float(rng.uniform(2.4, 5)), float(rng.uniform(3.5, 7.5)), float(rng.uniform(2.5, 3.2))
    room_walls(layout, rng, wide, -4.0, deep, tall)
    seats = []
    for x in np.arange(-wide + 1.0, wide - 0.8, 2.1):
        if rng.random() < 0.5:
            continue
        y, heading = (
            float(rng.uniform(1.0, deep - 1.2)),
            float(rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else -1.6),
        )
        wood = L.desk(0.0, 0.0, float(rng.uniform(1.2, 1.7)), 0.65, tone(rng, (110, 140, 165), 0.4))
        place = L.before(float(x), y, heading)
        layout.props += [part.moved(*place, 0.0, heading + np.pi / 2) for part in wood]
        layout.props.append(L.chair(float(x), y, heading, tone(rng, (70, 70, 70), 0.5)))
        seats.append((float(x), y, heading))
    for _ in range(int(rng.integers(0, 3))):
        layout.props.append(
            L.chair(
                float(rng.uniform(-wide + 1, wide - 1)),
                float(rng.uniform(0, deep - 1)),
                float(rng.uniform(0, 6)),
                tone(rng, (70, 70, 70), 0.5),
            )
        )
    eye = (float(rng.uniform(-0.8, 0.8) * wide), -2.5, float(rng.uniform(1.5, tall - 0.1)))
    yaw = float(np.degrees(np.arctan2(-eye[0], deep * 0.5 + 2.5)) + rng.uniform(-12, 12))
    pitch = float(np.degrees(np.arctan2(eye[2] - 0.8, rng.uniform(2.5, 6))))
    return World(layout, Camera(width, height, eye, yaw, pitch, float(rng.uniform(60, 100))), 0.0, False, tuple(seats))


def room_walls(layout: Layout, rng: np.random.Generator, wide: float, front: float, deep: float, tall: float) -> None:
    """Three walls seen from inside, with skirting, windows, a door, pictures and shelves."""
    paint = wall_colour(rng)
    side = tone(rng, paint, 0.08)
    layout.solids += [
        _wall((-wide, deep), (wide, deep), 0.0, tall, paint),
        _wall((-wide, front), (-wide, deep), 0.0, tall, side),
        _wall((wide, deep), (wide, front), 0.0, tall, side),
        _wall((-wide, deep - 0.01), (wide, deep - 0.01), 0.0, 0.1, tone(rng, (70, 80, 90))),
    ]
    ceiling = patch(
        np.array([[-wide, front, tall], [-wide, deep, tall], [wide, deep, tall], [wide, front, tall]]), (205, 208, 210)
    )
    layout.solids.append(ceiling)
    x = -wide + 0.5
    while x < wide - 1.2:
        kind = rng.integers(5)
        span = float(rng.uniform(0.7, 1.5))
        low, high, colour, gloss = (
            (0.0, 2.05, tone(rng, (70, 100, 130)), 0.1),  # a door
            (0.95, 2.1, (170.0, 150.0, 130.0), 0.9),  # a window
            (1.2, 1.9, tone(rng, (120, 120, 120), 0.6), 0.1),  # a board
            (0.0, 1.8, tone(rng, (110, 115, 120), 0.4), 0.3),  # a locker
            (1.3, 1.6, tone(rng, (90, 140, 180), 0.6), 0.0),  # a shelf
        )[kind]  # fmt: skip
        layout.solids.append(_wall((x, deep - 0.03), (x + span, deep - 0.03), low, high, colour, gloss))
        x += span + float(rng.uniform(0.2, 1.2))


def _wall(
    a: tuple[float, float], b: tuple[float, float], low: float, high: float, colour: Colour, gloss: float = 0.0
) -> Mesh:
    """An upright quad, visible from the right of a -> b."""
    return patch(np.array([[*a, low], [*b, low], [*b, high], [*a, high]]), colour, gloss)
