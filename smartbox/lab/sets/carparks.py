"""Simulated car parks; each picture is rendered once and its slots are kept in `cache`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._kept import SILENT, kept
from smartbox.lab.sets._warped import Slots, Taken
from smartbox.progress import each
from smartbox.simulation.carparks import carparks

HELD_OUT = 500_000  # added to the seed


class Plugin(Slots):
    """Seeds from 1000000 on are training's."""

    ours: ClassVar[bool] = True

    seed: int = Field(ge=1_000_000)
    count: int = Field(300, ge=1)
    """Pictures to train on."""
    held_out: int = Field(60, ge=0)
    """Pictures of other places to validate on."""
    cache: Path = Path("var/lab/cache")

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        made_by = self.model_dump(exclude={*SILENT, "skew", "sun"}) | {"labels": list(labels), "part": part}
        return kept(self.cache, "carparks", made_by, lambda: self._cut(self._render(part), labels, part))

    def _render(self, part: Part) -> Iterator[Taken]:
        count, seed = (self.held_out, self.seed + HELD_OUT) if part == "val" else (self.count, self.seed)
        made = carparks(seed, count)
        for _ in each(range(count), f"car parks to {part}"):
            image, slots = next(made)
            yield from ((image, slot.polygon, slot.taken) for slot in slots)
