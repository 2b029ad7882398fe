"""Things of any class that a table names: picture, x0, y0, x1, y1 (0–1), label, part; tab-separated."""

import csv
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import People, Person
from smartbox.types import Image


class Plugin(People):
    """The table's parts are `train`, `dev` and `test`; nothing but the table says what is held out."""

    folder: Path
    """What the table's pictures are below."""
    table: Path
    unsure: float = 0.0
    dev: bool = False
    """To choose between recipes: leaves the part `dev` out of training and validates on it, not on `test`."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(self._things(part), labels, part)

    def _things(self, part: Part) -> Iterator[Person]:
        wanted = ("train",) if self.dev else ("train", "dev")
        if part == "val":
            wanted = ("dev",) if self.dev else ("test",)
        try:
            with self.table.open(newline="") as file:
                rows = [row for row in csv.DictReader(file, delimiter="\t") if row["part"] in wanted]
        except OSError as error:
            raise ConfigError(f"{self.table} cannot be read: {error.strerror}") from error
        read = lru_cache(maxsize=2)(self._picture)  # the rows of one picture follow one another
        for row in rows:
            image = read(row["picture"])
            height, width = image.shape[:2]
            x0, y0, x1, y1 = (float(row[key]) for key in ("x0", "y0", "x1", "y1"))
            yield Person(image, (x0 * width, y0 * height, x1 * width, y1 * height), row["label"])

    def _picture(self, name: str) -> Image:
        path = self.folder / name
        if not path.is_file():
            raise ConfigError(f"{self.table} names {name}, and {self.folder} has no such picture")
        return crops.read(path)
