"""`smartbox lab import`: a user's own ONNX detector as a bundle, its kind told by the shapes of its outputs."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from smartbox import bundle
from smartbox.backends.onnxruntime import foreign_errors
from smartbox.bundle import Bundle
from smartbox.decoders._base import grid
from smartbox.errors import ConfigError
from smartbox.lab.data import SUFFIXES
from smartbox.lab.evaluate import Detector
from smartbox.manifest import DecoderSpec, InputSpec, Manifest, OutputSpec, Tolerance
from smartbox.preprocess import prepare
from smartbox.simulation import frames
from smartbox.sketch import sketch

Shape = tuple[int, ...]
SIMULATED_SEED = 2_000_000
COCO = Path(__file__).with_name("coco.txt")
"""The 80 classes of COCO, in the order that every detector trained on it has."""


@dataclass(frozen=True)
class Kind:
    """A family of detectors: how its output is read, and how its pictures are usually prepared."""

    name: str
    decoder: dict[str, Any]
    picture: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Wish:
    """What the user says; what he does not say is found out or the family's habit."""

    name: str
    version: str = "1"
    labels: tuple[str, ...] = ()
    kind: str | None = None
    size: tuple[int, int] | None = None
    picture: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.35


def _grids(size: tuple[int, int]) -> dict[tuple[int, ...], int]:
    return {strides: len(grid(size, strides)[0]) for strides in ((8, 16, 32), (8, 16, 32, 64))}


def kinds(shapes: dict[str, Shape], size: tuple[int, int], classes: int) -> list[Kind]:
    """Every family whose output looks like `shapes` (without the batch), the likeliest first."""
    if {"boxes", "scores"} <= shapes.keys():
        return [Kind("boxes", {"type": "boxes"})]
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


def bring(model: Path, out: Path, wish: Wish, pictures: Path | None = None) -> dict[str, Any]:
    """Write the bundle `out`, run it on a few pictures, draw what it finds. ConfigError says what is missing or wrong.

    pictures: a folder of one's own; else simulated ones, on which a good detector may find little.
    """
    session = _open(model)
    (name, dtype, shape), size = _input(model, session, wish.size)
    shapes = _outputs(session, name, dtype, shape)
    labels = wish.labels or tuple(COCO.read_text().split())
    kind = _chosen(model, shapes, size, labels, wish)
    shown = list(_pictures(pictures))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, out / "model.onnx")
    spec = InputSpec.model_validate(
        {"name": name, "shape": shape, "dtype": dtype, "layout": "NCHW" if shape[1] == 3 else "NHWC"}
        | {"colour": "BGR"}
        | kind.picture
        | wish.picture
    )
    manifest = Manifest(
        name=wish.name,
        version=wish.version,
        task="detect",
        labels=labels,
        groups=_groups(labels),
        inputs=(spec,),
        outputs=tuple(OutputSpec(name=n, shape=(spec.batch, *s)) for n, s in shapes.items()),
        decoder=DecoderSpec.model_validate(kind.decoder | {"score_threshold": wish.threshold}),
        files={"onnxruntime": bundle.model_file(out, "model.onnx")},
    )
    made = _with_golden(out, manifest, session, shown[0])
    return {"bundle": str(out), "kind": kind.name, "input": list(shape), "labels": len(labels), **_look(made, shown)}


def _open(model: Path) -> Any:
    if not model.is_file():
        raise ConfigError(f"{model}: {'is a directory' if model.is_dir() else 'no such file'}; give an ONNX file")
    try:
        return onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    except foreign_errors(onnxruntime.capi.onnxruntime_pybind11_state) as error:
        raise ConfigError(f"{model}: onnxruntime cannot open it: {str(error).splitlines()[0]}") from error


def _input(
    model: Path, session: Any, size: tuple[int, int] | None
) -> tuple[tuple[str, str, list[int | None]], tuple[int, int]]:
    """(name, dtype, shape), (width, height)."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        found = ", ".join(f"{i.name} {i.shape}" for i in inputs)
        raise ConfigError(f"{model}: a detector takes one picture, [batch, 3, height, width]; this one takes {found}")
    types = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}
    if inputs[0].type not in types:
        raise ConfigError(f"{model}: its input is {inputs[0].type}; write it as one of {', '.join(types)}")
    shape = [d if isinstance(d, int) and d > 0 else None for d in inputs[0].shape]
    first = 2 if shape[1] == 3 else 1
    if 3 not in (shape[1], shape[3]):
        raise ConfigError(f"{model}: its input is {inputs[0].shape}; a picture has 3 channels, second or last")
    if None in shape[first : first + 2]:
        if size is None:
            raise ConfigError(f"{model}: its input is {inputs[0].shape}; say the size with --size WIDTHxHEIGHT")
        shape[first : first + 2] = [size[1], size[0]]
    height, width = shape[first : first + 2]
    assert height and width  # both are numbers now
    if size and size != (width, height):
        raise ConfigError(f"{model}: its input is {width}x{height}; leave --size out")
    return (inputs[0].name, types[inputs[0].type], shape), (width, height)


def _outputs(session: Any, name: str, dtype: str, shape: Sequence[int | None]) -> dict[str, Shape]:
    """Run once: exporters leave shapes of outputs open."""
    values = session.run(None, {name: np.zeros([d or 1 for d in shape], dtype)})
    return {o.name: tuple(np.shape(v)[1:]) for o, v in zip(session.get_outputs(), values, strict=True)}


def _chosen(model: Path, shapes: dict[str, Shape], size: tuple[int, int], labels: Sequence[str], wish: Wish) -> Kind:
    found = kinds(shapes, size, len(labels))
    if wish.kind:
        found = [kind for kind in found if kind.name == wish.kind]
    if found:
        return found[0]
    seen = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    what = f"a {wish.kind} detector" if wish.kind else "a detector that is known here (yolox, yolov5, yolov8, nanodet)"
    raise ConfigError(
        f"{model}: with {len(labels)} labels and {size[0]}x{size[1]} pixels the outputs {seen} are not those of "
        f"{what}; give its labels with --labels FILE (one per line), or write the manifest by hand: "
        "docs/guide/bring-your-own-detector.md"
    )


def _groups(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What rules ask for as `vehicle`."""
    members = tuple(label for label in ("car", "bus", "truck") if label in labels)
    return {"vehicle": members} if members and "vehicle" not in labels else {}


def _pictures(folder: Path | None, limit: int = 8) -> Iterator[NDArray[np.uint8]]:
    if folder is None:
        yield from (image for image, _ in frames(SIMULATED_SEED, 4, per_scene=1))
        return
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    images = (cv2.imread(str(path)) for path in paths[:limit])
    read = [np.asarray(image, np.uint8) for image in images if image is not None]
    if not read:
        raise ConfigError(f"{folder}: holds no picture that can be read ({', '.join(SUFFIXES)})")
    yield from read


def _with_golden(out: Path, manifest: Manifest, session: Any, picture: NDArray[np.uint8]) -> Bundle:
    spec = manifest.inputs[0]
    tensor = prepare(picture, spec)[0][None]
    outputs = dict(zip((o.name for o in manifest.outputs), session.run(None, {spec.name: tensor}), strict=True))
    tolerance = {"onnxruntime": Tolerance(atol=0.01, rtol=0.01)}
    golden = bundle.write_golden(out, {spec.name: tensor}, outputs, tolerance)
    return bundle.write(out, manifest.model_copy(update={"golden": golden}))


def _look(made: Bundle, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, Any]:
    """Draw what is found at the threshold of the bundle; the pictures go beside it."""
    detector = Detector(made, "onnxruntime", floor=made.manifest.decoder.settings["score_threshold"])
    folder = made.path / "look"
    folder.mkdir(exist_ok=True)
    counts: dict[str, int] = {}
    for i, picture in enumerate(pictures):
        found = detector(picture)
        for row in range(len(found)):
            counts[found.label(row)] = counts.get(found.label(row), 0) + 1
        (folder / f"{i:02d}.jpg").write_bytes(sketch(picture, (), found))
    detector.session.close()
    return {"look_at": str(folder), "found": counts}
