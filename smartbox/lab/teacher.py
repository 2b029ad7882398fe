"""Boxes by another detector for classes that a data set does not label: run once, kept in one file outside git."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.lab.data import entries, read_image
from smartbox.lab.evaluate import Detector
from smartbox.lab.pseudo import NAMES
from smartbox.progress import each

FLOOR = 0.1  # what is weaker does not even cast doubt


def write(bundle: Bundle, folder: Path, names: tuple[str, ...], out: Path) -> None:
    """Run `bundle` over the pictures of `folder`; `out`, an npz: name -> k x 6 (xyxy 0–1, score, class of `names`).

    Under NAMES it holds the names themselves. ConfigError when it is no detector, or knows none of `names`.
    """
    if bundle.manifest.task != "detect":
        raise ConfigError(f"{bundle.name} is a bundle for {bundle.manifest.task}; a teacher is a detector")
    if not set(bundle.labels) & set(names):
        raise ConfigError(f"{bundle.name} knows {', '.join(bundle.labels)}; none of {', '.join(names)} is among them")
    detector = Detector(bundle, next(iter(bundle.manifest.files)), FLOOR)
    rows: dict[str, NDArray[Any]] = {NAMES: np.array(names)}
    for entry in each(entries(folder), "teacher"):
        found = detector(read_image(entry.image))
        known = [i for i in range(len(found)) if found.label(i) in names]
        kind = np.array([names.index(found.label(i)) for i in known], np.float32)
        rows[entry.name] = np.concatenate([found.xyxy[known], found.score[known, None], kind[:, None]], 1)
    detector.session.close()
    _save(out, rows)


def _save(out: Path, rows: Mapping[str, NDArray[Any]]) -> None:
    """As `np.savez`, whose arguments' names and whose ending the pictures and `out` need not mind."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, values in rows.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, values)
