"""Pictures whose people somebody has boxed in a table: name, x0, y0, x1, y1 (0–1), posture; tab-separated.
A line with a name alone is a picture in which there is nobody and nothing.

Pictures whose names begin alike up to the second `_` (the two ends of a clip) stay together in the split, so that a
detector and a classifier that share a table hold the same clips out.
"""

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smartbox.errors import ConfigError
from smartbox.lab.data import SUFFIXES, why

VAL_SHARE = 0.25
RULE = "names that are alike up to their second `_` stay together; give the pictures names that differ there"
COLUMNS = ("name", "x0", "y0", "x1", "y1", "posture")
FORM = f"its columns are {', '.join(COLUMNS)}, the corners shares of the picture, x0 < x1 and y0 < y1"


@dataclass(frozen=True)
class Row:
    """One box, xyxy as shares of the picture in file `image`; None: the picture is empty."""

    name: str
    image: Path
    box: tuple[float, float, float, float] | None
    posture: str


def rows(table: Path, folder: Path) -> Iterator[Row]:
    """ConfigError where the table, or a picture that it names, is not there, or a line is no box."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            said = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{table}: {why(error)}; it must be a tab-separated table in UTF-8") from error
    for number, row in enumerate(said, 2):
        try:
            name, posture, box = row["name"], row.get("posture") or "", None
            if any(row.get(key) for key in COLUMNS[1:5]):
                x0, y0, x1, y1 = (float(row[key]) for key in COLUMNS[1:5])
                if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                    raise ValueError("no corners of a box")
                box = (x0, y0, x1, y1)
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{table}:{number}: is no box; {FORM}") from None
        path = next((p for s in SUFFIXES if (p := folder / f"{name}{s}").is_file()), None)
        if path is None:
            raise ConfigError(f"{table} names {name}, and {folder} has no such picture")
        yield Row(name, path, box, posture)


def held_out(name: str, share: float = VAL_SHARE) -> bool:
    """Chosen by a sum of the name up to its second `_`."""
    clip = "_".join(name.split("_")[:2])
    return zlib.crc32(clip.encode()) % 1000 < 1000 * share
