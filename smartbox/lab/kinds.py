"""The families of detectors that `smartbox lab import` knows, told by the shapes of their outputs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from smartbox.decoders._base import grid

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Kind:
    """A family of detectors: how its output is read, and how its pictures are usually prepared."""

    name: str
    decoder: dict[str, Any]
    picture: dict[str, Any] = field(default_factory=dict)


def _grids(size: tuple[int, int]) -> dict[tuple[int, ...], int]:
    return {strides: len(grid(size, strides)[0]) for strides in ((8, 16, 32), (8, 16, 32, 64))}


def kinds(shapes: dict[str, Shape], size: tuple[int, int], classes: int) -> list[Kind]:
    """Every family whose output looks like `shapes` (without the batch), the likeliest first."""
    if {"boxes", "scores"} <= shapes.keys():
        boxes = shapes["boxes"]
        fits = len(boxes) == 2 and boxes[1] == 4 and shapes["scores"] == (boxes[0], classes)
        return [Kind("boxes", {"type": "boxes"})] if fits else []
    if len(shapes) != 1:
        return []
    (shape,) = shapes.values()
    if len(shape) != 2:
        return []
    three, four = _grids(size).values()
    pixels = {"colour": "RGB", "scale": 1 / 255}
    found = []
    if shape == (three, 5 + classes):
        found.append(Kind("yolox", {"type": "yolo"}, {"colour": "BGR"}))
    if shape[1] == 5 + classes and shape[0] in (three, 3 * three, 3 * four):
        found.append(Kind("yolov5", {"type": "yolo", "encoded": False}, pixels))
    if shape[0] == 4 + classes:
        found.append(
            Kind("yolov8", {"type": "yolo", "encoded": False, "objectness": False, "transposed": True}, pixels)
        )
    bins, rest = divmod(shape[1] - classes, 4)
    if not rest and bins > 1 and shape[0] in (three, four):
        strides, offset = ((8, 16, 32), 0.5) if shape[0] == three else ((8, 16, 32, 64), 0.0)
        settings = {"type": "nanodet", "strides": list(strides), "reg_max": bins - 1, "offset": offset}
        mean_std = {"mean": (103.53, 116.28, 123.675), "std": (57.375, 57.12, 58.395)}
        found.append(Kind("nanodet", settings, {"colour": "BGR", **mean_std}))
    return found


def scores(kind: Kind, outputs: Mapping[str, NDArray[Any]], classes: int) -> NDArray[Any]:
    """Those of the outputs of a kind, batch first: of classes, and objectness."""
    if kind.name == "boxes":
        return outputs["scores"]
    (rows,) = outputs.values()
    if kind.name == "nanodet":
        return rows[..., :classes]
    return rows[:, 4:] if kind.decoder.get("transposed") else rows[..., 4:]
