"""What weather, light and people do to a picture or its camera: rain, shadows, headlights, and tampering.

The first three happen before the lens and are no fault; the others are, and `tamper` must report them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np

from smartbox.types import Fault, Image

Trick = Literal["shadow", "headlights", "covered", "dark", "bright", "blurred", "frozen", "moved"]
TRICKS: tuple[Trick, ...] = get_args(Trick)
FAULTS: Mapping[Trick, Fault] = {
    "covered": "blurred",
    "dark": "dark",
    "bright": "bright",
    "blurred": "blurred",
    "frozen": "frozen",
    "moved": "moved",
}
"""What each act against the camera is to be reported as; what is not here is none."""


@dataclass(frozen=True)
class Played:
    """A trick from start to end, s."""

    trick: Trick
    start: float
    end: float

    def holds(self, time: float) -> bool:
        return self.start <= time < self.end


def rain(picture: Image, index: int) -> Image:
    """Falling drops as short bright streaks, other ones in each picture, and a veil."""
    rng = np.random.default_rng([index, 17])
    h, w = picture.shape[:2]
    out = cv2.addWeighted(picture, 0.86, np.full_like(picture, 150), 0.14, 0)
    drops = np.zeros((h, w), np.uint8)
    for x, y, length in zip(rng.uniform(0, w, 260), rng.uniform(0, h, 260), rng.uniform(6, 22, 260), strict=True):
        start, end = (int(x), int(y)), (int(x + 0.12 * length), int(y + length))
        cv2.line(drops, start, end, (int(rng.integers(25, 70)),), 1, cv2.LINE_AA)
    return np.asarray(cv2.add(out, cv2.merge([drops] * 3)), np.uint8)


def shadow(picture: Image, since: float) -> Image:
    """A soft one that falls across a third of the picture as a door opens: it swings in within 3 s, and moves on."""
    h, w = picture.shape[:2]
    swing = min(1.0, since / 3.0)
    x0 = w * (0.25 + 0.003 * since)
    corners = np.array([[x0, 0.3 * h], [x0 + 0.3 * w * swing, 0.3 * h], [x0 + 0.38 * w * swing, h], [x0 - 0.05 * w, h]])
    mask = np.zeros((h, w), np.float32)
    cv2.fillPoly(mask, [np.round(corners).astype(np.int32)], (1.0,))
    share = 1 - 0.4 * cv2.GaussianBlur(mask, (0, 0), w / 60)
    return np.asarray(picture * share[..., None], np.uint8)


def headlights(picture: Image, since: float) -> Image:
    """The light of a car that turns somewhere behind the camera, sweeping over the place within about 5 s."""
    h, w = picture.shape[:2]
    glow = np.zeros((h // 4, w // 4), np.float32)
    centre = (int(w / 4 * (since / 5.0 * 1.4 - 0.2)), int(h / 4 * 0.62))
    cv2.ellipse(glow, centre, (w // 22, h // 26), 0, 0, 360, (1.0,), -1)
    wide = cv2.resize(cv2.GaussianBlur(glow, (0, 0), w / 120), (w, h))
    return np.asarray(np.clip(picture * (1 + 1.6 * wide[..., None]) + 25 * wide[..., None], 0, 255), np.uint8)


def tamper(picture: Image, trick: Trick, index: int) -> Image:
    """What the camera delivers while somebody does that to it; a frozen one is the film's business."""
    return TAMPERED[trick](picture, index)


def _covered(picture: Image, index: int) -> Image:
    """A bag or a hand right before the lens: even, with the sensor's noise."""
    rng = np.random.default_rng([index, 19])
    noise = rng.normal(0, 2.0, picture.shape).astype(np.float32)
    return np.asarray(np.clip(np.array([70.0, 82.0, 95.0], np.float32) + noise, 0, 255), np.uint8)


def _dark(picture: Image, _index: int) -> Image:
    return np.asarray(picture * 0.06 + 14, np.uint8)


def _bright(picture: Image, _index: int) -> Image:
    return np.asarray(np.clip(picture * 0.25 + 222.0, 0, 255), np.uint8)


def _blurred(picture: Image, _index: int) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), picture.shape[1] / 80), np.uint8)


def _moved(picture: Image, _index: int) -> Image:
    """Turned by a quarter of its height to the side, and a little down."""
    h, w = picture.shape[:2]
    shift = np.array([[1.0, 0.0, 0.25 * h], [0.0, 1.0, -0.12 * h]], np.float32)
    return np.asarray(cv2.warpAffine(picture, shift, (w, h), borderMode=cv2.BORDER_REFLECT), np.uint8)


TAMPERED: Mapping[Trick, Callable[[Image, int], Image]] = {
    "covered": _covered,
    "dark": _dark,
    "bright": _bright,
    "blurred": _blurred,
    "moved": _moved,
}
