"""What a cheap camera does to a picture: blur, exposure, tint, noise, infra-red, JPEG."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.types import Floats, Image

ROOM = 41  # pixels by which the noise is shifted from frame to frame


@dataclass(frozen=True)
class Lens:
    """blur: sigma in pixels; noise: deviation in grey levels; quality: JPEG 1–100 0 for none; mono: infra-red."""

    blur: float = 0.6
    noise: float = 3.0
    gain: float = 1.0
    lift: float = 0.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    vignette: float = 0.15
    quality: int = 80
    mono: bool = False

    def take(self, picture: Image, seed: int) -> Image:
        """The picture as this camera delivers it; noise and compression depend on `seed` alone."""
        out: Any = picture
        if self.blur > 0.25:
            out = cv2.GaussianBlur(out, (0, 0), self.blur)
        if self.mono:
            out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        h, w = out.shape[:2]
        out = cv2.multiply(out, _falloff(h, w, self.vignette, self.gain, self.tint), dtype=cv2.CV_8U)
        noise = _noise(h, w, self.noise, self.mono, self.lift, seed % 3)
        y, x = seed * 7 % ROOM, seed * 13 % ROOM
        out = cv2.add(out, noise[y : y + h, x : x + w], dtype=cv2.CV_8U)
        if self.quality:
            _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
            out = cv2.imdecode(code, cv2.IMREAD_COLOR)
        return np.asarray(out, np.uint8)


@lru_cache(maxsize=16)
def _falloff(h: int, w: int, strength: float, gain: float, tint: tuple[float, float, float]) -> Floats:
    flat = np.float32(gain) * (1 - np.float32(strength / 2) * _radius(h, w))
    return np.asarray(cv2.merge([flat * np.float32(share) for share in tint]), np.float32)


@lru_cache(maxsize=4)
def _radius(h: int, w: int) -> Floats:
    """Squared distance from the middle, 2 in the corners."""
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return np.asarray(x**2 + y**2, np.float32)


@lru_cache(maxsize=12)
def _noise(h: int, w: int, deviation: float, mono: bool, lift: float, which: int) -> NDArray[np.int16]:
    return np.asarray(np.round(np.float32(deviation) * _grain(h, w, mono, which) + np.float32(lift)), np.int16)


@lru_cache(maxsize=12)
def _grain(h: int, w: int, mono: bool, which: int) -> Floats:
    """Fine noise plus a blotchy share, as in-camera noise reduction leaves it; deviation about 1."""
    h, w = h + ROOM, w + ROOM
    rng = np.random.default_rng([which, h, w])
    fine = rng.standard_normal((h, w, 1), np.float32)
    if not mono:
        fine = fine + np.float32(0.5) * rng.standard_normal((h, w, 3), np.float32)
    blotch = cv2.resize(rng.standard_normal((h // 3, w // 3), np.float32), (w, h))[..., None]
    return np.asarray(np.float32(0.75) * fine + np.float32(0.5) * blotch + np.zeros(3, np.float32), np.float32)


def exposure(picture: Image, target: float) -> float:
    """The gain that brings a picture's mean to `target` grey levels, within what a camera can do."""
    return float(np.clip(target / max(float(picture[::8, ::8].mean()), 1.0), 0.5, 3.0))


def random_lens(rng: np.random.Generator, picture: Image, night: bool) -> Lens:
    """A camera whose automatic exposure has settled on this picture."""
    mono = bool(night and rng.random() < 0.35)
    b, g, r = rng.uniform(0.92, 1.08, 3)
    return Lens(
        blur=float(rng.choice([0.0, 0.5, 0.8, 1.2], p=[0.25, 0.35, 0.3, 0.1])),
        noise=float(rng.uniform(3, 9) if night else rng.uniform(0.5, 5)),
        gain=exposure(picture, float(rng.uniform(38, 85) if night else rng.uniform(85, 140))),
        lift=float(rng.uniform(-6, 14)),
        tint=(1.0, 1.0, 1.0) if mono else (float(b), float(g), float(r)),
        vignette=float(rng.uniform(0.0, 0.35)),
        quality=int(rng.integers(38, 92)),
        mono=mono,
    )
