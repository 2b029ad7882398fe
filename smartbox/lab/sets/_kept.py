"""Examples that take long to render are kept in a file, named by a sum of all that they were made by."""

import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from smartbox.lab.sets import Examples

SILENT = {"name", "licence", "share", "cache"}  # settings that change no example
TORN = (BadZipFile, zlib.error, OSError, EOFError, KeyError, ValueError)


def kept(folder: Path, kind: str, made_by: Mapping[str, Any], make: Callable[[], Examples]) -> Examples:
    """What `make` gives, from `folder` where it has been made before."""
    said = json.dumps(made_by, sort_keys=True)
    path = folder / f"{kind}-{hashlib.sha256(said.encode()).hexdigest()[:16]}.npz"
    if path.is_file():
        try:
            with path.open("rb") as file, np.load(file) as found:
                return Examples(list(found["arrays"]), found["classes"])
        except TORN:
            sys.stderr.write(f"{path}: is not whole; it is made anew\n")
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as new:
        arrays = np.stack(made.arrays) if made.arrays else np.zeros((0, 1, 1, 3), np.uint8)
        np.savez_compressed(new, arrays=arrays, classes=made.classes)
    part.replace(path)
    return made
