"""What synthesised sounds are made of."""

import numpy as np
from numpy.typing import NDArray

from smartbox.lab.sets._sound import SPEC, in_a_room
from smartbox.types import Floats


def tone(rng: np.random.Generator, pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone with some overtones: a sine, a square wave, or between. pitch: Hz at each sample."""
    phase = 2 * np.pi * np.cumsum(pitch) / SPEC.rate + rng.uniform(0, 6)
    out: NDArray[np.float64] = np.sin(phase)
    strength, odd = rng.uniform(0, 1) * (rng.random() < 0.7), rng.random() < 0.6
    for k in range(3 if odd else 2, 12, 2 if odd else 1):
        out += strength / k * np.sin(k * phase) * (k * pitch < 7800)
    return out


def smooth(gate: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    edge = np.hanning(2 * int(rng.uniform(0.001, 0.012) * SPEC.rate) + 3)
    return np.convolve(gate, edge / edge.sum(), "same")


def placed(dry: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """At some level, seven of ten in a room."""
    loud = (dry * 0.3 / max(float(np.abs(dry).max()), 1e-9)).astype(np.float32)
    return in_a_room(loud, rng) if rng.random() < 0.7 else loud
