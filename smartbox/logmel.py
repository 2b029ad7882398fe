"""Log-mel features of sound: the one implementation that box and lab share.

The filter bank of Kaldi's `compute-fbank-feats` (Povey et al., 2011) without dither and pre-emphasis: frames of 25 ms
every 10 ms, their mean removed, a Hann window (0.5 - 0.5 cos(2 pi i / (n - 1))), |FFT|^2, triangles on the mel scale
mel(f) = 1127 ln(1 + f / 700), then dB. `tests/test_logmel.py` compares it with the package kaldi-native-fbank.

Everything is computed in float64 and rounded to steps of 0.4 dB in uint8, so that the last bits of an FFT or a matrix
product, which differ between releases of NumPy and between processors, do not reach the model.
"""

from functools import lru_cache
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from smartbox.settings import Settings
from smartbox.types import Floats

STEPS_PER_DB = 2.5
SILENCE_DB = -60.0
"""What becomes 0. A full-scale sine gives about 40 dB, a quiet room's noise about -38 dB in each band."""


class LogMel(Settings):
    """How a window of sound becomes a tensor: part of a sound model's manifest."""

    rate: Literal[16_000] = 16_000
    """Samples a second (Hz), mono: what every source gives."""
    seconds: float = Field(default=1.0, gt=0, le=10)
    """Length of the window that the model hears at once."""
    every: float = Field(default=0.25, gt=0, le=10)
    """Seconds from one window to the next: the windows overlap, so that a word lies whole in one of them."""
    frame: float = Field(default=0.025, gt=0, le=0.1)
    """Length of a frame, s."""
    hop: float = Field(default=0.010, gt=0, le=0.1)
    """From one frame to the next, s."""
    bands: int = Field(default=64, ge=8, le=256)
    """Mel bands."""
    low: float = Field(default=60.0, ge=0)
    """Where the first band begins, Hz."""
    high: float = Field(default=7_600.0, gt=0)
    """Where the last band ends, Hz."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.low < self.high <= self.rate / 2:
            raise ValueError(f"low {self.low:g} < high {self.high:g} <= rate / 2 = {self.rate / 2:g} must hold")
        if self.samples < self.frame_samples:
            raise ValueError(f"seconds {self.seconds:g} is shorter than one frame of {self.frame:g} s")
        if self.every > self.seconds:
            raise ValueError(f"every {self.every:g} is longer than the window: sound would fall between two of them")
        return self

    @property
    def samples(self) -> int:
        """In one window."""
        return round(self.seconds * self.rate)

    @property
    def frame_samples(self) -> int:
        return round(self.frame * self.rate)

    @property
    def hop_samples(self) -> int:
        return round(self.hop * self.rate)

    @property
    def frames(self) -> int:
        """In one window, all of them whole."""
        return 1 + (self.samples - self.frame_samples) // self.hop_samples

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of `features`: time, bands, 1."""
        return self.frames, self.bands, 1


def decibels(samples: Floats, spec: LogMel) -> NDArray[np.float64]:
    """Sound of any length (-1..1, `spec.rate`) -> frames x bands, 10 log10 of the energy."""
    size, hop = spec.frame_samples, spec.hop_samples
    count = 1 + (len(samples) - size) // hop
    if count < 1:
        raise ValueError(f"{len(samples)} samples are less than one frame of {size}")
    starts = hop * np.arange(count)
    frames = samples.astype(np.float64)[starts[:, None] + np.arange(size)]
    frames -= frames.mean(1, keepdims=True)
    spectrum = np.fft.rfft(frames * _hann(size), _fft_size(size))
    energy = (spectrum.real**2 + spectrum.imag**2) @ _bank(spec)
    found: NDArray[np.float64] = 10.0 * np.log10(np.maximum(energy, 1e-12))
    return found


def features(samples: Floats, spec: LogMel) -> NDArray[np.uint8]:
    """Sound -> frames x bands x 1: 0 at SILENCE_DB and below, a step for each 0.4 dB above."""
    steps = np.rint((decibels(samples, spec) - SILENCE_DB) * STEPS_PER_DB)
    found: NDArray[np.uint8] = np.clip(steps, 0, 255).astype(np.uint8)[..., None]
    return found


def _fft_size(samples: int) -> int:
    return 1 << (samples - 1).bit_length()


@lru_cache(maxsize=8)
def _hann(size: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1))
    return window


@lru_cache(maxsize=8)
def _bank(spec: LogMel) -> NDArray[np.float64]:
    """(FFT bins) x bands: each band a triangle on the mel scale between the centres of its neighbours."""
    size = _fft_size(spec.frame_samples)
    mel = _mel(np.arange(size // 2 + 1) * spec.rate / size)[:, None]
    edges = np.linspace(_mel(np.float64(spec.low)), _mel(np.float64(spec.high)), spec.bands + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0.0, np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)))


def _mel(hertz: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))
