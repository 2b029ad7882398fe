"""Scores a bundle on labelled pictures, through the very backend and decoder that the box uses; AP by pycocotools."""

import contextlib
import io
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox import decoders, plugins
from smartbox.bundle import Bundle
from smartbox.decoders import Decoder
from smartbox.errors import ConfigError
from smartbox.geometry import iou_matrix
from smartbox.lab.data import Entry, classes_of, labelled, read_boxes, read_image
from smartbox.peers import LEAST_SCORE, Peer
from smartbox.pipeline import Answer, Head, Pipeline
from smartbox.preprocess import prepare
from smartbox.progress import each
from smartbox.sources._base import SourceSettings
from smartbox.types import Detections, Floats, Frame

FLOOR = 1e-10  # AP wants the whole curve: of a raw score that is about 0.001, and calibrated scores fall steeply
HEIGHTS = {"20-40": (20, 40), "40-80": (40, 80), "80+": (80, 10**9)}
Found = tuple[str, float, Floats]  # scored name, score, box in pixels of the picture


@dataclass(frozen=True)
class Names:
    """How labels of the model and of the data meet: own name -> name that is scored; ignored ones are left out."""

    groups: Mapping[str, tuple[str, ...]]
    ignore: frozenset[str]

    def of(self, label: str) -> str:
        return next((group for group, members in self.groups.items() if label in members), label)

    def unknown(self, known: Collection[str]) -> list[str]:
        """Those that were written and are none of `known`."""
        members = {name for group in self.groups.values() for name in group}
        return sorted((members - set(known)) | (self.ignore - set(known) - set(self.groups)))


@dataclass(frozen=True, eq=False)
class Scored:
    """One picture: truth and detections in its pixels, with scored names; `blank`: boxes that count neither way."""

    known: frozenset[str]
    truth: list[tuple[str, Floats]]
    blank: list[Floats]
    found: list[Found]  # from the floor on
    reported: list[Found]  # what the box, as shipped, reports


def evaluate(
    bundle: Bundle,
    folder: Path,
    names: Names,
    *,
    backend: str | None = None,
    prefix: str = "",
    crops: int | None = None,
) -> dict[str, Any]:
    """What `smartbox lab evaluate` prints. ConfigError when bundle and folder do not fit.

    crops: score what a pipeline sees that may look so often once more; None: the model on whole pictures.
    """
    if bundle.manifest.task != "detect":
        raise ConfigError(f"{bundle.name} is a bundle for {bundle.manifest.task}; this scores task detect only")
    own = classes_of(folder)
    scored = _scored(own, bundle.labels, names)
    if not scored:
        raise ConfigError(f"{folder}/classes.txt has {', '.join(own)}; the bundle knows {', '.join(bundle.labels)}")
    chosen = [e for e in labelled(folder) if e.name.startswith(prefix)]
    if not chosen:
        raise ConfigError(f"{folder}/images holds no picture whose name begins with {prefix!r}")
    chosen_backend = backend or next(iter(bundle.manifest.files))
    detector = Detector(bundle, chosen_backend) if crops is None else PipelineDetector(bundle, chosen_backend, crops)
    return _figures(detector, chosen, own, names, scored) | {
        "not_scored": sorted(c for c in set(own) ^ set(bundle.labels) if names.of(c) not in scored),
        "backend": detector.session.name,
    }


def evaluate_peer(peer: Peer, folder: Path, names: Names, prefix: str = "") -> dict[str, Any]:
    """The same of another's detector, read with `least=FLOOR`: classes that the folder has not are left out."""
    own = classes_of(folder)
    scored = _scored(own, peer.bundle.labels, names)
    if not scored:
        raise ConfigError(f"--peer {peer.name}: no class of {folder} is among its {', '.join(peer.bundle.labels[:8])}")
    chosen = [e for e in labelled(folder) if e.name.startswith(prefix)]
    return _figures(PeerDetector(peer), chosen, own, names, scored) | {"backend": peer.backend}


def _scored(own: Sequence[str], labels: Sequence[str], names: Names) -> list[str]:
    """The scored names that the data and a model have both."""
    return sorted(set(map(names.of, own)) & set(map(names.of, labels)) - names.ignore)


def _figures(
    detector: "Detector", chosen: Sequence[Entry], own: Sequence[str], names: Names, scored: Sequence[str]
) -> dict[str, Any]:
    pictures = [score(detector, entry, own, names) for entry in each(chosen, "evaluate")]
    detector.session.close()
    ap = {c: average_precision(pictures, c) for c in scored}
    seen = [v for v in ap.values() if v is not None]
    return {
        "images": len(pictures),
        "AP50": {c: v and round(v[0], 4) for c, v in ap.items()},
        "mAP50": round(float(np.mean([v[0] for v in seen])), 4) if seen else None,
        "mAP": round(float(np.mean([v[1] for v in seen])), 4) if seen else None,
        "at_threshold": {c: at_threshold(pictures, c) for c in scored},
        "at_one_false_in_100": {c: at_few_false(pictures, c) for c in scored},
        "boxes": {c: sum(t == c for p in pictures for t, _ in p.truth if c in p.known) for c in scored},
        "ms_per_image": round(1000 * detector.seconds / len(pictures), 2),
    }


Read = Callable[[Decoder], Detections]


class Detector:
    """Bundle, session and decoder, with the time that pictures took."""

    def __init__(self, bundle: Bundle, backend: str, floor: float = FLOOR) -> None:
        manifest = bundle.manifest
        self.shipped = decoders.build(manifest)
        low = manifest.decoder.model_copy(update={"score_threshold": floor, "label_thresholds": {}})
        self.decoder = decoders.build(manifest.model_copy(update={"decoder": low}))
        self.spec = manifest.inputs[0]
        self.session: Any = plugins.load("backends", backend)().open(bundle)
        self.seconds = 0.0

    def __call__(self, image: NDArray[Any]) -> Detections:
        """What it finds from the floor on."""
        return self.timed(image)[1]

    def both(self, image: NDArray[Any]) -> tuple[Detections, Detections]:
        """What it finds from the floor on, and what the box, as shipped, reports.

        Read twice: of two boxes on one thing, the first reading may keep one that is below its label's threshold.
        """
        read, found = self.timed(image)
        return found, read(self.shipped)

    def timed(self, image: NDArray[Any]) -> tuple[Read, Detections]:
        """What a decoder makes of the outputs, and what it makes of them from the floor on."""
        began = time.perf_counter()
        read = self.look(image)
        found = read(self.decoder)
        self.seconds += time.perf_counter() - began
        return read, found

    def look(self, image: NDArray[Any]) -> Read:
        """Run the model; what is returned reads its outputs with a decoder."""
        tensor, view = prepare(image, self.spec)
        outputs = self.session.run({self.spec.name: tensor[None]})
        first = {name: values[0] for name, values in outputs.items()}
        return lambda decoder: _boxes(decoder.decode(first, view))


class PeerDetector(Detector):
    """Another's, through its own decoder; it reports from `peers.LEAST_SCORE` on."""

    def __init__(self, peer: Peer) -> None:
        self.decoder = peer.decoder
        self.spec = peer.bundle.manifest.inputs[0]
        self.session = plugins.load("backends", peer.backend)().open(peer.bundle)
        self.seconds = 0.0

    def both(self, image: NDArray[Any]) -> tuple[Detections, Detections]:
        found = self(image)
        return found, found[found.score >= LEAST_SCORE]


class PipelineDetector(Detector):
    """The same through a pipeline, for each picture as if it were a camera's first frame: region crops included."""

    def __init__(self, bundle: Bundle, backend: str, crops: int) -> None:
        super().__init__(bundle, backend)
        self.settings = SourceSettings.model_validate({"crops": crops})
        self.bundle, self.model = bundle, bundle.ref(backend)

    def look(self, image: NDArray[Any]) -> Read:
        plan = self._pipeline(self.decoder).plan(Frame.of("evaluate", 0, 0.0, 0.0, np.asarray(image, np.uint8)))
        outputs = self.session.run({self.spec.name: np.stack([request.tensor for request in plan.requests])})
        answers = [Answer({k: v[i] for k, v in outputs.items()}, self.model) for i in range(len(plan.requests))]
        return lambda decoder: _boxes(self._pipeline(decoder).see(plan, answers))

    def _pipeline(self, decoder: Decoder) -> Pipeline:
        return Pipeline("evaluate", self.settings, Head(self.bundle.name, self.bundle.manifest, decoder), ())


def _boxes(found: object) -> Detections:
    assert isinstance(found, Detections)  # of a detector; a pipeline always looks at its first frame
    return found


def score(detector: Detector, entry: Entry, own: Sequence[str], names: Names) -> Scored:
    image = read_image(entry.image)
    height, width = image.shape[:2]
    boxes, classes = read_boxes(entry.labels, width, height, len(own))
    truth = [(own[c], box) for c, box in zip(classes, boxes, strict=True)]
    found, reported = detector.both(image)
    known = frozenset(own) if entry.labelled is None else entry.labelled
    return Scored(
        frozenset(names.of(c) for c in known),
        [(names.of(c), box) for c, box in truth if c not in names.ignore],
        [box for c, box in truth if c in names.ignore],
        _named(found, names, (width, height)),
        _named(reported, names, (width, height)),
    )


def _named(found: Detections, names: Names, size: tuple[int, int]) -> list[Found]:
    pixels = found.xyxy * np.array(size * 2, np.float32)
    kept = [i for i in range(len(found)) if found.label(i) not in names.ignore]
    return [(names.of(found.label(i)), float(found.score[i]), pixels[i]) for i in kept]


def average_precision(pictures: Sequence[Scored], scored: str) -> tuple[float, float] | None:
    """(AP50, AP) of one name over the pictures where it is labelled; None when nothing is labelled so."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pool = [p for p in pictures if scored in p.known]
    truth: list[dict[str, Any]] = []
    found = []
    for n, picture in enumerate(pool):
        plain = [(box, 0) for name, box in picture.truth if name == scored]
        for box, crowd in plain + [(box, 1) for box in picture.blank]:  # a crowd box counts neither way
            x0, y0, x1, y1 = map(float, box)
            size = (x1 - x0, y1 - y0)
            fields = {"bbox": [x0, y0, *size], "area": size[0] * size[1], "iscrowd": crowd, "ignore": crowd}
            truth.append({"id": len(truth) + 1, "image_id": n, "category_id": 1, **fields})
        for name, value, (x0, y0, x1, y1) in picture.found:
            if name == scored:
                row = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
                found.append({"image_id": n, "category_id": 1, "score": value, "bbox": row})
    if not any(not t["iscrowd"] for t in truth):
        return None
    if not found:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": n} for n in range(len(pool))], "categories": [{"id": 1}]}
        coco.dataset |= {"annotations": truth, "info": {}}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[1]), float(run.stats[0])


def at_few_false(pictures: Sequence[Scored], scored: str) -> dict[str, Any]:
    """The same at the lowest score that leaves at most one false box in 100 pictures: detectors side by side."""
    pool = [p for p in pictures if scored in p.known]
    wrong = sorted((score for p in pool for score in _false_scores(p, scored)), reverse=True)
    allowed = len(pool) // 100
    least = float(np.nextafter(wrong[allowed], 2)) if len(wrong) > allowed else 0.0
    return {"score": round(least, 4), **at_threshold(pictures, scored, least)}


def _false_scores(picture: Scored, scored: str) -> list[float]:
    """Of boxes that match nothing. Matching goes by score, so that a higher threshold changes none above it."""
    best = sorted(((v, tuple(b)) for name, v, b in picture.found if name == scored), reverse=True)
    found = np.array([b for _, b in best], np.float32).reshape(-1, 4)
    truth = np.array([b for name, b in picture.truth if name == scored], np.float32).reshape(-1, 4)
    blank = np.array(picture.blank, np.float32).reshape(-1, 4)
    return [best[i][0] for i in match(found, truth)[1] if not _within(found[i], blank)]


def at_threshold(pictures: Sequence[Scored], scored: str, least: float | None = None) -> dict[str, Any]:
    """Recall by height and false boxes per 100 pictures, as shipped or from the score `least` on; a hit overlaps by
    half, one box a thing.
    """
    hits, totals, false, count = dict.fromkeys(HEIGHTS, 0), dict.fromkeys(HEIGHTS, 0), 0, 0
    for picture in (p for p in pictures if scored in p.known):
        count += 1
        truth = np.array([b for name, b in picture.truth if name == scored], np.float32).reshape(-1, 4)
        sure = picture.reported if least is None else [one for one in picture.found if one[1] >= least]
        boxes = sorted((v, tuple(b)) for name, v, b in sure if name == scored)
        found = np.array([b for _, b in reversed(boxes)], np.float32).reshape(-1, 4)
        taken, missed = match(found, truth)
        blank = np.array(picture.blank, np.float32).reshape(-1, 4)
        false += sum(not _within(found[i], blank) for i in missed)
        for j, box in enumerate(truth):
            for name, (low, high) in HEIGHTS.items():
                if low <= box[3] - box[1] < high:
                    totals[name] += 1
                    hits[name] += j in taken
    recall = {name: round(hits[name] / totals[name], 4) if totals[name] else None for name in HEIGHTS}
    return {"recall_by_height": recall, "false_per_100": round(100 * false / max(count, 1), 2)}


def match(found: Floats, truth: Floats) -> tuple[set[int], list[int]]:
    """Greedy, best score first, IoU >= 0.5: (truths that were found, detections that match none)."""
    taken: set[int] = set()
    missed = []
    overlap = iou_matrix(found, truth)
    for i in range(len(found)):
        free = [j for j in range(len(truth)) if j not in taken and overlap[i, j] >= 0.5]
        if free:
            taken.add(max(free, key=lambda j: overlap[i, j]))
        else:
            missed.append(i)
    return taken, missed


def _within(box: Floats, blanks: Floats) -> bool:
    """Half of `box` or more lies in one of `blanks`."""
    lo, hi = np.maximum(box[:2], blanks[:, :2]), np.minimum(box[2:], blanks[:, 2:])
    inside = (hi - lo).clip(0).prod(-1)
    return bool((inside >= 0.5 * (box[2:] - box[:2]).clip(1e-6).prod()).any())
