"""The simulator's post, a guard at a desk, in other colours, light and weather, cut as the box cuts it: by the boxes
that the detector finds there. Rendered once, the people are kept in `cache`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from smartbox.bundle import Bundle
from smartbox.geometry import iou_matrix
from smartbox.lab.evaluate import Detector
from smartbox.lab.sets import Part
from smartbox.lab.sets._people import UNSURE, Person
from smartbox.lab.sets.rooms import CLEAR, DIM, HELD_OUT
from smartbox.lab.sets.rooms import Plugin as Rooms
from smartbox.progress import each
from smartbox.simulation.postures import posts
from smartbox.types import Floats

SAME = 0.4  # overlap from which on a found box is that person's
SURE = 0.3  # score


class Plugin(Rooms):
    """Whom the detector does not find is cut by the true box in training, and left out of what is held out."""

    kind: ClassVar[str] = "posts"

    detector: Path
    """Bundle."""

    def _made_by(self) -> dict[str, Any]:
        return super()._made_by() | {"detector": Bundle.open(self.detector).sha256}

    def _render(self, part: Part) -> Iterator[Person]:
        count, seed = (self.held_out, self.seed + HELD_OUT) if part == "val" else (self.count, self.seed)
        bundle = Bundle.open(self.detector)
        detector, made = Detector(bundle, next(iter(bundle.manifest.files)), SURE), posts(seed, count)
        for _ in each(range(count), f"posts to {part}"):
            image, people = next(made)
            found = detector(image)
            boxes = found.xyxy[[found.label(i) == "person" for i in range(len(found))]]
            size = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
            for label, box, visible in people:
                true = np.array([box], np.float32)
                seen = nearest(true, boxes)
                if DIM <= visible < CLEAR or (seen is None and part == "val"):
                    continue
                x0, y0, x1, y1 = ((true[0] if seen is None else seen) * size).tolist()
                if max(x1 - x0, y1 - y0) >= self.smallest:
                    yield Person(image, (x0, y0, x1, y1), label if visible >= CLEAR else UNSURE)
        detector.session.close()


def nearest(true: Floats, boxes: Floats) -> Floats | None:
    """The found box (of n x 4) that is most like the true one (1 x 4), if any is."""
    if not len(boxes):
        return None
    overlap = iou_matrix(boxes, true)[:, 0]
    best = int(overlap.argmax())
    return np.asarray(boxes[best], np.float32) if overlap[best] >= SAME else None
