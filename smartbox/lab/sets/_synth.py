"""What synthesised sounds are made of, and the base of the sets that make them."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from smartbox.lab.sets import Examples, Part, Shape, index_of
from smartbox.lab.sets._sound import SPEC, SoundSet, Spectrum, in_a_room, spectrum
from smartbox.types import Floats

Maker = Callable[[np.random.Generator], Floats]


class MadeSet(SoundSet):
    """Makes `count` sounds of one kind, a fifth as many for validation, each by a seed of its own."""

    ours: ClassVar[bool] = True
    train_seed: ClassVar[int]
    val_seed: ClassVar[int]
    count: int = 300

    @abstractmethod
    def made(self) -> tuple[str, Maker]:
        """The label, and what makes a sound of it."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        first, count = (self.train_seed, self.count) if part == "train" else (self.val_seed, self.count // 5)
        label, make = self.made()
        arrays = [spectrum(make(np.random.default_rng(first + i))) for i in range(count)]
        return Examples(arrays, np.full(count, index_of(label, labels), np.int64))

    def plain(self, array: Spectrum, shape: Shape) -> NDArray[np.uint8]:
        self.shape_of(shape)
        return self.to_tensor(self.cut(array, np.random.default_rng(0)))


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
