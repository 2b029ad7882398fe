"""Boxes by another detector for classes that a data set does not label: run once, kept in one file outside git."""

from pathlib import Path
from typing import Any

import numpy as np

from smartbox.bundle import Bundle
from smartbox.lab.data import entries, read_image
from smartbox.lab.evaluate import Detector
from smartbox.lab.pseudo import NAMES
from smartbox.progress import each

FLOOR = 0.1  # what is weaker does not even cast doubt


def write(bundle: Bundle, folder: Path, names: tuple[str, ...], out: Path) -> None:
    """Run `bundle` over the pictures of `folder`; `out`.npz: name -> k x 6 (xyxy 0–1, score, class of `names`).

    Under NAMES it holds the names themselves.
    """
    detector = Detector(bundle, next(iter(bundle.manifest.files)), FLOOR)
    rows: dict[str, Any] = {NAMES: np.array(names)}
    for entry in each(entries(folder), "teacher"):
        found = detector(read_image(entry.image))
        known = [i for i in range(len(found)) if found.label(i) in names]
        kind = np.array([names.index(found.label(i)) for i in known], np.float32)
        rows[entry.name] = np.concatenate([found.xyxy[known], found.score[known, None], kind[:, None]], 1)
    detector.session.close()
    np.savez(out, **rows)
