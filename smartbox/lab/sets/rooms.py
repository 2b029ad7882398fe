"""Simulated rooms with people in every posture; rendered once, the people are kept in `cache`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import UNSURE, People, Person
from smartbox.progress import each
from smartbox.simulation.postures import rooms

HELD_OUT = 500_000  # added to the seed
CLEAR, DIM = 0.42, 0.2  # share that can be seen (a desk hides legs), from which a posture is plain, and below which not


class Plugin(People):
    """Seeds from 1000000 on are training's."""

    ours: ClassVar[bool] = True

    seed: int = Field(ge=1_000_000)
    count: int = Field(500, ge=1)
    """Pictures to train on."""
    held_out: int = Field(100, ge=0)
    """Pictures of other rooms to validate on."""
    smallest: int = Field(24, ge=4)
    """Pixels of the longer side of a box; smaller ones are left out."""
    cache: Path = Path("var/lab/cache")

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        path = self.cache / f"{self._cached}-{part}.npz"
        if not path.is_file():
            made = self._cut(self._render(part), labels, part, self.seed)
            self.cache.mkdir(parents=True, exist_ok=True)
            arrays = np.stack(made.arrays) if made.arrays else np.zeros((0, 1, 1, 3), np.uint8)
            np.savez_compressed(path, arrays=arrays, classes=made.classes)
        with np.load(path) as kept:
            return Examples(list(kept["arrays"]), kept["classes"])

    @property
    def _cached(self) -> str:
        """What the people depend on, but for the code that draws them."""
        return f"rooms-{self.seed}-{self.count}-{self.held_out}-{self.size}-{self.unsure:g}"

    def _render(self, part: Part) -> Iterator[Person]:
        count, seed = (self.held_out, self.seed + HELD_OUT) if part == "val" else (self.count, self.seed)
        made = rooms(seed, count)
        for _ in each(range(count), f"rooms to {part}"):
            image, people = next(made)
            height, width = image.shape[:2]
            for label, (x0, y0, x1, y1), visible in people:
                box = (x0 * width, y0 * height, x1 * width, y1 * height)
                if DIM <= visible < CLEAR or max(box[2] - box[0], box[3] - box[1]) < self.smallest:
                    continue
                yield Person(image, box, label if visible >= CLEAR else UNSURE)
