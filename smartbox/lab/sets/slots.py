"""Pictures of a car park, each with a JSON of its slots: `{"slots": [{"id", "polygon", "occupied"}]}`, polygons 0–1."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from smartbox.errors import ConfigError, SourceError
from smartbox.geometry import Polygon
from smartbox.lab import crops
from smartbox.lab.data import SUFFIXES
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._warped import Slots, Taken


class Plugin(Slots):
    """The parts are split by picture, never by slot."""

    folder: Path
    held_out: tuple[str, ...] = ()
    """Beginnings of names: these pictures are for validation."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(pictures(self.folder, self.held_out, inside=part == "val"), labels, part)


def pictures(folder: Path, prefixes: tuple[str, ...], *, inside: bool = True) -> Iterator[Taken]:
    """Every slot of the pictures whose name begins with one of `prefixes`, or (not inside) with none."""
    found = sorted(p for p in folder.glob("*.json") if p.stem.startswith(prefixes) == inside)
    if not folder.is_dir():
        raise ConfigError(f"data folder {folder} is no directory; it must hold pictures with a JSON of slots each")
    for path in found:
        image = next((i for s in SUFFIXES if (i := path.with_suffix(s)).is_file()), None)
        if image is None:
            raise ConfigError(f"{path} has no picture of the same name beside it ({', '.join(SUFFIXES)})")
        pixels = crops.read(image)
        for polygon, taken in _slots(path):
            yield pixels, polygon, taken


def _slots(path: Path) -> list[tuple[Polygon, bool]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["slots"]
        return [(tuple((float(x), float(y)) for x, y in s["polygon"]), bool(s["occupied"])) for s in found]
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        form = '{"slots": [{"id", "polygon": [[x, y], ...], "occupied"}]}'
        raise SourceError(f"{path} does not say what slots the picture has; write {form}") from None
