"""Scores a classifier of pictures through the backend and decoder that the box uses, on crops that the box would cut.

Either a folder per class of crops, or pictures with a JSON of slots each, which are warped as the pipeline does.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox import crops as box_crops
from smartbox import decoders, plugins
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.lab import crops
from smartbox.lab.data import SUFFIXES
from smartbox.lab.recipe_classify import ClassifyRecipe
from smartbox.lab.sets import Part
from smartbox.lab.sets.slots import pictures
from smartbox.pipeline import WHOLE
from smartbox.preprocess import prepare
from smartbox.progress import each
from smartbox.types import Sounds

BATCH = 40
STATES = ("free", "occupied")
Example = tuple[NDArray[Any], str]  # tensor without the batch axis, label


def evaluate(bundle: Bundle, folder: Path, *, backend: str | None = None, prefix: str = "") -> dict[str, Any]:
    """What `smartbox lab evaluate` prints. prefix: only pictures whose name begins so, or so: `seq0,seq1`."""
    examples = list(_examples(bundle, folder, tuple(prefix.split(","))))
    if not examples:
        raise ConfigError(f"{folder} holds no example of {', '.join(bundle.labels)} whose name begins with {prefix!r}")
    name = backend or next(iter(bundle.manifest.files))
    session: Any = plugins.load("backends", name)().open(bundle)
    scores, seconds = _scores(bundle, session, [tensor for tensor, _ in examples])
    session.close()
    truth = [bundle.labels.index(label) for _, label in examples]
    table = confusion(scores.argmax(1), np.array(truth), len(bundle.labels))
    return {
        "images": len(examples),
        "top1": round(float(np.trace(table)) / len(examples), 4),
        "per_class": {label: _row(table, i) for i, label in enumerate(bundle.labels)},
        "confusion": {label: _counts(bundle.labels, table[i]) for i, label in enumerate(bundle.labels)},
        "not_scored": _not_scored(bundle.labels, folder),
        "backend": name,
        "ms_per_image": round(1000 * seconds / len(examples), 3),
    }


def _row(table: NDArray[np.int64], i: int) -> dict[str, Any]:
    hits, total, found = int(table[i, i]), int(table[i].sum()), int(table[:, i].sum())
    return {
        "count": total,
        "recall": round(hits / total, 4) if total else None,
        "precision": round(hits / found, 4) if found else None,
    }


def _counts(labels: tuple[str, ...], row: NDArray[np.int64]) -> dict[str, int]:
    return dict(zip(labels, map(int, row), strict=True))


def confusion(found: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts, truth x found."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, found), 1)
    return table


def _examples(bundle: Bundle, folder: Path, prefixes: tuple[str, ...]) -> Iterator[Example]:
    spec, labels = bundle.manifest.inputs[0], bundle.labels
    if _of_slots(labels, folder):
        for image, polygon, taken in pictures(folder, prefixes):
            yield box_crops.slot(image, polygon, spec), STATES[taken]
        return
    known = [label for label in labels if (folder / label).is_dir()]
    if not known:
        raise ConfigError(f"{folder} must hold a directory for each of {', '.join(labels)}, or pictures with slots")
    for label in known:
        for path in sorted(p for p in (folder / label).iterdir() if p.suffix.lower() in SUFFIXES):
            if path.name.startswith(prefixes):
                yield prepare(crops.read(path), spec)[0], label


def _of_slots(labels: tuple[str, ...], folder: Path) -> bool:
    return set(STATES) <= set(labels) and any(folder.glob("*.json"))


def _not_scored(labels: tuple[str, ...], folder: Path) -> list[str]:
    """Folders of pictures whose name is no label."""
    if _of_slots(labels, folder):
        return []
    strange = (path for path in folder.iterdir() if path.is_dir() and path.name not in labels)
    return sorted(path.name for path in strange if any(p.suffix.lower() in SUFFIXES for p in path.iterdir()))


def _scores(bundle: Bundle, session: Any, tensors: list[NDArray[Any]]) -> tuple[NDArray[np.float32], float]:
    """n x labels, and the seconds that inference and decoding took."""
    decoder = decoders.build(bundle.manifest)
    source, found = bundle.manifest.inputs[0].name, []
    began = time.perf_counter()
    for start in each(range(0, len(tensors), BATCH), "evaluate"):
        outputs = session.run({source: np.stack(tensors[start : start + BATCH])})
        for i in range(len(next(iter(outputs.values())))):
            said = decoder.decode({key: value[i] for key, value in outputs.items()}, WHOLE)
            assert isinstance(said, Sounds)  # scores per label, whatever they are of
            found.append(said.score)
    return np.stack(found), time.perf_counter() - began


def write(recipe: ClassifyRecipe, part: Part, out: Path) -> dict[str, Any]:
    """One part of the recipe's examples as the box cuts them, lossless, a folder per class, named by their set: its
    type, with a number from the second of a type on.
    """
    for label in recipe.labels:
        (out / label).mkdir(parents=True, exist_ok=True)
    counts: dict[str, dict[str, int]] = {}
    for entry, data in zip(recipe.data, recipe.sets, strict=True):
        of_type = sum(name.split("-")[0] == entry["type"] for name in counts)
        name = f"{entry['type']}-{of_type + 1}" if of_type else str(entry["type"])
        found = data.load(recipe.labels, part)
        for i in each(range(len(found.classes)), name):
            label = recipe.labels[found.classes[i]]
            picture = data.plain(found.arrays[i], recipe.input.shape)
            cv2.imwrite(str(out / label / f"{name}-{i:06}.png"), picture)
        counts[name] = {label: int((found.classes == c).sum()) for c, label in enumerate(recipe.labels)}
    return {"folder": str(out), "examples": counts}
