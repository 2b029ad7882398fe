"""The empty place as a camera knows it, and where it has looked different for a while. Pixels only; pure, in seconds.

Two memories at different rates (a dual-rate background, after Porikli, AVSS 2007): the fast one is the picture
without what passes, the slow one the place. Where both differ, and the fast one keeps still, something stays that was
not there.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.types import Floats

Mask = NDArray[np.bool_]

FAST_S = 1.5
"""Time constant of the fast memory: who walks past leaves nothing in it, a rain drop neither."""
SLOW_S = 30.0
"""That of the slow one where nothing changed: it follows the sun, dusk and drying asphalt."""
LOCAL = 3
"""Light is compared within this fraction (1/n) of the picture's height: clouds and lamps do not reach everywhere."""
COARSE = 4  # pixels on a side that have the same light
LEVEL = 12.0  # grey levels: the smallest change that counts
WHITE, BLACK = 247.0, 6.0  # grey levels beyond which a camera shows nothing any more
LIGHTER = 1.07  # times as bright: another exposure
NOISE = 3.0  # times the difference between picture and fast memory that is usual everywhere: that is noise


class Ground:
    """Both memories of one camera. lit: the slow one under the light of now; age: how long (s) each pixel differs.

    doubt: the share of the slow one, 0–1, that is something which stood there and not the place itself. gain: how many
    times as bright as in the slow memory most of the picture is.
    """

    def __init__(self, first: Floats) -> None:
        """first: rows x cols grey levels, as all that follow."""
        self.fast = first.copy()
        self.slow = first.copy()
        self.lit = first.copy()
        self.age = np.zeros(first.shape, np.float32)
        self.changed = np.zeros(first.shape, bool)
        self.lively = np.zeros(first.shape, bool)
        self.doubt = np.zeros(first.shape, np.float32)
        self.gain = 1.0
        self._known = 0.0

    def update(self, now: Floats, step: float, yields: Floats) -> None:
        """`step` s after the last picture. yields: share of what changed that the slow memory takes over, per pixel."""
        level = self._look(now, step)
        self.lit = self._relit()
        self.changed = cv2.blur(self._beyond(), (3, 3)) > level
        self.age += np.float32(step) * ~self.lively
        self.age *= self.changed
        weight = np.where(self.changed, yields, np.float32(1 - np.exp(-step / SLOW_S)))
        self.slow += weight * (self.fast - self.slow)
        self.doubt += weight * (self.changed - self.doubt)

    def learn(self, now: Floats, step: float, known: Mask) -> None:
        """While the place is not known yet. known: where something is that is not the place."""
        self._look(now, step)
        self.slow[:] = self.fast
        self.doubt = np.where(self.lively | known, 1.0, self.doubt * np.exp(-step / FAST_S)).astype(np.float32)

    def _look(self, now: Floats, step: float) -> float:
        """Let the fast memory follow; returns from which difference on (grey levels) something changed."""
        self._known += step
        cv2.accumulateWeighted(now, self.fast, float(1 - np.exp(-step / min(FAST_S, max(self._known, 1e-3)))))
        away = cv2.blur(cv2.absdiff(now, self.fast), (3, 3))
        level = max(LEVEL, NOISE * float(np.median(away[::3, ::3])))
        self.lively = away > level / 2
        return level

    def _beyond(self) -> Floats:
        """Grey levels by which there is something else now.

        Under another light most of a place is brighter or darker with it; an overexposed sky, a lamp or a screen are as
        they were, or in between.
        """
        least, most = cv2.min(self.slow, self.lit), cv2.max(self.slow, self.lit)
        beyond: Floats = cv2.max(cv2.max(self.fast - most, least - self.fast), 0.0)  # type: ignore[call-overload]
        return beyond

    def _relit(self) -> Floats:
        """The slow memory under the light of now: what did not change around a pixel says how bright it is."""
        rows, cols = self.fast.shape
        few = (cols // COARSE, rows // COARSE)
        size = (few[1] // LOCAL, few[1] // LOCAL)
        same = (~(self.changed | self.lively)).astype(np.float32)
        known, now, then = (
            cv2.blur(cv2.resize(part, few, interpolation=cv2.INTER_AREA), size)
            for part in (same, cv2.multiply(self.fast, same), cv2.multiply(self.slow, same))
        )
        gain = np.clip((now + 1.0) / (then + 1.0), 0.4, 2.5)
        self.gain = float(np.median(gain[::2, ::2]))
        # Where all around is covered there is nothing to compare: as bright as it was.
        trust = np.minimum(1.0, 5.0 * known)
        light = cv2.resize((1 + trust * (gain - 1)).astype(np.float32), (cols, rows), interpolation=cv2.INTER_LINEAR)
        lit: Floats = cv2.multiply(self.slow, light)  # type: ignore[assignment]
        return lit

    def lag(self, where: Mask) -> float:
        """How long (s) the fast memory took to become still after what changed there had come."""
        contrast = float(np.median(np.abs(self.fast[where] - self.slow[where])))
        return float(FAST_S * np.log(max(1.0, 2 * contrast / LEVEL)))

    def blind(self, where: Mask) -> bool:
        """Whether the camera could not see what is there before its exposure changed: it was white, or black."""
        place = float(np.median(self.slow[where]))
        return (place > WHITE and self.gain < 1 / LIGHTER) or (place < BLACK and self.gain > LIGHTER)

    def restart(self) -> None:
        """Know nothing any more: this is another place, or another light."""
        self.slow[:] = self.fast
        self.age[:] = 0.0
        self.changed[:] = False
        self.doubt[:] = 0.0
        self._known = 0.0

    def absorb(self, where: Mask) -> None:
        """What is there now belongs to the place."""
        self.slow[where] = self.fast[where]
        self.age[where] = 0.0
        self.changed[where] = False
        self.doubt[where] = 0.0
