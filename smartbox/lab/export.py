"""Trained checkpoint -> bundle: fold, calibrate, quantize, write ONNX and TFLite, record golden outputs, manifest."""

import datetime
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smartbox import __version__, bundle, plugins
from smartbox.lab.augment import plain
from smartbox.lab.data import Picture
from smartbox.lab.export_onnx import to_onnx
from smartbox.lab.export_tflite import to_tflite
from smartbox.lab.graph import capture
from smartbox.lab.macs import count
from smartbox.lab.nets.lrssd import STRIDES, Lrssd
from smartbox.lab.quantize import FakeQuant, QuantGraph, calibrate, freeze
from smartbox.lab.recipe import Recipe
from smartbox.lab.train_detect import normalise
from smartbox.manifest import (
    Cost,
    DecoderSpec,
    InputSpec,
    Manifest,
    ModelFile,
    OutputSpec,
    Precision,
    Provenance,
    Tolerance,
)
from smartbox.preprocess import prepare
from smartbox.simulation import frames

GOLDEN_SEED = 2_000_000
INT8 = Precision(weight_bits=8, activation_bits=8, granularity="channel")


@dataclass(frozen=True)
class Release:
    """What the manifest says beside what the recipe knows."""

    version: str
    note: str = ""


def restore(recipe: Recipe, checkpoint: Path) -> Any:
    """The averaged net of a checkpoint, in eval."""
    net = Lrssd(recipe.net.spec(len(recipe.labels)))
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["ema"])
    return net.eval()


def batches(pictures: Sequence[Picture], size: int, count: int, seed: int) -> Iterator[Any]:
    """`count` pictures as the box would prepare them, normalised, 16 at a time."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pictures), min(count, len(pictures)), replace=False)
    for start in range(0, len(chosen), 16):
        images = [plain(pictures[i], size).image for i in chosen[start : start + 16]]
        yield normalise(torch.from_numpy(np.stack(images)))


def quantized(net: Any, recipe: Recipe, pictures: Sequence[Picture], count: int = 256) -> FakeQuant:
    """`net` with rounding, scales found on `count` of `pictures`."""
    graph = capture(net)
    return FakeQuant(graph, calibrate(graph, batches(pictures, recipe.size, count, recipe.seed)))


def write(out: Path, recipe: Recipe, net: Any, fake: FakeQuant | None, release: Release) -> bundle.Bundle:
    """Write the bundle into directory `out` and check it; returns it. Without `fake`: in float, to compare with."""
    out.mkdir(parents=True, exist_ok=True)
    model = freeze(fake) if fake else capture(net)
    onnx_file, tflite_file = f"{recipe.name}.onnx", f"{recipe.name}.tflite"
    to_onnx(model, recipe.size, out / onnx_file)
    files = {"onnxruntime": bundle.model_file(out, onnx_file, INT8 if fake else None)}
    tolerance = {"onnxruntime": Tolerance(atol=1e-3)}
    if isinstance(model, QuantGraph):
        to_tflite(model, recipe.size, out / tflite_file)
        files["tflite"] = bundle.model_file(out, tflite_file, INT8)
        tolerance = tolerances(model)
    cost = count(net, (recipe.size, recipe.size))
    draft = bundle.write(out, manifest(recipe, release, files, Cost(macs=cost.macs, params=cost.params)))
    inputs = {"image": golden_input(recipe.size)}
    golden = bundle.write_golden(out, inputs, answer(draft, inputs), tolerance)
    return bundle.write(out, draft.manifest.model_copy(update={"golden": golden}))


def manifest(recipe: Recipe, release: Release, files: dict[str, ModelFile], cost: Cost) -> Manifest:
    cells = sum((recipe.size // s) ** 2 for s in STRIDES)
    decoder = {"type": "lrssd", "strides": list(STRIDES), **recipe.decoding.model_dump()}
    return Manifest(
        name=recipe.name,
        version=release.version,
        task="detect",
        labels=recipe.labels,
        groups=recipe.groups,
        inputs=(InputSpec(name="image", shape=(None, recipe.size, recipe.size, 3), layout="NHWC", colour="BGR"),),
        outputs=(
            OutputSpec(name="scores", shape=(None, cells, len(recipe.labels))),
            OutputSpec(name="boxes", shape=(None, cells, 4)),
        ),
        decoder=DecoderSpec.model_validate(decoder),
        files=files,
        cost=cost,
        provenance=provenance(recipe, release),
    )


def golden_input(size: int) -> NDArray[np.uint8]:
    """Two simulated pictures, prepared as the box does: nobody's data travels with the bundle."""
    spec = InputSpec(name="image", shape=(None, size, size, 3), layout="NHWC", colour="BGR")
    return np.stack([prepare(image, spec)[0] for image, _ in frames(GOLDEN_SEED, 2, per_scene=1)])


def answer(draft: bundle.Bundle, inputs: dict[str, Any]) -> dict[str, Any]:
    """What the box's first backend makes of `inputs`: every other has to repeat it."""
    session: Any = plugins.load("backends", "onnxruntime")().open(draft)
    outputs: dict[str, Any] = session.run(inputs)
    session.close()
    return outputs


def tolerances(quant: QuantGraph) -> dict[str, Tolerance]:
    """Runtimes round halves differently; a few such steps add up on the way to an output."""
    step = max(quant.scale(name).scale for level in quant.graph.outputs for name in level)
    return {"onnxruntime": Tolerance(atol=3.1 * step), "tflite": Tolerance(atol=6.5 * step)}


def provenance(recipe: Recipe, release: Release) -> Provenance:
    return Provenance(
        data=tuple({"name": d.name or d.folder.name, "licence": d.licence} for d in recipe.data),
        seeds=(recipe.seed,),
        software={
            "smartbox": __version__,
            "torch": torch.__version__,
            "onnxruntime": version("onnxruntime"),
            "python": platform.python_version(),
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        note=release.note or None,
    )
