"""Detectors of others to measure against: a bundle, a YOLOX as ONNX, or an OpenVINO IR that ends in DetectionOutput.

They run through the same backends as ours, one thread, and through pre- and post-processing of the same code. An IR
that ends in DetectionOutput (Open Model Zoo) is shown a stretched picture, as that Zoo's demos do.
"""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from pydantic import ValidationError

from smartbox import bundle as bundles
from smartbox import decoders, plugins
from smartbox.backends.onnxruntime import shapes
from smartbox.backends.openvino import IR_WEIGHTS
from smartbox.bundle import Bundle
from smartbox.decoders import Decoder
from smartbox.decoders._base import Outputs, tensor
from smartbox.errors import ConfigError
from smartbox.manifest import Manifest
from smartbox.types import Detections, View

LEAST_SCORE = 0.35
IMPORT = "`smartbox lab import`"


@dataclass(frozen=True, slots=True)
class Peer:
    """One to measure: what it is, what runs it, what reads its outputs."""

    name: str
    bundle: Bundle
    backend: str
    decoder: Decoder


@dataclass(frozen=True, slots=True)
class DetectionOutput:
    """Decodes 1 x N x 7: picture, label, score, x0, y0, x1, y1 (0-1 of the input); suppression is in the graph."""

    labels: tuple[str, ...]
    size: tuple[int, int]
    least: float

    def decode(self, outputs: Outputs, view: View) -> Detections:
        rows = tensor(outputs, "detections").reshape(-1, 7)
        rows = rows[(rows[:, 0] >= 0) & (rows[:, 2] >= self.least)]
        rows = rows[rows[:, 1] < len(self.labels)]
        pixels = rows[:, 3:] * np.array(self.size * 2, np.float32)
        return Detections(view.to_frame(pixels), rows[:, 2], rows[:, 1].astype(np.int64), self.labels)


def read(path: Path, scratch: Path, labels: Sequence[str] = (), least: float = LEAST_SCORE) -> Peer:
    """What a file or bundle directory is. ConfigError when it is none of the three kinds.

    scratch: an empty directory for a bundle around a bare file. labels: of a bare file's classes, in their order; none
    given: `class 0` and on. least: score from which it reports a box, of a bare file.
    """
    if path.is_dir():
        bundle = Bundle.open(path)
        return Peer(bundle.name, bundle, _backend(bundle), decoders.build(bundle.manifest))
    if path.suffix == ".onnx" and path.is_file():
        return _yolox(path, scratch, labels, least)
    if path.suffix == ".xml" and path.is_file() and path.with_suffix(".bin").is_file():
        return _ir(path, scratch, labels, least)
    raise ConfigError(f"--peer {path}: give a bundle's directory, a YOLOX as .onnx, or an IR as .xml with .bin beside")


def _backend(bundle: Bundle) -> str:
    known = [n for n in bundle.manifest.files if n in plugins.names("backends")]
    present = [n for n in known if plugins.load("backends", n).installed()]
    if not present:
        raise ConfigError(f"--peer {bundle.path}: none of its backends is installed: {', '.join(known)}")
    return present[0]


def _yolox(path: Path, scratch: Path, labels: Sequence[str], least: float) -> Peer:
    inputs, outputs = shapes(path.read_bytes())
    (name, shape), (output, rows) = next(iter(inputs.items())), next(iter(outputs.items()))
    if len(inputs) != 1 or len(outputs) != 1 or not _of_yolox(shape, rows):
        known = f"inputs {inputs}, outputs {outputs}"
        raise ConfigError(f"--peer {path}: is no YOLOX of one size: {known}; make a bundle of it with {IMPORT}")
    names = _names(path, labels, rows[2] - 5)
    shape, rows = ([d if isinstance(d, int) else None for d in dims] for dims in (shape, rows))
    decoder = {"type": "yolo", "score_threshold": least}
    bundle = _wrap(path, scratch, "onnxruntime", names, (name, shape), (output, rows), decoder)
    return Peer(path.stem, bundle, "onnxruntime", decoders.build(bundle.manifest))


def _of_yolox(taken: Sequence[Any], given: Sequence[Any]) -> bool:
    """Of N x 3 x H x W to N x A x (5 + classes), where nothing but N and A is free."""
    if len(taken) != 4 or len(given) != 3 or not all(isinstance(n, int) for n in (*taken[1:], given[2])):
        return False
    return bool(taken[1] == 3 and given[2] > 5)


def _ir(path: Path, scratch: Path, labels: Sequence[str], least: float) -> Peer:
    try:
        layers = ElementTree.parse(path).getroot().findall("layers/layer")
    except ElementTree.ParseError as error:
        raise ConfigError(f"--peer {path}: cannot be read as XML: {error}") from error
    inputs = [layer for layer in layers if layer.get("type") == "Parameter"]
    ends = [layer for layer in layers if layer.get("type") == "DetectionOutput"]
    if len(inputs) != 1 or len(ends) != 1:
        raise ConfigError(f"--peer {path}: must have one input and one DetectionOutput; make a bundle of its ONNX file")
    shape = str(inputs[0].find("data").get("shape"))  # type: ignore[union-attr]
    if not re.fullmatch(r"\d+, *3, *\d+, *\d+", shape):
        raise ConfigError(f"--peer {path}: its input is {shape}, and must be N,3,H,W; make a bundle of its ONNX file")
    taken = (str(inputs[0].get("name")), [int(n) for n in shape.split(",")])
    background = int(str(ends[0].find("data").get("background_label_id")))  # type: ignore[union-attr]
    names = _names(path, labels, background)
    found = ("detections", [1, 1, None, 7])
    bundle = _wrap(path, scratch, "openvino", names, taken, found, {"type": "boxes"}, "stretch")
    return Peer(path.stem, bundle, "openvino", DetectionOutput(bundle.labels, bundle.manifest.inputs[0].size, least))


def _names(path: Path, labels: Sequence[str], count: int) -> list[str]:
    if labels and len(labels) != count:
        hint = f"; if it is no YOLOX, make a bundle of it with {IMPORT}" if path.suffix == ".onnx" else ""
        raise ConfigError(f"--peer {path}: has {count} classes, and {len(labels)} names are given for them{hint}")
    return list(labels) or [f"class {i}" for i in range(count)]


def _wrap(
    path: Path,
    scratch: Path,
    backend: str,
    labels: list[str],
    taken: tuple[str, list[Any]],
    given: tuple[str, list[Any]],
    decoder: dict[str, Any],
    resize: str = "letterbox",
) -> Bundle:
    """A bundle around a copy: pixels 0-255 as float planes, BGR, as both kinds take them."""
    model, weights = f"model{path.suffix}", "model.bin"
    shutil.copy(path, scratch / model)
    files = {backend: bundles.model_file(scratch, model)}
    if backend == "openvino":
        shutil.copy(path.with_suffix(".bin"), scratch / weights)
        files[IR_WEIGHTS] = bundles.model_file(scratch, weights)
    picture = {"dtype": "float32", "layout": "NCHW", "colour": "BGR", "resize": resize}
    manifest = {
        "name": re.sub(r"[^A-Za-z0-9._-]", "-", f"peer-{path.stem}")[:64],
        "version": "0",
        "task": "detect",
        "labels": labels,
        "inputs": [{"name": taken[0], "shape": taken[1], **picture}],
        "outputs": [{"name": given[0], "shape": given[1]}],
        "decoder": decoder,
        "files": {name: entry.model_dump() for name, entry in files.items()},
    }
    try:
        return bundles.write(scratch, Manifest.model_validate(manifest))
    except ValidationError as error:
        raise ConfigError(bundles.problems(error, f"--peer {path}")) from error
