"""How much the picture changes, and whether a frame is worth an inference. Pure, in seconds."""

import cv2
import numpy as np

from smartbox.luma import CELL, shrink
from smartbox.settings import Duration, Settings
from smartbox.types import Floats, Image, Motion

MEMORY = 0.4  # s, time constant of the reference: a change of twelve times the threshold counts for one second
LOUDEST = 24.0  # grey levels: what differs by more is never noise of a picture this small
GAP = 5.0  # s without a frame after which the reference is worth nothing


class MotionSettings(Settings):
    """What counts as change, and how often a still picture is looked at."""

    level: float = 4.0
    """Smallest change of a pixel that counts, in grey levels (0–255) of the small picture."""

    noise: float = 5.0
    """A change also has to exceed this many times the noise measured in this very frame."""

    cell: float = 0.25
    """Share of changed pixels per second in one cell (about 1/25 of the picture's height) that opens the gate."""

    min_interval: Duration = 1.5
    """Longest time between two inferences while nothing moves, in seconds."""


class MotionMeter:
    """Compares each picture with a fading memory of the last half second.

    A changed pixel is told from noise by a threshold that follows the noise of the frame (so the pulse of an
    H.264 key frame is no motion), and from light by fitting gain and offset between memory and picture first.
    """

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self.settings = settings or MotionSettings()
        self._memory: Floats | None = None
        self._time = 0.0

    def update(self, time: float, luma: Image) -> Motion:
        """luma: H x W, any size. All zero for the first picture and after a gap, for nothing is known then."""
        now = shrink(luma)
        memory, step = self._memory, time - self._time
        self._time = time
        if memory is None or memory.shape != now.shape or not 0 <= step <= GAP:
            self._memory = now
            return Motion(np.zeros((now.shape[0] // CELL, now.shape[1] // CELL), np.float32))
        memory = relight(memory, now)
        change = now - memory
        sigma = 1.4826 * float(np.median(np.abs(change[::2, ::2])))
        threshold = max(self.settings.level, min(self.settings.noise * sigma, LOUDEST))
        changed = (np.abs(cv2.blur(change, (3, 3))) > threshold).astype(np.float32)
        # A light switch or a cut changes most at once: said once, then the new picture is the memory.
        keep = 0.0 if changed.mean() > 0.5 else float(np.exp(-step / MEMORY))
        self._memory = memory * np.float32(keep) + now * np.float32(1 - keep)
        cells = cv2.resize(changed, (now.shape[1] // CELL, now.shape[0] // CELL), interpolation=cv2.INTER_AREA)
        return Motion((cells / max(1.0, step)).astype(np.float32))


class Gate:
    """Decides which frames are worth an inference: those that show motion, and one every `min_interval`."""

    def __init__(self, settings: MotionSettings | None = None) -> None:
        self.settings = settings or MotionSettings()
        self._last: float | None = None

    def opens(self, time: float, motion: Motion | None) -> bool:
        """Whether the frame at `time` needs an inference. Unknown motion does."""
        if self._last is None or motion is None or time < self._last:
            return True
        # Half a millisecond of slack: timestamps of 1/fps do not add up exactly.
        due = time - self._last >= self.settings.min_interval - 0.0005
        return due or float(motion.rate.max()) >= self.settings.cell

    def passed(self, time: float) -> None:
        """An inference of the frame at `time` was made (only then does the interval start anew)."""
        self._last = time


def relight(memory: Floats, now: Floats) -> Floats:
    """`memory` under the light of `now`: gain and offset by least squares over what did not move."""
    x, y = memory[::2, ::2].ravel(), now[::2, ::2].ravel()
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(2):
        error = np.abs(y - (gain * x + offset))
        still = error <= 3 * np.median(error) + 1
        gain, offset = _line(x[still], y[still])
    lit: Floats = np.clip(memory * np.float32(gain) + np.float32(offset), 0, 255)
    return lit


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Least squares y = gain * x + offset; gain 1 where `x` is too flat to tell."""
    mx, my = float(x.mean()), float(y.mean())
    dx = x - mx
    spread = float(np.dot(dx, dx))
    gain = float(np.dot(dx, y - my)) / spread if spread > 4.0 * len(x) else 1.0
    gain = min(max(gain, 0.5), 2.0)
    return gain, my - gain * mx
