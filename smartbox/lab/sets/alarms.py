"""Synthesised sounds: the patterns of smoke and gas alarms, and beeps, tones and noises that are none.

The alarms vary more than the standard allows (ISO 8201 and NFPA 72 give the times, +-10 %), so that the simulator's own
alarms (`smartbox/simulation/sound.py`, written apart from this) are a test and not a repetition.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from smartbox.lab.sets import Examples, Part, Shape
from smartbox.lab.sets._sound import SPEC, SoundSet, Spectrum, in_a_room, spectrum, window
from smartbox.types import Floats

SECONDS = 6.0  # of each example: a whole cycle of T3 or T4
TRAIN_SEED, VAL_SEED = 4_100_000, 4_200_000
T3 = ((0.5, 0.5), (0.5, 0.5), (0.5, 1.5))
T4 = ((0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.1, 5.0))
SEEN_DB = 15.0  # a frame this near to the loudest one holds the alarm's tone
DRAWS = 20  # of masks, until they leave the tone
SEEN_FRAMES = 20  # so many of them a window must hold to be called one: 0.2 s, two short beeps of T4


class Plugin(SoundSet):
    """Makes `count` sounds of one kind."""

    ours: ClassVar[bool] = True
    kind: Literal["alarm", "other"]
    """alarm: T3 and T4 at about 520 Hz and 3.1 kHz · other: what must not be taken for them."""
    label: str
    count: int = 300

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        first, count = (TRAIN_SEED, self.count) if part == "train" else (VAL_SEED, self.count // 5)
        make = alarm if self.kind == "alarm" else other
        arrays = [spectrum(make(np.random.default_rng(first + i))) for i in range(count)]
        return Examples(arrays, np.full(count, labels.index(self.label), np.int64))

    def plain(self, array: Spectrum, shape: Shape) -> NDArray[np.uint8]:
        self.shape_of(shape)
        return self.to_tensor(self.cut(array, np.random.default_rng(0)))

    def cut(self, clip: Spectrum, rng: np.random.Generator) -> Spectrum:
        """Any window of `other`; of an alarm one that holds enough of it."""
        if self.kind == "other":
            return window(clip, int(rng.integers(len(clip) - SPEC.frames + 1)))
        loudest = clip.max(1)
        seen = np.convolve(loudest > loudest.max() - SEEN_DB, np.ones(SPEC.frames), "valid")
        fitting = np.flatnonzero(seen >= min(SEEN_FRAMES, seen.max()))
        return window(clip, int(rng.choice(fitting)))

    def blanked(self, window: Spectrum, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Never most of an alarm's only tone: that would leave noise, and call it an alarm."""
        tone = window > window.max() - SEEN_DB
        for _ in range(DRAWS if self.kind == "alarm" else 1):
            hidden = super().blanked(window, rng)
            if hidden[tone].mean() < 0.5:
                break
        return hidden


def alarm(rng: np.random.Generator) -> Floats:
    """A smoke or gas alarm in some room."""
    pattern = T3 if rng.random() < 0.5 else T4
    pitch = rng.uniform(480, 570) if rng.random() < 0.5 else rng.uniform(2700, 3600)
    n = round(SECONDS * SPEC.rate)
    gate = np.zeros(n)
    at = -rng.uniform(0, sum(map(sum, pattern)))
    while at < SECONDS:
        for on, off in pattern:
            length = on * rng.uniform(0.9, 1.1)
            gate[max(0, round(at * SPEC.rate)) : max(0, round((at + length) * SPEC.rate))] = 1
            at += length + off * rng.uniform(0.9, 1.1)
    return _placed(_smooth(gate, rng) * _tone(rng, np.full(n, pitch * rng.uniform(0.995, 1.005))), rng)


def other(rng: np.random.Generator) -> Floats:
    """A noise, a steady tone, a melody of beeps, a reversing lorry, a bird: what is no alarm."""
    n = round(SECONDS * SPEC.rate)
    kind = rng.integers(6)
    if kind <= 1:
        return noise(rng, n)
    if kind == 2:  # steady: also at an alarm's pitch, for it is the pattern that makes the alarm
        pitch = np.exp(rng.uniform(np.log(80), np.log(5000)))
        return _placed(_tone(rng, np.full(n, pitch)), rng)
    if kind == 3:  # a lorry, a microwave oven, a till
        on, off = rng.uniform(0.1, 0.8, 2)
        gate = (np.arange(n) / SPEC.rate % (on + off) < on).astype(float)
        return _placed(_smooth(gate, rng) * _tone(rng, np.full(n, rng.uniform(700, 2300))), rng)
    if kind == 4:  # a telephone, a toy: notes of any length
        ends = np.cumsum(rng.uniform(0.05, 0.4, 200))
        notes = np.exp(rng.uniform(np.log(250), np.log(4000), 200)) * (rng.random(200) < 0.7)
        pitch = notes[np.searchsorted(ends, np.arange(n) / SPEC.rate).clip(0, 199)]
        return _placed(_smooth((pitch > 0).astype(float), rng) * _tone(rng, pitch), rng)
    chirps = np.zeros(n)  # a bird
    pitch = rng.uniform(2000, 5500) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(5, 40) * np.arange(n) / SPEC.rate))
    for at in rng.integers(0, n - 3000, 12):
        chirps[at : at + int(rng.integers(500, 3000))] = 1
    return _placed(_smooth(chirps, rng) * _tone(rng, pitch), rng)


def noise(rng: np.random.Generator, n: int) -> Floats:
    """White to brown noise whose level moves, now and then with the hum of the mains, sometimes nothing at all."""
    if rng.random() < 0.05:
        return np.zeros(n, np.float32)
    f = np.maximum(np.fft.rfftfreq(n, 1 / SPEC.rate), 30.0)
    coloured = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, n)) / f ** rng.uniform(0, 1.2), n)
    level = np.interp(np.arange(n), np.linspace(0, n, 8), rng.uniform(0.3, 1.0, 8))
    out = coloured / coloured.std() * level
    if rng.random() < 0.3:
        out += rng.uniform(0.2, 2) * np.sin(2 * np.pi * rng.choice([50, 60, 100, 120]) * np.arange(n) / SPEC.rate)
    return np.asarray(out * 10 ** (rng.uniform(-60, -15) / 20), np.float32)


def _tone(rng: np.random.Generator, pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """A tone with some overtones: a sine, a square wave, or between. pitch: Hz at each sample."""
    phase = 2 * np.pi * np.cumsum(pitch) / SPEC.rate + rng.uniform(0, 6)
    out: NDArray[np.float64] = np.sin(phase)
    strength, odd = rng.uniform(0, 1) * (rng.random() < 0.7), rng.random() < 0.6
    for k in range(3 if odd else 2, 12, 2 if odd else 1):
        out += strength / k * np.sin(k * phase) * (k * pitch < 7800)
    return out


def _smooth(gate: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    edge = np.hanning(2 * int(rng.uniform(0.001, 0.012) * SPEC.rate) + 3)
    return np.convolve(gate, edge / edge.sum(), "same")


def _placed(dry: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """At some level, seven of ten in a room."""
    loud = (dry * 0.3 / max(float(np.abs(dry).max()), 1e-9)).astype(np.float32)
    return in_a_room(loud, rng) if rng.random() < 0.7 else loud
