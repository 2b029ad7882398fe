"""What people put down: pallets and bags. Local axes: x forward, y left, z up, standing on the ground."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from smartbox.simulation.mesh import Colour, Mesh, box, ellipsoid, merge

ThingKind = Literal["pallet", "bag"]


@dataclass(frozen=True)
class ThingLook:
    """size: m, the longer side on the ground."""

    kind: ThingKind
    size: float
    colour: Colour


def random_thing(rng: np.random.Generator, kind: ThingKind) -> ThingLook:
    """A plausible thing: pallets are of wood with a load in cartons, bags of any dark or bright cloth."""
    if kind == "pallet":
        b, g, r = np.array([70.0, 110.0, 150.0]) * rng.uniform(0.8, 1.3)
        return ThingLook("pallet", float(rng.uniform(1.0, 1.25)), (float(b), float(g), float(r)))
    b, g, r = rng.choice([25.0, 40.0, 190.0, 215.0]) * rng.uniform(0.8, 1.1, 3)
    return ThingLook("bag", float(rng.uniform(0.5, 0.65)), (float(b), float(g), float(r)))


def thing_mesh(look: ThingLook) -> Mesh:
    half = look.size / 2
    if look.kind == "pallet":
        wood: Colour = (60.0, 100.0, 135.0)
        feet = [box((-half, y - 0.05, 0.0), (half, y + 0.05, 0.11), wood) for y in (-0.35, 0.0, 0.35)]
        return merge([*feet, box((-half, -0.4, 0.11), (half, 0.4, 0.15), wood),
                      box((-half + 0.05, -0.37, 0.15), (half - 0.05, 0.37, 0.95), look.colour)])  # fmt: skip
    body = box((-half, -0.17, 0.0), (half, 0.17, 0.42), look.colour)
    strap = ellipsoid(np.array([0.0, 0.0, 0.42]), (half * 0.5, 0.04, 0.12), (30.0, 30.0, 32.0), 4, 8)
    return merge([body, strap])
