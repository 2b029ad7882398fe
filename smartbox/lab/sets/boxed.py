"""Pictures whose people somebody has boxed in a table: name, x0, y0, x1, y1 (0–1), posture; tab-separated."""

import csv
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.data import SUFFIXES
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import People, Person


class Plugin(People):
    """Pictures whose names begin alike up to the second `_` (the two ends of a clip) stay together in the split."""

    folder: Path
    table: Path
    val_share: float = 0.25
    """Share of the clips held out, chosen by a sum of that beginning."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(self._people(part), labels, part)

    def _people(self, part: Part) -> Iterator[Person]:
        try:
            with self.table.open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
        except OSError as error:
            raise ConfigError(f"{self.table} cannot be read: {error.strerror}") from error
        for row in rows:
            if self._held_out(row["name"]) != (part == "val"):
                continue
            path = next((p for s in SUFFIXES if (p := self.folder / f"{row['name']}{s}").is_file()), None)
            if path is None:
                raise ConfigError(f"{self.table} names {row['name']}, and {self.folder} has no such picture")
            image = crops.read(path)
            height, width = image.shape[:2]
            x0, y0, x1, y1 = (float(row[key]) for key in ("x0", "y0", "x1", "y1"))
            yield Person(image, (x0 * width, y0 * height, x1 * width, y1 * height), row["posture"])

    def _held_out(self, name: str) -> bool:
        clip = "_".join(name.split("_")[:2])
        return zlib.crc32(clip.encode()) % 1000 < 1000 * self.val_share
