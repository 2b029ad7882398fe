"""Pictures in one folder per class."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.data import SUFFIXES
from smartbox.lab.sets import DataSet, Examples, Part, Shape


class Plugin(DataSet):
    """`folder/CLASS/*.jpg`; classes that are no labels are left out."""

    folder: Path
    val_share: float = 0.2
    """Share of the pictures that is held out, chosen by a sum of the file's name up to its first `_`."""
    resize: str = "stretch"

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        if not self.folder.is_dir():
            raise ConfigError(f"data folder {self.folder} is no directory; it must hold a directory for each label")
        arrays: list[NDArray[Any]] = []
        classes: list[int] = []
        for c, label in enumerate(labels):
            for path in sorted(p for p in (self.folder / label).glob("*") if p.suffix.lower() in SUFFIXES):
                if self._held_out(path.stem) == (part == "val"):
                    arrays.append(crops.read(path))
                    classes.append(c)
        return Examples(arrays, np.array(classes, np.int64))

    def _held_out(self, stem: str) -> bool:
        return zlib.crc32(stem.partition("_")[0].encode()) % 1000 < 1000 * self.val_share

    def plain(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        return crops.fit(array, (shape[1], shape[0]), self.resize)

    def augment(self, array: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
        return crops.vary(crops.jitter(self.plain(array, shape), rng), rng)
