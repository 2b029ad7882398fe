"""What sets of sounds share: clips as spectra in dB, and their augmentation there.

Changing a spectrum costs a tenth of what changing the samples would: gain is a sum, a microphone's colour is a curve
over the bands, noise is added as power, a shift is another stretch of frames. Only what cannot be done so, speed and
rooms, is done once on the samples, in a few versions of each clip.
"""

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.lab import soundclips
from smartbox.lab.sets import DataSet, Part, Shape
from smartbox.logmel import SILENCE_DB, STEPS_PER_DB, LogMel, decibels
from smartbox.settings import Settings
from smartbox.types import Floats

Spectrum = NDArray[Any]  # frames x bands in dB, float16: a clip's, as long as it is
SPEC = LogMel()
FLOOR_DB = -95.0


class Vary(Settings):
    """How sounds are varied in training; numbers in pairs are the ends of a range."""

    gain: tuple[float, float] = (-25.0, 8.0)
    """dB: people and things are near and far."""
    colour: Annotated[float, Field(ge=0)] = 3.0
    """dB, deviation of a smooth curve over the bands: microphones and rooms differ."""
    pace: tuple[float, float] = (0.85, 1.2)
    """Seconds of a word that are heard in one: how fast it is spoken."""
    voice: tuple[float, float] = (0.88, 1.14)
    """Factor on the mel scale: long and short vocal tracts (VTLP, Jaitly and Hinton, 2013)."""
    noise: Annotated[float, Field(ge=0, le=1)] = 0.8
    """Share of examples with noise of another recording."""
    snr: tuple[float, float] = (0.0, 30.0)
    """dB of the sound's loud frames over that noise."""
    hiss: tuple[float, float] = (-75.0, -40.0)
    """dB of a microphone's own noise in each band."""
    masks: int = 2
    """SpecAugment (Park et al., 2019): as many stretches of time, and of bands, are blanked."""
    masked: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of examples that have such blanks. Below 1 the net also learns from sounds as the box hears them."""
    mask_time: int = 12
    """Frames, at most."""
    mask_bands: int = 8
    """Bands, at most."""


class SoundSet(DataSet):
    """Base of the sets here."""

    vary: Vary = Vary()
    noise: tuple[Path, ...] = ()
    """Folders of sounds that are mixed under these ones."""
    dev: bool = False
    """To choose between recipes: leaves the part `dev` out of training and validates on it, not on `test`."""

    @abstractmethod
    def cut(self, clip: Spectrum, rng: np.random.Generator) -> Spectrum:
        """A window of a clip in which it is what its class says."""

    def augment(self, array: Spectrum, shape: Shape, rng: np.random.Generator) -> NDArray[np.uint8]:
        self.shape_of(shape)
        return self.varied(self.cut(array, rng), self.noises, rng)

    def splits(self, part: Part) -> tuple[soundclips.Split, ...]:
        if part == "val":
            return ("dev",) if self.dev else ("test",)
        return ("train",) if self.dev else ("train", "dev")

    @cached_property
    def noises(self) -> list[Spectrum]:
        """Of the training part only: what is mixed in must not be what is tested with."""
        paths = [path for folder in self.noise for path in soundclips.clips(folder)]
        return [spectrum(soundclips.read(p)) for p in paths if soundclips.split_of(p.stem) in self.splits("train")]

    def shape_of(self, shape: Shape) -> None:
        """ValueError where the recipe's input is not what SPEC gives."""
        if shape != SPEC.shape:
            raise ValueError(f"input.shape {shape} must be {SPEC.shape} for sounds")

    def to_tensor(self, spectrum: Spectrum) -> NDArray[np.uint8]:
        """98 x 64 in dB -> the box's uint8."""
        steps = np.rint((spectrum.astype(np.float64) - SILENCE_DB) * STEPS_PER_DB)
        return np.asarray(np.clip(steps, 0, 255).astype(np.uint8)[..., None])

    def varied(self, window: Spectrum, noises: Sequence[Spectrum], rng: np.random.Generator) -> NDArray[np.uint8]:
        """A window of a clip as another microphone in another place might hear it."""
        vary = self.vary
        heard = resampled(window.astype(np.float32), rng.uniform(*vary.voice))
        if noises and rng.random() < vary.noise:
            noise = stretch(noises[int(rng.integers(len(noises)))], rng).astype(np.float32)
            snr = rng.uniform(*vary.snr)
            heard = add_power(heard, noise + (loudness(heard) - loudness(noise) - snr))
        heard = heard + rng.uniform(*vary.gain) + curve(rng, heard.shape[1], vary.colour)
        hiss = np.float32(rng.uniform(*vary.hiss)) + 2 * rng.standard_normal(heard.shape, np.float32)
        heard = add_power(heard, hiss)
        tensor = self.to_tensor(heard)
        tensor[self.blanked(window, rng)] = 0
        return tensor

    def blanked(self, window: Spectrum, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which cells of a window are hidden (SpecAugment).

        In every set of a recipe, or in none: a class that never has blanks would be known by that.
        """
        frames, bands = window.shape
        hidden = np.zeros((frames, bands), np.bool_)
        if self.vary.masked < 1 and rng.random() >= self.vary.masked:
            return hidden
        for _ in range(self.vary.masks):
            width = int(rng.integers(self.vary.mask_time + 1))
            at = int(rng.integers(frames - width + 1))
            hidden[at : at + width] = True
            width = int(rng.integers(self.vary.mask_bands + 1))
            at = int(rng.integers(bands - width + 1))
            hidden[:, at : at + width] = True
        return hidden


def spectrum(samples: Floats, margin: float = 0.0) -> Spectrum:
    """In dB, with `margin` s before and after, and at least one window long.

    What lacks is as quiet as the clip's quiet frames are: a sudden digital silence would tell what no room does.
    """
    found = decibels(np.pad(samples, (0, max(0, SPEC.frame_samples - len(samples)))), SPEC)
    quiet = np.percentile(found, 10, axis=0)
    lacking, more = max(0, SPEC.frames - len(found)), round(margin / SPEC.hop)
    before = np.tile(quiet, (lacking // 2 + more, 1))
    after = np.tile(quiet, (lacking - lacking // 2 + more, 1))
    return np.asarray(np.concatenate([before, found, after]).clip(FLOOR_DB), np.float16)


def window(clip: Spectrum, start: int, frames: int = SPEC.frames) -> Spectrum:
    """A window's frames, from `start` as far as the clip allows."""
    start = min(max(start, 0), max(0, len(clip) - frames))
    return clip[start : start + frames]


def resampled(found: NDArray[Any], factor: float, size: int = 0) -> NDArray[Any]:
    """Column i takes what stands at column i * factor, between its neighbours; `size` columns, else as many."""
    last = found.shape[1] - 1
    at = (np.arange(size or last + 1) * factor).clip(0, last)
    low = at.astype(int)
    share = (at - low).astype(found.dtype)
    return np.asarray(found[:, low] * (1 - share) + found[:, np.minimum(low + 1, last)] * share)


def stretch(clip: Spectrum, rng: np.random.Generator) -> Spectrum:
    """Any window of it."""
    return window(clip, int(rng.integers(len(clip) - SPEC.frames + 1)))


def bang(clip: Spectrum, rng: np.random.Generator) -> Spectrum:
    """A window with the loudest moment, not near an edge: an onset alone is no bang yet."""
    return window(clip, loudest(clip) - int(rng.integers(15, SPEC.frames - 35)))


LN = np.float32(np.log(10) / 10)


def add_power(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """10 log10(10^(a/10) + 10^(b/10)): the sum of two sounds that know nothing of one another."""
    return np.asarray(np.log(np.exp(one * LN) + np.exp(other * LN)) / LN)  # logaddexp has no vector code


def loudness(spectrum: Spectrum) -> float:
    """dB of a clip's loud frames: power over all bands, the ninth of ten frames."""
    frames = np.log(np.exp(spectrum.astype(np.float32) * LN).sum(1)) / LN
    return float(np.percentile(frames, 90))


def loudest(clip: Spectrum) -> int:
    """The frame with the most power."""
    return int(np.exp2(clip.astype(np.float32) / 3).sum(1).argmax())


def curve(rng: np.random.Generator, bands: int, deviation: float) -> Floats:
    """A smooth random curve over the bands, dB."""
    knots = rng.normal(0, deviation, 5)
    return np.interp(np.linspace(0, 4, bands), np.arange(5), knots).astype(np.float32)


def faster(samples: Floats, factor: float) -> Floats:
    """Speed and pitch together."""
    at = np.arange(0, len(samples) - 1, factor)
    played: Floats = np.interp(at, np.arange(len(samples)), samples).astype(np.float32)
    return played


def in_a_room(samples: Floats, rng: np.random.Generator) -> Floats:
    """With the echo of a room of 0.1 to 0.7 s (decaying noise), as loud as before."""
    length = int(rng.uniform(0.1, 0.7) * SPEC.rate)
    echo = rng.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    echo *= rng.uniform(0.1, 0.8) / np.sqrt((echo**2).sum())
    echo[0] += 1
    size = 1 << (len(samples) + length - 1).bit_length()  # the FFT of any other length may take ten times as long
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echo, size), size)[: len(samples)]
    wet *= np.sqrt((samples**2).mean() / max(float((wet**2).mean()), 1e-12))
    return wet.astype(np.float32)
