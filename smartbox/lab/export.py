"""Trained checkpoint -> bundle: fold, calibrate, quantize, write ONNX and TFLite, record golden outputs, manifest."""

import datetime
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from smartbox import __version__, bundle
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
    OutputSpec,
    Precision,
    Provenance,
    Tolerance,
)

INT8 = Precision(weight_bits=8, activation_bits=8, granularity="channel")


@dataclass(frozen=True)
class Release:
    """What the manifest says beside what the recipe knows."""

    version: str
    score_threshold: float = 0.35
    nms_iou: float = 0.5
    cross_label_iou: float = 0.75
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


def write(out: Path, recipe: Recipe, net: Any, fake: FakeQuant, pictures: Sequence[Picture], release: Release) -> Any:
    """Write the bundle into directory `out` and check it; returns it."""
    out.mkdir(parents=True, exist_ok=True)
    quant: QuantGraph = freeze(fake)
    onnx_file, tflite_file = f"{recipe.name}.onnx", f"{recipe.name}.tflite"
    to_onnx(quant, recipe.size, out / onnx_file)
    to_tflite(quant, recipe.size, out / tflite_file)
    images = np.stack([plain(p, recipe.size).image for p in pictures[:2]])
    golden = golden_outputs(out / onnx_file, images)
    step = max(quant.scale(name).scale for level in quant.graph.outputs for name in level)
    # Runtimes round halves differently; a few such steps add up on the way to an output.
    tolerance = {"onnxruntime": Tolerance(atol=1.1 * step), "tflite": Tolerance(atol=6.5 * step)}
    cells = sum((recipe.size // s) ** 2 for s in STRIDES)
    cost = count(net, (recipe.size, recipe.size))
    manifest = Manifest(
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
        decoder=DecoderSpec.model_validate(
            {
                "type": "lrssd",
                "strides": list(STRIDES),
                "score_threshold": release.score_threshold,
                "nms_iou": release.nms_iou,
                "cross_label_iou": release.cross_label_iou,
            }
        ),
        files={
            "onnxruntime": bundle.model_file(out, onnx_file, INT8),
            "tflite": bundle.model_file(out, tflite_file, INT8),
        },
        golden=bundle.write_golden(out, {"image": images}, golden, tolerance),
        cost=Cost(macs=cost.macs, params=cost.params),
        provenance=provenance(recipe, release),
    )
    return bundle.write(out, manifest)


def golden_outputs(path: Path, images: Any) -> dict[str, Any]:
    """The int8 model's own outputs: what every backend has to repeat."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    scores, boxes = session.run(["scores", "boxes"], {"image": images})
    return {"scores": scores, "boxes": boxes}


def provenance(recipe: Recipe, release: Release) -> Provenance:
    return Provenance(
        data=tuple({"name": d.name or d.folder.name, "licence": d.licence} for d in recipe.data),
        seeds=(recipe.seed,),
        software={
            "smartbox": __version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        note=release.note or None,
    )
