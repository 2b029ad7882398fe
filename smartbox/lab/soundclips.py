"""Sound files for training and scoring: read as the box reads them, and split for good.

The split is a rule and not a list, so that it holds for files that come later: a recording belongs to the part that
the SHA-256 of its key says, where the key is the speaker in Speech Commands' names (what stands before `_nohash_`,
without the word) and else the file's name. Of ten residues two are `test`, one is `dev` and the rest is `train`.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from smartbox.clock import ManualClock
from smartbox.errors import ConfigError
from smartbox.sources import file
from smartbox.types import AudioChunk, Floats

Split = Literal["train", "dev", "test"]
SUFFIXES = (".ogg", ".wav", ".flac", ".mp3", ".opus", ".m4a")
SPEAKER = re.compile(r"(?:^|_)([0-9a-f]{8})_nohash_")


def key_of(stem: str) -> str:
    """What must not be in two parts: `022cd682` for `022cd682_nohash_0` and `bed_022cd682_nohash_1`, else the name."""
    found = SPEAKER.search(stem)
    return found[1] if found else stem


def split_of(stem: str) -> Split:
    """The part that a file of this name belongs to, on every machine and for ever."""
    residue = int(hashlib.sha256(key_of(stem).encode()).hexdigest()[:8], 16) % 10
    return "test" if residue < 2 else "dev" if residue == 2 else "train"


def clips(folder: Path) -> list[Path]:
    """The sound files right inside `folder`, in order of their names."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def classes(folder: Path) -> dict[str, list[Path]]:
    """Class -> files, of a folder that holds a folder per class; ConfigError when it holds none."""
    found = {path.name: clips(path) for path in sorted(folder.glob("*")) if path.is_dir()}
    kept = {name: paths for name, paths in found.items() if paths}
    if not kept:
        raise ConfigError(f"{folder}: no folder of sounds in it; write CLASS/*.ogg (or {', '.join(SUFFIXES[1:])})")
    return kept


@lru_cache(maxsize=4096)
def read(path: Path) -> Floats:
    """The whole file as the box's `file` source gives it: 16 kHz mono float32. SourceError when it is none."""
    return np.concatenate([np.zeros(0, np.float32), *(chunk.samples for chunk in chunks(path))])


def chunks(path: Path) -> Iterator[AudioChunk]:
    """The file as the box hears it, from time 0."""
    source = file.Plugin.model_validate({"path": path, "paced": False, "audio": True})
    for sample in source.read(path.parent.name, ManualClock(0.0, 0.0), threading.Event()):
        if isinstance(sample, AudioChunk):
            yield sample
