"""Synthesised sounds: the patterns of smoke and gas alarms, and beeps, tones and noises that are none.

The alarms vary more than the standard allows (ISO 8201 and NFPA 72 give the times, +-10 %), so that the simulator's own
alarms (`smartbox/simulation/sound.py`, written apart from this) are a test and not a repetition.
"""

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from smartbox.lab.sets._sound import SPEC, Spectrum, window
from smartbox.lab.sets._synth import MadeSet, Maker, placed, smooth, tone
from smartbox.types import Floats

SECONDS = 6.0  # of each example: a whole cycle of T3 or T4
T3 = ((0.5, 0.5), (0.5, 0.5), (0.5, 1.5))
T4 = ((0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.1, 5.0))
SEEN_DB = 15.0  # a frame this near to the loudest one holds the alarm's tone
DRAWS = 20  # of masks, until they leave the tone
SEEN_FRAMES = 20  # so many of them a window must hold to be called one: 0.2 s, two short beeps of T4


class Plugin(MadeSet):
    """Makes `count` sounds of one kind."""

    train_seed: ClassVar[int] = 4_100_000
    val_seed: ClassVar[int] = 4_200_000
    kind: Literal["alarm", "other"]
    """alarm: T3 and T4 at about 520 Hz and 3.1 kHz · other: what must not be taken for them."""
    label: str

    def made(self) -> tuple[str, Maker]:
        return self.label, alarm if self.kind == "alarm" else other

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
    return placed(smooth(gate, rng) * tone(rng, np.full(n, pitch * rng.uniform(0.995, 1.005))), rng)


def other(rng: np.random.Generator) -> Floats:
    """A noise, a tone, a melody of beeps, a lorry, a bird, struck notes, a glide, a voice: what is no alarm."""
    n = round(SECONDS * SPEC.rate)
    kind = rng.integers(9)
    if kind <= 1:
        return noise(rng, n)
    if kind == 2:  # steady: also at an alarm's pitch, for it is the pattern that makes the alarm
        pitch = np.exp(rng.uniform(np.log(80), np.log(5000)))
        return placed(tone(rng, np.full(n, pitch)), rng)
    if kind == 3:  # a lorry, a microwave oven, a till
        on, off = rng.uniform(0.1, 0.8, 2)
        gate = (np.arange(n) / SPEC.rate % (on + off) < on).astype(float)
        return placed(smooth(gate, rng) * tone(rng, np.full(n, rng.uniform(700, 2300))), rng)
    if kind == 4:  # a telephone, a toy: notes of any length
        ends = np.cumsum(rng.uniform(0.05, 0.4, 200))
        notes = np.exp(rng.uniform(np.log(250), np.log(4000), 200)) * (rng.random(200) < 0.7)
        pitch = notes[np.searchsorted(ends, np.arange(n) / SPEC.rate).clip(0, 199)]
        return placed(smooth((pitch > 0).astype(float), rng) * tone(rng, pitch), rng)
    if kind == 5:
        return placed(_struck(rng, n), rng)
    if kind == 6:  # somebody whistles, a door squeaks, a cat; short, for a long one is a siren
        knots = np.exp(rng.uniform(np.log(300), np.log(4500)) + np.cumsum(rng.normal(0, rng.uniform(0.1, 0.4), 40)))
        pitch = np.interp(np.arange(n), np.linspace(0, n, 40), knots.clip(150, 6000))
        return placed(smooth(_spells(rng, n, 0.1, 0.6), rng) * tone(rng, pitch), rng)
    if kind == 7:  # somebody sings or hums: many overtones, a pitch that trembles
        sung = rng.uniform(110, 700) * (
            1 + rng.uniform(0.005, 0.04) * np.sin(rng.uniform(25, 45) * np.arange(n) / SPEC.rate)
        )
        return placed(smooth(_spells(rng, n, 0.1, 1.0), rng) * tone(rng, sung), rng)
    chirps = np.zeros(n)  # a bird
    pitch = rng.uniform(2000, 5500) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(5, 40) * np.arange(n) / SPEC.rate))
    for at in rng.integers(0, n - 3000, 12):
        chirps[at : at + int(rng.integers(500, 3000))] = 1
    return placed(smooth(chirps, rng) * tone(rng, pitch), rng)


def _struck(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """A bell, a piano, glasses: tones that start at once and die away, several together or one after the other."""
    out = np.zeros(n)
    stretch = rng.choice([1.0, 1.0, 1.01, 1.4])  # overtones of metal lie further apart
    for at in rng.integers(0, n - 1600, int(rng.integers(2, 24))):
        t = np.arange(n - at) / SPEC.rate
        pitch, life = np.exp(rng.uniform(np.log(200), np.log(3800))), np.exp(rng.uniform(np.log(0.04), np.log(1.2)))
        for k in range(1, 6):
            hz = pitch * k**stretch
            out[at:] += (hz < 7800) / k * np.exp(-t * k / life) * np.sin(2 * np.pi * hz * t) * rng.uniform(0.3, 1)
    return out


def _spells(rng: np.random.Generator, n: int, shortest: float, longest: float) -> NDArray[np.float64]:
    """1 where it sounds and 0 in between, in turn, each for so many seconds."""
    ends = np.cumsum(rng.uniform(shortest, longest, math.ceil(SECONDS / shortest)))
    return (np.searchsorted(ends, np.arange(n) / SPEC.rate) % 2).astype(float)


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
