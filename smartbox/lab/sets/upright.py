"""People of a YOLO folder, nearly all of whom stand, walk or sit: taken for upright by the shape of their box."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.data import classes_of, entries, read_boxes
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import People, Person


class Plugin(People):
    """A wide box may be somebody who lies: it is left out."""

    folder: Path
    prefixes: tuple[str, ...] = ("",)
    """Beginnings of the names of the pictures to take."""
    smallest: int = Field(32, ge=4)
    """Pixels of the box's height."""
    tall: float = Field(1.0, gt=0)
    """Height against width from which on a person is taken for upright."""
    per_picture: int = Field(3, ge=1)
    val_share: float = Field(0.15, ge=0, le=1)
    """Share of the pictures held out, chosen by a sum of the name."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(self._people(part), labels, part)

    def _people(self, part: Part) -> Iterator[Person]:
        names = classes_of(self.folder)
        if "person" not in names:
            raise ConfigError(f"{self.folder}/classes.txt names no person, of whom this set is")
        person = names.index("person")
        for entry in entries(self.folder):
            held_out = zlib.crc32(entry.name.encode()) % 1000 < 1000 * self.val_share
            if held_out != (part == "val") or not entry.name.startswith(self.prefixes):
                continue
            image = crops.read(entry.image)
            boxes, classes = read_boxes(entry.labels, image.shape[1], image.shape[0])
            size = boxes[:, 2:] - boxes[:, :2]
            fit = (classes == person) & (size[:, 1] >= self.smallest) & (size[:, 1] >= self.tall * size[:, 0])
            for i in np.flatnonzero(fit)[: self.per_picture]:
                x0, y0, x1, y1 = (float(v) for v in boxes[i])
                yield Person(image, (x0, y0, x1, y1), "upright")
