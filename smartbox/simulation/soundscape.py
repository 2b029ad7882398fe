"""Sounds of a site that are no alarm, though they beep, wail or bang as one: hard negatives for ears. Synthesised."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from smartbox.simulation.sound import RATE
from smartbox.types import Floats

Signal = NDArray[np.float64]


def everyday(kind: str, seed: int) -> Floats:
    """One of EVERYDAY, some seconds of it alone, peak 1, mono at 16 kHz."""
    rng = np.random.default_rng([seed, list(EVERYDAY).index(kind)])
    out = EVERYDAY[kind](rng)
    return np.asarray(out / max(float(np.abs(out).max()), 1e-9), np.float32)


def _seconds(seconds: float) -> Signal:
    return np.arange(round(seconds * RATE)) / RATE


def _beeps(t: Signal, pitch: float, on: float, off: float) -> Signal:
    """A tone that is on and off in turn, without clicks."""
    gate = (t % (on + off) < on).astype(float)
    soft = np.hanning(round(0.008 * RATE))
    return np.asarray(np.convolve(gate, soft / soft.sum(), "same") * np.sin(2 * np.pi * pitch * t))


def _struck(t: Signal, pitch: float, life: float) -> Signal:
    return np.asarray(sum(np.sin(2 * np.pi * pitch * k * t) * np.exp(-t * k / life) / k for k in (1, 2, 3)))


def reversing_lorry(rng: np.random.Generator) -> Signal:
    on = rng.uniform(0.35, 0.6)
    return _beeps(_seconds(rng.uniform(4, 7)), rng.uniform(1000, 1500), on, on * rng.uniform(0.8, 1.2))


def telephone(rng: np.random.Generator) -> Signal:
    """Two notes in quick turns, for a second, and again."""
    t = _seconds(6)
    low, turn = rng.uniform(700, 1100), rng.uniform(12, 25)
    pitch = np.where(t * turn % 1 < 0.5, low, low * rng.uniform(1.2, 1.4))
    ringing = (t % 3 < 1.2).astype(float)
    return np.asarray(ringing * np.sin(2 * np.pi * np.cumsum(pitch) / RATE))


def alarm_clock(rng: np.random.Generator) -> Signal:
    """Four short beeps a second, second after second: as quick as a gas alarm's, but without its pause."""
    t = _seconds(rng.uniform(4, 6))
    on = rng.uniform(0.05, 0.08)
    return np.asarray(_beeps(t, rng.uniform(1900, 2400), on, on) * (t % 1 < 8 * on))


def microwave_oven(rng: np.random.Generator) -> Signal:
    on = rng.uniform(0.2, 0.4)
    count = int(rng.integers(3, 6))
    return _beeps(_seconds(count * 2 * on), rng.uniform(1800, 2300), on, on)


def doorbell(rng: np.random.Generator) -> Signal:
    first, second = _seconds(rng.uniform(0.5, 0.9)), _seconds(2.0)
    pitch, life = rng.uniform(550, 800), rng.uniform(0.3, 0.7)
    return np.concatenate([_struck(first, pitch, life), _struck(second, pitch * 0.8, life)])


def horn(rng: np.random.Generator) -> Signal:
    """A car's: two notes a third apart, with all their overtones."""
    t = _seconds(rng.uniform(0.4, 1.5))
    low = rng.uniform(370, 450)
    return np.asarray(sum(np.sign(np.sin(2 * np.pi * p * t)) for p in (low, low * 1.26)))


def engine(rng: np.random.Generator) -> Signal:
    """A diesel that idles, and is given some gas."""
    t = _seconds(rng.uniform(4, 7))
    turns = rng.uniform(22, 32) * (1 + rng.uniform(0.2, 0.8) * np.exp(-((t - t.mean()) ** 2)))
    knock = np.exp(-8 * (np.cumsum(turns) / RATE % 1))
    return np.asarray(knock * rng.normal(0, 1, len(t)) + 0.5 * knock)


def drill(rng: np.random.Generator) -> Signal:
    t = _seconds(rng.uniform(2, 4))
    speed = rng.uniform(120, 260) * np.minimum(1, 0.4 + t)
    return np.asarray((2 * (np.cumsum(speed) / RATE % 1) - 1) * (1 + 0.3 * rng.normal(0, 1, len(t))))


EVERYDAY: Mapping[str, Callable[[np.random.Generator], Signal]] = {
    "reversing lorry": reversing_lorry,
    "telephone": telephone,
    "alarm clock": alarm_clock,
    "microwave oven": microwave_oven,
    "doorbell": doorbell,
    "horn": horn,
    "engine": engine,
    "drill": drill,
}
