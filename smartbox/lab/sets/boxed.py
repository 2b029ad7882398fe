"""Pictures whose people somebody has boxed in a table (`smartbox/lab/boxtable.py`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from smartbox.lab import boxtable, crops
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import People, Person


class Plugin(People):
    """Pictures whose names begin alike up to the second `_` (the two ends of a clip) stay together in the split."""

    folder: Path
    table: Path
    val_share: float = boxtable.VAL_SHARE
    """Share of the clips held out, chosen by a sum of that beginning."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(self._people(part), labels, part)

    def _people(self, part: Part) -> Iterator[Person]:
        for row in boxtable.rows(self.table, self.folder):
            if row.box is None or boxtable.held_out(row.name, self.val_share) != (part == "val"):
                continue
            image = crops.read(row.image)
            height, width = image.shape[:2]
            x0, y0, x1, y1 = row.box
            yield Person(image, (x0 * width, y0 * height, x1 * width, y1 * height), row.posture)
