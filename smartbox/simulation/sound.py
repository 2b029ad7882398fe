"""Sounds of the park, synthesised: the standard patterns of smoke and gas alarms, a siren, and quiet background."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from smartbox.errors import StorageError
from smartbox.types import Floats

Sound = Literal["t3", "t4", "siren", "background"]
SOUNDS: tuple[Sound, ...] = get_args(Sound)
RATE = 16_000  # Hz

# Seconds on and off. T3 is ISO 8201's evacuation signal, T4 that of carbon monoxide alarms (NFPA 720).
_T3: tuple[tuple[float, float], ...] = ((0.5, 0.5), (0.5, 0.5), (0.5, 1.5))
_T4: tuple[tuple[float, float], ...] = ((0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.1, 5.0))


def sound(kind: Sound, seconds: float, seed: int = 1, level: float = 0.4) -> Floats:
    """Mono samples in -1..1 at 16 kHz: the sound in a room, over background noise; `level`: its peak."""
    rng = np.random.default_rng([seed, SOUNDS.index(kind)])
    n = int(seconds * RATE)
    out = _background(rng, n)
    if kind in {"t3", "t4"}:
        low = rng.random() < 0.5  # 520 Hz square waves wake sleepers better; cheap sounders are near 3.1 kHz
        pitch = rng.uniform(500, 540) if low else rng.uniform(2900, 3400)
        out += level * _room(rng, _pulses(n, pitch, low, _T3 if kind == "t3" else _T4))
    elif kind == "siren":
        out += level * _room(rng, _wail(rng, n))
    return np.clip(out, -1, 1).astype(np.float32)


def alarm(kind: Literal["t3", "t4"], seconds: float, seed: int, *, low: bool) -> Floats:
    """The pattern alone in a room, peak 1, nothing behind it. low: about 520 Hz, else about 3.1 kHz."""
    rng = np.random.default_rng([seed, SOUNDS.index(kind)])
    pitch = rng.uniform(500, 540) if low else rng.uniform(2900, 3400)
    return _room(rng, _pulses(int(seconds * RATE), pitch, low, _T3 if kind == "t3" else _T4))


def wailing(seconds: float, seed: int) -> Floats:
    """The siren alone in a room, peak 1, nothing behind it."""
    rng = np.random.default_rng([seed, SOUNDS.index("siren")])
    return _room(rng, _wail(rng, int(seconds * RATE)))


def write_wav(path: Path, samples: Floats) -> None:
    """16 bit PCM."""
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error}") from error


def _background(rng: np.random.Generator, n: int) -> Floats:
    """Hum of ventilation: noise that falls with frequency, about -45 dB."""
    spectrum = np.fft.rfft(rng.normal(0, 1, n))
    f = np.fft.rfftfreq(n, 1 / RATE)
    hum = np.fft.irfft(spectrum / np.maximum(f, 40.0) ** 0.7, n)
    return np.asarray(0.006 * hum / max(float(hum.std()), 1e-12), np.float32)


def _pulses(n: int, pitch: float, square: bool, pattern: tuple[tuple[float, float], ...]) -> Floats:
    t = np.arange(n) / RATE
    tone = np.sin(2 * np.pi * pitch * t)
    if square:
        tone = sum((np.sin(2 * np.pi * pitch * k * t) / k for k in range(3, 12, 2)), tone)
    gate = np.zeros(n, np.float32)
    for start, end in _beats(n, pattern):
        gate[start:end] = 1
    edge = np.hanning(2 * int(0.004 * RATE) + 1)
    return np.asarray(0.8 * tone * np.convolve(gate, edge / edge.sum(), "same"), np.float32)


def _beats(n: int, pattern: tuple[tuple[float, float], ...]) -> Iterator[tuple[int, int]]:
    at = 0.0
    while at * RATE < n:
        for on, off in pattern:
            yield int(at * RATE), int((at + on) * RATE)
            at += on + off


def _wail(rng: np.random.Generator, n: int) -> Floats:
    """An emergency vehicle: a tone that sweeps up and down, with overtones."""
    t = np.arange(n) / RATE
    period = rng.uniform(0.35, 4.5)
    low, high = rng.uniform(500, 700), rng.uniform(1200, 1600)
    pitch = low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * t / period))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return np.asarray(0.6 * np.sin(phase) + 0.25 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase), np.float32)


def _room(rng: np.random.Generator, dry: Floats) -> Floats:
    """With the echo of a room of 0.2 to 0.6 s."""
    length = int(rng.uniform(0.2, 0.6) * RATE)
    echo = rng.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)
    echo *= 0.35 / np.sqrt((echo**2).sum())
    echo[0] += 1
    size = len(dry) + length
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(echo, size), size)[: len(dry)]
    return np.asarray(wet / max(float(np.abs(wet).max()), 1e-9), np.float32)
