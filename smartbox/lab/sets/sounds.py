"""Recorded sounds in one folder per class."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.lab import soundclips
from smartbox.lab.sets import Examples, Part, Shape
from smartbox.lab.sets._sound import (
    SPEC,
    SoundSet,
    Spectrum,
    bang,
    faster,
    in_a_room,
    loudest,
    loudness,
    resampled,
    spectrum,
    stretch,
    window,
)
from smartbox.types import Floats


class Plugin(SoundSet):
    """`folder/CLASS/*.ogg`, split by `soundclips.split_of`; classes that are no labels are left out."""

    folder: Path
    only: tuple[str, ...] = ()
    """Folders to take; none named: all."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Folder -> label, where they differ."""
    where: Literal["word", "bang", "anywhere"] = "word"
    """word: the clip is about as long as a window, and its middle is meant · bang: its loudest moment must be in the
    window · anywhere: any part of the clip that is not much quieter than the rest."""
    versions: int = 4
    """Of each clip for training, with other speeds and rooms."""
    speed: tuple[float, float] = (0.87, 1.15)
    shift: float = 0.2
    """Seconds by which a word may stand off the middle."""
    backwards: bool = False
    """Played from the end, for training alone: words that nobody says, by as many speakers as there are."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        arrays: list[Spectrum] = []
        classes: list[int] = []
        if self.backwards and part == "val":
            return Examples([], np.zeros(0, np.int64))
        for folder, paths in soundclips.classes(self.folder).items():
            label = self.rename.get(folder, folder)
            if label not in labels or (self.only and folder not in self.only):
                continue
            for path in (p for p in paths if soundclips.split_of(p.stem) in self.splits(part)):
                made = self._versions(path) if part == "train" else [spectrum(soundclips.read(path))]
                arrays += made
                classes += [labels.index(label)] * len(made)
        return Examples(arrays, np.array(classes, np.int64))

    def _versions(self, path: Path) -> list[Spectrum]:
        """The clip itself, then other speeds, every second in a room; always the same ones."""
        rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
        samples, margin = soundclips.read(path), self.shift if self.where == "word" else 0.0
        samples = samples[::-1].copy() if self.backwards else samples
        found: list[Floats] = [samples]
        for i in range(1, self.versions):
            other = faster(samples, rng.uniform(*self.speed))
            found.append(in_a_room(other, rng) if i % 2 else other)
        return [spectrum(version, margin) for version in found]

    def plain(self, array: Spectrum, shape: Shape) -> NDArray[np.uint8]:
        self.shape_of(shape)
        start = (len(array) - SPEC.frames) // 2 if self.where == "word" else loudest(array) - SPEC.frames // 3
        return self.to_tensor(window(array, start))

    def cut(self, clip: Spectrum, rng: np.random.Generator) -> Spectrum:
        if self.where == "word":
            frames = min(round(SPEC.frames * rng.uniform(*self.vary.pace)), len(clip))
            off = round(rng.uniform(-self.shift, self.shift) / SPEC.hop)
            found = window(clip, (len(clip) - frames) // 2 + off, frames).astype(np.float32)
            return resampled(found.T, frames / SPEC.frames, SPEC.frames).T
        if self.where == "bang":
            return bang(clip, rng)
        found = stretch(clip, rng)
        for _ in range(4):
            if loudness(found) > loudness(clip) - 15:
                break
            found = stretch(clip, rng)
        return found
