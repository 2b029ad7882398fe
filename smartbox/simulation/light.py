"""Daylight, night and lamps, and how they colour the faces of a mesh. Strengths are shares of full exposure."""

from dataclasses import dataclass, field

import numpy as np

from smartbox.simulation.camera import Vectors
from smartbox.simulation.mesh import Colour, Mesh


@dataclass(frozen=True)
class Lamp:
    """A lantern at a place (m); reach: the distance at which it is half as strong."""

    place: tuple[float, float, float]
    colour: Colour
    strength: float
    reach: float


@dataclass(frozen=True)
class Light:
    """sun: unit vector towards it; colours are BGR shares; shadow: how dark a cast shadow is, 0–1."""

    sun: tuple[float, float, float]
    sunlight: Colour
    ambient: Colour
    sky: Colour
    shadow: float
    lamps: tuple[Lamp, ...] = ()
    night: bool = False
    haze: float = 0.0
    clouds: float = field(default=0.3)

    def at(self, points: Vectors, normals: Vectors | None = None) -> Vectors:
        """Light that arrives at points (n x 3), facing `normals` (default: up), as BGR shares (n x 3)."""
        n = np.tile([0.0, 0.0, 1.0], (len(points), 1)) if normals is None else normals
        wrap = 0.62 + 0.38 * n[:, 2]
        out: Vectors = wrap[:, None] * np.array(self.ambient)
        out = out + np.clip(n @ np.array(self.sun), 0, 1)[:, None] * np.array(self.sunlight)
        for lamp in self.lamps:
            away = np.array(lamp.place) - points
            distance = np.linalg.norm(away, axis=1)
            facing = np.clip((away * n).sum(1) / np.maximum(distance, 0.1), 0.0, 1.0) * 0.75 + 0.25
            fall = lamp.strength / (1 + (distance / lamp.reach) ** 2) ** 1.5
            out = out + (facing * fall)[:, None] * np.array(lamp.colour)
        return out


def shade(mesh: Mesh, light: Light, eye: Vectors) -> Vectors:
    """The colour of every face as the camera sees it, m x 3 BGR 0–255."""
    normals = mesh.normals()
    centres = mesh.points[mesh.faces].mean(1)
    view = eye - centres
    distance = np.linalg.norm(view, axis=1)
    view /= np.maximum(distance, 1e-9)[:, None]
    facing = np.abs((normals * view).sum(1))
    arriving = light.at(centres, normals)
    # Reflections: Schlick's approximation of Fresnel's law; what is mirrored is sky above and ground below.
    mirror = 2 * (normals * view).sum(1)[:, None] * normals - view
    fresnel = mesh.gloss * (0.06 + 0.75 * (1 - facing) ** 4)
    above = np.clip(0.5 + 1.6 * mirror[:, 2], 0.0, 1.0)[:, None]
    seen = above * np.array(light.sky) + (1 - above) * np.array(light.ambient) * 70
    glint = mesh.gloss * np.clip(mirror @ np.array(light.sun), 0, 1) ** 60
    out = mesh.colour * arriving * (1 - 0.5 * fresnel[:, None]) + fresnel[:, None] * seen
    out += glint[:, None] * np.array(light.sunlight) * 220
    out = out * (1 - mesh.glow[:, None]) + mesh.colour * mesh.glow[:, None] * 1.1
    if light.haze:
        veil = 1 - np.exp(-light.haze * distance / 100)[:, None]
        out = out * (1 - veil) + veil * np.array(light.sky)
    shaded: Vectors = np.clip(out, 0, 255)
    return shaded


def random_light(rng: np.random.Generator, night: bool | None = None, indoor: bool = False) -> Light:
    """A time of day and weather. Lamps are hung by the scene."""
    dark = bool(rng.random() < 0.22) if night is None else night
    if indoor:
        warm = rng.uniform(0.85, 1.12)
        level = rng.uniform(0.55, 0.85)
        ambient = (level * rng.uniform(0.9, 1.0) / warm, level, level * warm)
        return Light((0.2, -0.1, 0.97), (0.22, 0.24, 0.25), ambient, (190, 200, 205), 0.3, (), dark)
    turn = rng.uniform(0, 2 * np.pi)
    if dark:
        level = rng.uniform(0.13, 0.26)
        tint = rng.uniform(0.85, 1.2)
        return Light((0.0, 0.0, 1.0), (0.0, 0.0, 0.0), (level * tint, level, level / tint), (42, 30, 26), 0.0, (), True)
    overcast = rng.random() < 0.4
    height = np.radians(rng.uniform(18, 70))
    sun = (float(np.cos(height) * np.cos(turn)), float(np.cos(height) * np.sin(turn)), float(np.sin(height)))
    warm = float(1 + 0.25 * (1 - np.sin(height)))
    strength = rng.uniform(0.04, 0.18) if overcast else rng.uniform(0.45, 0.8)
    level = rng.uniform(0.62, 0.9) if overcast else rng.uniform(0.4, 0.6)
    sky = (232, 226, 220) if overcast else (235, 205, 165)
    return Light(
        sun, (strength / warm, strength, strength * min(warm, 1.15)), (level * 1.05, level, level * 0.96), sky,
        float(rng.uniform(0.08, 0.25) if overcast else rng.uniform(0.35, 0.6)),
        haze=float(rng.choice([0.0, 0.1, 0.4, 1.0], p=[0.4, 0.3, 0.2, 0.1])), clouds=float(rng.uniform(0.2, 1.0)),
    )  # fmt: skip
