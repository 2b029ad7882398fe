"""Simulated rooms with people in every posture; rendered once, the people are kept in `cache`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._kept import SILENT, kept
from smartbox.lab.sets._people import UNSURE, People, Person
from smartbox.progress import each
from smartbox.simulation.postures import rooms

HELD_OUT = 500_000  # added to the seed
CLEAR, DIM = 0.42, 0.2  # share that can be seen (a desk hides legs), from which a posture is plain, and below which not


class Plugin(People):
    """Seeds from 1000000 on are training's."""

    ours: ClassVar[bool] = True
    kind: ClassVar[str] = "rooms"

    seed: int = Field(ge=1_000_000)
    count: int = Field(500, ge=1)
    """Pictures to train on."""
    held_out: int = Field(100, ge=0)
    """Pictures of other rooms to validate on."""
    smallest: int = Field(24, ge=4)
    """Pixels of the longer side of a box; smaller ones are left out."""
    cache: Path = Path("var/lab/cache")

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        made_by = self._made_by() | {"labels": list(labels), "part": part}
        return kept(self.cache, self.kind, made_by, lambda: self._cut(self._render(part), labels, part, self.seed))

    def _made_by(self) -> dict[str, Any]:
        """What the people depend on, but for the code that draws them."""
        return self.model_dump(exclude=SILENT)

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
