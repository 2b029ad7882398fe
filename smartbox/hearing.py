"""The last second of a source's sound, and the windows of it that are due: what a sound model hears, and when."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox.logmel import LogMel, features
from smartbox.types import AudioChunk, Floats

GAP_S = 0.1
"""A chunk that is so much off its predecessor's end begins anew: no window spans a gap."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A model's input (frames x bands x 1), and when its last sample was heard, on both clocks."""

    time: float
    utc: float
    tensor: NDArray[Any]


class Hearing:
    """A ring of one window's length. Windows end `spec.every` s apart, whatever the length of the chunks."""

    def __init__(self, spec: LogMel) -> None:
        self._spec = spec
        self._every = round(spec.every * spec.rate)
        self._clear()

    def _clear(self) -> None:
        self._ring: Floats = np.zeros(0, np.float32)
        self._due = self._spec.samples  # where in the ring the next window ends
        self._end: float | None = None  # time of the ring's end

    def hear(self, chunk: AudioChunk) -> list[Window]:
        """The windows that are complete with `chunk`, in order."""
        rate = self._spec.rate
        if self._end is not None and abs(chunk.time - self._end) > GAP_S:
            self._clear()
        self._ring = np.concatenate([self._ring, chunk.samples])
        self._end = chunk.time + len(chunk.samples) / rate
        windows = []
        while self._due <= len(self._ring):
            samples = self._ring[self._due - self._spec.samples : self._due]
            time = self._end - (len(self._ring) - self._due) / rate
            windows.append(Window(time, chunk.utc + time - chunk.time, features(samples, self._spec)))
            self._due += self._every
        done = max(0, min(self._due - self._spec.samples, len(self._ring)))
        self._ring, self._due = self._ring[done:], self._due - done
        return windows
