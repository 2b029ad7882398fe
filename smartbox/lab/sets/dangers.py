"""Synthesised sirens, gunshots and explosions, beside the few recordings of them that there are."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from smartbox.lab.sets._sound import SPEC, Spectrum, bang, stretch
from smartbox.lab.sets._synth import MadeSet, Maker, placed, smooth, tone
from smartbox.types import Floats

SECONDS = 4.0  # of each example
Kind = Literal["siren", "gunshot", "explosion"]


class Plugin(MadeSet):
    """Makes `count` sounds of one kind; its name is the label."""

    train_seed: ClassVar[int] = 4_300_000
    val_seed: ClassVar[int] = 4_400_000
    kind: Kind

    def made(self) -> tuple[str, Maker]:
        return self.kind, MAKE[self.kind]

    def cut(self, clip: Spectrum, rng: np.random.Generator) -> Spectrum:
        """Any window of a siren; of a bang one in which it begins, as of recorded ones."""
        return stretch(clip, rng) if self.kind == "siren" else bang(clip, rng)


def siren(rng: np.random.Generator) -> Floats:
    """Wail, yelp, two tones in turn, or the air raid's slow rise, nearer or further off and passing by."""
    n = round(SECONDS * SPEC.rate)
    t = np.arange(n) / SPEC.rate + rng.uniform(0, 20)
    low = rng.uniform(350, 800)
    kind = rng.integers(4)
    if kind == 0:  # a wail: up in a second or some, and down
        cycle = t / rng.uniform(2, 9) % 1
        up = rng.uniform(0.2, 0.6)
        height = np.where(cycle < up, cycle / up, (1 - cycle) / (1 - up))
    elif kind == 1:  # a yelp: the same, several times a second
        cycle = t * rng.uniform(1.5, 7) % 1
        height = np.abs(2 * cycle - 1) if rng.random() < 0.5 else cycle
    elif kind == 2:  # the fire brigade's two tones
        height = (t / rng.uniform(0.7, 2.0) % 1 < 0.5) * 0.3
    else:
        low, height = rng.uniform(200, 450), 0.5 - 0.5 * np.cos(2 * np.pi * t / rng.uniform(6, 16))
    pitch = low * rng.uniform(1.7, 3.0) ** height * (1 + rng.uniform(0, 0.04) * np.tanh(t - t.mean()))
    nearer = np.interp(t, np.linspace(t[0], t[-1], 4), rng.uniform(0.3, 1.0, 4))
    return placed(tone(rng, pitch) * nearer, rng)


def gunshot(rng: np.random.Generator) -> Floats:
    """A crack and its echoes, once or in a burst."""
    n = round(SECONDS * SPEC.rate)
    shots = 1 if rng.random() < 0.5 else int(rng.integers(2, 9))
    crack, boom, tail = rng.uniform(0.002, 0.012), rng.uniform(0.01, 0.05), rng.uniform(0.05, 0.4)
    heavy, echo = rng.uniform(0.2, 1.5), rng.uniform(0.03, 0.4)
    out, at, pause = np.zeros(n), rng.uniform(0.3, 2.0), rng.uniform(0.08, 0.7)
    for _ in range(shots):
        start = round(at * SPEC.rate)
        if start >= n - 1600:
            break
        t = np.arange(n - start) / SPEC.rate
        strength = rng.uniform(0.7, 1.0)
        out[start:] += strength * rng.normal(0, 1, len(t)) * np.exp(-t / crack)
        out[start:] += strength * heavy * _coloured(rng, len(t), 0.8) * np.exp(-t / boom)
        out[start:] += strength * echo * _coloured(rng, len(t), 0.5) * np.exp(-t / tail)
        at += pause * rng.uniform(0.8, 1.25)
    return placed(out, rng)


def explosion(rng: np.random.Generator) -> Floats:
    """A deep burst that rolls on for a second or more, with what it throws about."""
    n = round(SECONDS * SPEC.rate)
    start = round(rng.uniform(0.3, 1.5) * SPEC.rate)
    t = np.arange(n - start) / SPEC.rate
    rise, life = rng.uniform(0.002, 0.08), rng.uniform(0.25, 1.5)
    out = np.zeros(n)
    out[start:] = _coloured(rng, len(t), rng.uniform(0.7, 1.3)) * np.minimum(t / rise, 1) * np.exp(-t / life)
    out[start:] += rng.uniform(0, 0.4) * rng.normal(0, 1, len(t)) * np.exp(-t / rng.uniform(0.01, 0.1))
    gusts = np.interp(np.arange(n), np.linspace(0, n, 40), rng.uniform(0.4, 1.0, 40))
    debris = smooth((rng.random(n) < rng.uniform(0, 40) / SPEC.rate) * rng.normal(0, 1, n), rng)
    debris[: start + round(0.1 * SPEC.rate)] = 0
    return placed(out * gusts + rng.uniform(0, 1) * debris, rng)


def _coloured(rng: np.random.Generator, n: int, tilt: float) -> NDArray[np.float64]:
    """Noise whose amplitude falls with frequency to the power of `tilt`; RMS 1."""
    f = np.maximum(np.fft.rfftfreq(n, 1 / SPEC.rate), 40.0)
    found = np.fft.irfft(np.fft.rfft(rng.normal(0, 1, n)) / f**tilt, n)
    return np.asarray(found / found.std())


MAKE: Mapping[Kind, Maker] = {
    "siren": siren,
    "gunshot": gunshot,
    "explosion": explosion,
}
