"""Pictures whose people somebody has boxed in a table (`smartbox/lab/boxtable.py`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from smartbox.lab import boxtable, crops
from smartbox.lab.sets import Examples, Part
from smartbox.lab.sets._people import People, Person
from smartbox.lab.sets._split import tell


class Plugin(People):
    """Pictures whose names begin alike up to the second `_` (the two ends of a clip) stay together in the split."""

    folder: Path
    table: Path
    val_share: float = Field(boxtable.VAL_SHARE, ge=0, le=1)
    """Share of the clips held out, chosen by a sum of that beginning."""

    def load(self, labels: Sequence[str], part: Part) -> Examples:
        return self._cut(self._people(part), labels, part)

    def _people(self, part: Part) -> Iterator[Person]:
        rows = [row for row in boxtable.rows(self.table, self.folder) if row.box is not None]
        held_out = {row.name: boxtable.held_out(row.name, self.val_share) for row in rows}
        if part == "train":
            tell(self.table, {"pictures": list(held_out.values())}, self.val_share, boxtable.RULE)
        for row in rows:
            if row.box is None or held_out[row.name] != (part == "val"):
                continue
            image = crops.read(row.image)
            height, width = image.shape[:2]
            x0, y0, x1, y1 = row.box
            yield Person(image, (x0 * width, y0 * height, x1 * width, y1 * height), row.posture)
