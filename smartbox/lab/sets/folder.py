"""Pictures in one folder per class."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.data import SUFFIXES
from smartbox.lab.sets import DataSet, Examples, Part, Shape
from smartbox.lab.sets._split import tell
from smartbox.manifest import InputSpec
from smartbox.preprocess import prepare

RULE = "names that are alike up to their first `_` stay together; give the pictures names that differ there"


class Plugin(DataSet):
    """`folder/CLASS/*.jpg`; classes that are no labels are left out."""

    folder: Path
    val_share: float = Field(0.2, ge=0, le=1)
    """Share of the pictures that is held out, chosen by a sum of the file's name up to its first `_`; of the whole name
    where those of a class all begin alike."""
    resize: Literal["letterbox", "stretch"] = "stretch"
    """As `input.resize` says."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        if not self.folder.is_dir():
            raise ConfigError(f"data folder {self.folder} is no directory; it must hold a directory for each label")
        paths = {label: self._pictures(label) for label in labels}
        held_out = {label: self._held_out([path.stem for path in found]) for label, found in paths.items()}
        if part == "train":
            tell(self.folder, held_out, self.val_share, RULE)
        mine = [
            (c, path)
            for c, label in enumerate(labels)
            for path, out in zip(paths[label], held_out[label], strict=True)
            if out == (part == "val")
        ]
        return Examples([crops.read(path) for _, path in mine], np.array([c for c, _ in mine], np.int64))

    def _pictures(self, label: str) -> list[Path]:
        return sorted(p for p in (self.folder / label).glob("*") if p.suffix.lower() in SUFFIXES)

    def _held_out(self, stems: list[str]) -> list[bool]:
        starts = [stem.partition("_")[0] for stem in stems]
        keys = starts if len(set(starts)) > 1 else stems
        return [zlib.crc32(key.encode()) % 1000 < 1000 * self.val_share for key in keys]

    def plain(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        spec = InputSpec(name="image", shape=(None, *shape), layout="NHWC", colour="BGR", resize=self.resize)
        return prepare(array, spec)[0]

    def augment(self, array: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:
        return crops.vary(crops.jitter(self.plain(array, shape), rng), rng)
