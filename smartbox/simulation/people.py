"""People as jointed, lofted bodies. Local axes: x forward, y left, z up, feet around the origin."""

from dataclasses import dataclass, replace
from math import cos, pi, sin

import numpy as np

from smartbox.simulation.camera import Vectors
from smartbox.simulation.mesh import Colour, Mesh, box, ellipsoid, limb, loft, merge, shift

SKINS: tuple[Colour, ...] = (
    (150, 180, 222),
    (125, 160, 208),
    (98, 134, 188),
    (70, 104, 156),
    (52, 78, 122),
    (38, 56, 88),
)
HAIRS: tuple[Colour, ...] = ((20, 18, 17), (30, 26, 24), (28, 40, 60), (48, 72, 104), (96, 140, 170), (150, 150, 148))
CLOTHES: tuple[Colour, ...] = (
    (30, 28, 27), (52, 48, 46), (98, 92, 88), (160, 158, 155), (225, 225, 222), (92, 48, 30), (140, 90, 46),
    (64, 44, 34), (36, 36, 150), (44, 60, 190), (62, 90, 60), (60, 120, 70), (50, 80, 110), (110, 140, 165),
    (70, 160, 210), (150, 90, 150), (170, 130, 90), (120, 70, 40),
)  # fmt: skip


@dataclass(frozen=True)
class PersonLook:
    """A body and what it wears; height in m; coat: share of the thigh it covers (above 1: a skirt)."""

    height: float
    girth: float
    skin: Colour
    hair: Colour
    long_hair: bool
    top: Colour
    legs: Colour
    shoes: Colour
    sleeves: bool
    shorts: bool
    coat: float
    vest: bool
    hat: Colour | None
    pack: Colour | None


@dataclass(frozen=True)
class Pose:
    """Joint angles in radians, pairs are (left, right).

    hips, shoulders: forward of straight down; knees, elbows: bent;
    lean: torso forward; bow: head forward of the torso; turn: of the head;
    root: height of the pelvis in m where it sits; spread: arms away from the body;
    lying: the whole body turned onto its back.
    """

    hips: tuple[float, float] = (0.0, 0.0)
    knees: tuple[float, float] = (0.0, 0.0)
    shoulders: tuple[float, float] = (0.0, 0.0)
    elbows: tuple[float, float] = (0.15, 0.15)
    lean: float = 0.02
    bow: float = 0.05
    turn: float = 0.0
    spread: float = 0.1
    root: float | None = None
    lying: bool = False


def walking(phase: float, vigour: float = 1.0) -> Pose:
    """A step cycle; phase in radians, one turn per two steps."""
    swing = 0.48 * vigour

    def knee(p: float) -> float:
        return 0.12 + max(0.0, 0.85 * vigour * sin(p + 1.9)) * 0.8

    return Pose(
        hips=(swing * sin(phase), swing * sin(phase + pi)),
        knees=(knee(phase), knee(phase + pi)),
        shoulders=(-0.45 * vigour * sin(phase), -0.45 * vigour * sin(phase + pi)),
        elbows=(0.25 + 0.2 * vigour, 0.25 + 0.2 * vigour),
        lean=0.05 * vigour,
    )


def standing(sway: float = 0.0) -> Pose:
    return Pose(hips=(0.04, -0.04), shoulders=(0.05 + sway, 0.0 - sway), lean=0.02 + 0.03 * sway, turn=sway)


def sitting(reach: tuple[float, float] = (0.9, 0.9), bow: float = 0.25, turn: float = 0.0, lean: float = 0.08) -> Pose:
    """On a chair (seat 0.45 m), forearms on a desk; reach: shoulders forward."""
    return Pose(
        hips=(1.5, 1.5), knees=(1.5, 1.45), shoulders=reach, elbows=(0.85, 0.85), lean=lean, bow=bow, turn=turn,
        spread=0.15, root=0.52,
    )  # fmt: skip


def random_person(rng: np.random.Generator) -> PersonLook:
    """A plausible grown-up; clothes, hair and build vary."""
    b, g, r = np.clip(np.array(SKINS[rng.integers(len(SKINS))]) + rng.normal(0, 8, 3), 20, 240)
    hat = _cloth(rng) if rng.random() < 0.22 else None
    return PersonLook(
        height=float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.95)),
        girth=float(np.clip(rng.normal(1.0, 0.12), 0.8, 1.4)),
        skin=(float(b), float(g), float(r)),
        hair=HAIRS[rng.integers(len(HAIRS))],
        long_hair=bool(rng.random() < 0.35),
        top=_cloth(rng),
        legs=_cloth(rng) if rng.random() < 0.35 else CLOTHES[rng.integers(0, 6)],
        shoes=CLOTHES[rng.integers(0, 5)],
        sleeves=bool(rng.random() < 0.65),
        shorts=bool(rng.random() < 0.15),
        coat=float(rng.choice([0.0, 0.25, 0.7, 1.0, 1.7], p=[0.4, 0.3, 0.12, 0.1, 0.08])),
        vest=bool(rng.random() < 0.08),
        hat=hat,
        pack=_cloth(rng) if rng.random() < 0.18 else None,
    )


def random_guard(rng: np.random.Generator) -> PersonLook:
    """A uniform: dark or light blue shirt, dark trousers, often a cap."""
    top: Colour = ((70, 45, 30), (170, 140, 110), (50, 46, 44), (200, 205, 205))[rng.integers(4)]
    cap: Colour | None = (40, 32, 28) if rng.random() < 0.4 else None
    return replace(
        random_person(rng), top=top, legs=(42, 36, 32), shoes=(24, 22, 22), sleeves=True, shorts=False, coat=0.2,
        hat=cap, pack=None, long_hair=False, height=float(rng.uniform(1.68, 1.85)),
    )  # fmt: skip


def _cloth(rng: np.random.Generator) -> Colour:
    b, g, r = np.clip(
        np.array(CLOTHES[rng.integers(len(CLOTHES))]) * rng.uniform(0.75, 1.2) + rng.normal(0, 10, 3), 10, 245
    )
    return float(b), float(g), float(r)


def _swing(angle: float, length: float) -> Vectors:
    """A bone hanging down, swung forward by `angle`."""
    return np.array([sin(angle) * length, 0.0, -cos(angle) * length])


def person_mesh(look: PersonLook, pose: Pose) -> Mesh:
    """The body in local axes; the lowest foot touches the ground unless the pose fixes the pelvis."""
    h, g = look.height, look.girth
    thigh, shank = 0.245 * h, 0.235 * h
    ankles = [_swing(hip, thigh) + _swing(hip - knee, shank) for hip, knee in zip(pose.hips, pose.knees, strict=True)]
    drop = max(-float(a[2]) for a in ankles) + 0.04 * h
    pelvis = np.array([0.0, 0.0, drop if pose.root is None else pose.root])
    up = np.array([sin(pose.lean), 0.0, cos(pose.lean)])
    neck = pelvis + up * 0.31 * h
    parts = [_torso(look, pelvis, up), *_legs(look, pose, pelvis, thigh, shank), *_arms(look, pose, neck, up)]
    parts += _head(look, pose, neck)
    if look.coat > 0:
        parts.append(_skirt(look, pose, pelvis))
    if look.pack is not None:
        back = pelvis + up * 0.2 * h - np.array([0.115 * g * h, 0, 0])
        pack = box((-0.09, -0.14, -0.2), (0.06, 0.14, 0.2), look.pack)
        parts.append(replace(pack, points=pack.points + back))
    body = merge(parts)
    if pose.lying:
        x, y, z = body.points.T
        body = replace(body, points=np.stack([h / 2 - z, y, x + 0.14], axis=1))
    return body


def _torso(look: PersonLook, pelvis: Vectors, up: Vectors) -> Mesh:
    h, g = look.height, look.girth
    forward = np.array([up[2], 0.0, -up[0]])
    turn = np.arange(10) * 2 * pi / 10
    rings = []
    levels = ((-0.05, 0.083, 0.058), (0.0, 0.1, 0.072), (0.07, 0.092, 0.066), (0.16, 0.1, 0.07), (0.24, 0.112, 0.07),
              (0.285, 0.105, 0.055), (0.31, 0.05, 0.042), (0.345, 0.034, 0.036))  # fmt: skip
    for level, half_wide, half_deep in levels:
        grow = g if level < 0.2 else 1 + (g - 1) * 0.5
        ring = forward * (np.cos(turn) * half_deep * h * grow)[:, None]
        ring = ring + np.array([0.0, 1.0, 0.0]) * (np.sin(turn) * half_wide * h * grow)[:, None]
        rings.append(pelvis + up * level * h + ring)
    body = loft(np.array(rings), look.top)
    body.colour[:20] = look.legs
    if look.vest:
        body.colour[20:50] = (40, 235, 215)
        body.colour[30:40] = (200, 205, 205)
        body.gloss[30:40] = 0.3
    body.colour[60:] = look.skin
    body.colour[70:80] = look.legs  # the lower end
    return body


def _skirt(look: PersonLook, pose: Pose, pelvis: Vectors) -> Mesh:
    """The lower hem of a coat, shirt or skirt, hung over both thighs."""
    h, g = look.height, look.girth
    reach = min(look.coat, 1.75) * 0.24 * h
    share = (sin(pose.hips[0]) + sin(pose.hips[1])) / 2
    hang = np.array([share * reach, 0.0, -reach * cos((pose.hips[0] + pose.hips[1]) / 2)])
    wide = abs(sin(pose.hips[0]) - sin(pose.hips[1])) * reach * 0.35
    turn = np.arange(10) * 2 * pi / 10

    def ring(centre: Vectors, deep: float, half: float) -> Vectors:
        out: Vectors = centre + np.stack([np.cos(turn) * deep, np.sin(turn) * half, np.zeros(10)], axis=1)
        return out

    top = ring(shift(pelvis, z=0.06 * h), 0.074 * h * g, 0.1 * h * g)
    low = ring(
        pelvis + hang - [0, 0, 0.02 * h], (0.08 + 0.02 * look.coat) * h * g + wide, (0.105 + 0.01 * look.coat) * h * g
    )
    return loft(np.array([top, (top + low) / 2, low]), look.top)


def _legs(look: PersonLook, pose: Pose, pelvis: Vectors, thigh: float, shank: float) -> list[Mesh]:
    h, g = look.height, look.girth
    parts = []
    for side, hip, knee in zip((1.0, -1.0), pose.hips, pose.knees, strict=True):
        top = pelvis + np.array([0.0, side * 0.052 * h * g, 0.0])
        middle = top + _swing(hip, thigh)
        ankle = middle + _swing(hip - knee, shank)
        parts.append(limb(top, middle, (0.055 * h * g, 0.05 * h * g, 0.036 * h), look.legs))
        parts.append(limb(middle, ankle, (0.036 * h, 0.036 * h, 0.025 * h), look.skin if look.shorts else look.legs))
        tip = ankle + np.array(
            [cos(hip - knee) * 0.1 * h, side * 0.012 * h, min(0.0, sin(hip - knee) * 0.1 * h) - 0.025 * h]
        )
        parts.append(limb(ankle - [0.02 * h, 0, 0.015 * h], tip, (0.028 * h, 0.026 * h, 0.018 * h), look.shoes, 6))
    return parts


def _arms(look: PersonLook, pose: Pose, neck: Vectors, up: Vectors) -> list[Mesh]:
    h = look.height
    out = sin(pose.spread)
    parts = []
    for side, lift, bend in zip((1.0, -1.0), pose.shoulders, pose.elbows, strict=True):
        top = neck - up * 0.035 * h + np.array([0.0, side * 0.108 * h, 0.0])
        elbow = top + _swing(lift, 0.175 * h) + np.array([0.0, side * out * 0.17 * h, 0.0])
        wrist = elbow + _swing(lift + bend, 0.15 * h) - np.array([0.0, side * bend * 0.03 * h, 0.0])
        hand = wrist + _swing(lift + bend + 0.1, 0.07 * h)
        parts.append(limb(top, elbow, (0.036 * h, 0.03 * h, 0.024 * h), look.top))
        parts.append(limb(elbow, wrist, (0.024 * h, 0.017 * h), look.top if look.sleeves else look.skin))
        parts.append(limb(wrist, hand, (0.016 * h, 0.018 * h, 0.012 * h), look.skin, 5))
    return parts


def _head(look: PersonLook, pose: Pose, neck: Vectors) -> list[Mesh]:
    h = look.height
    tilt = pose.lean + pose.bow
    centre = neck + np.array([sin(tilt), 0.0, cos(tilt)]) * 0.098 * h
    head = ellipsoid(np.zeros(3), (0.058 * h, 0.044 * h, 0.066 * h), look.skin, 7, 10)
    middle = head.points[head.faces].mean(1) / h
    bald = middle[:, 0] > 0.012
    hairy = ((middle[:, 2] > 0.03) | ((middle[:, 0] < -0.002) & (middle[:, 2] > -0.035))) & ~(
        bald & (middle[:, 2] < 0.035)
    )
    head.colour[hairy] = look.hair
    parts = [head]
    if look.long_hair:
        parts.append(
            ellipsoid(np.array([-0.03 * h, 0.0, -0.045 * h]), (0.03 * h, 0.046 * h, 0.075 * h), look.hair, 4, 8)
        )
    if look.hat is not None:
        parts.append(
            ellipsoid(np.array([-0.003 * h, 0.0, 0.036 * h]), (0.064 * h, 0.05 * h, 0.042 * h), look.hat, 4, 10)
        )
        parts.append(box((0.04 * h, -0.035 * h, 0.022 * h), (0.1 * h, 0.035 * h, 0.03 * h), look.hat))
    shape = merge(parts)
    c, s = cos(tilt), sin(tilt)
    bow = np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])
    return [replace(shape.moved(0, 0, 0, pose.turn), points=shape.moved(0, 0, 0, pose.turn).points @ bow + centre)]
