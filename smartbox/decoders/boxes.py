"""Models whose graph ends in boxes already: corners in model pixels and a score per class."""

from smartbox.decoders._base import BoxDecoder, Outputs, tensor
from smartbox.types import Detections, View


class Plugin(BoxDecoder):
    """Outputs `boxes` (n x 4: x0, y0, x1, y1 in model pixels) and `scores` (n x C, 0–1); n may vary."""

    def decode(self, outputs: Outputs, view: View) -> Detections:
        scores = self.check(tensor(outputs, "scores"), "scores", None, len(self.labels))
        boxes = self.check(tensor(outputs, "boxes"), "boxes", len(scores), 4)
        rows, score, class_id = self.select(scores)
        return self.detections(boxes[rows], score, class_id, view)
