"""Trained checkpoint -> bundle: fold, calibrate, quantize, write every format, record golden outputs, manifest."""

import datetime
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smartbox import __version__, bundle
from smartbox.lab import formats, golden
from smartbox.lab.augment import plain
from smartbox.lab.data import Picture
from smartbox.lab.graph import Graph, capture
from smartbox.lab.macs import count
from smartbox.lab.quantize import FakeQuant, calibrate, freeze
from smartbox.lab.recipe import Recipe
from smartbox.lab.train_detect import DEVIATION, MEAN, normalise
from smartbox.lab.training import weights
from smartbox.manifest import Cost, DecoderSpec, InputSpec, Manifest, ModelFile, OutputSpec, Provenance
from smartbox.preprocess import prepare
from smartbox.simulation import frames

GOLDEN_SEED = 2_000_000


@dataclass(frozen=True)
class Release:
    """What the manifest says beside what the recipe knows."""

    version: str
    note: str = ""


def restore(recipe: Recipe, checkpoint: Path) -> Any:
    """The averaged net of a checkpoint, in eval. BackendError where it is of another recipe."""
    net = recipe.net.build(len(recipe.labels))
    net.load_state_dict(weights(checkpoint, recipe))
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
    graph = graph_of(net)
    return FakeQuant(graph, calibrate(graph, batches(pictures, recipe.size, count, recipe.seed)))


def graph_of(net: Any) -> Graph:
    return capture(net, MEAN, DEVIATION)


def write(out: Path, recipe: Recipe, net: Any, fake: FakeQuant | None, release: Release) -> bundle.Bundle:
    """Write the bundle into directory `out` and check it; returns it. Without `fake`: in float, to compare with."""
    out.mkdir(parents=True, exist_ok=True)
    graph, side = graph_of(net), recipe.size
    files = formats.write(out, recipe.name, freeze(fake) if fake else graph, (side, side, 3))
    cost = count(net, (side, side))
    draft = manifest(recipe, net.strides, release, files, Cost(macs=cost.macs, params=cost.params))
    inputs = golden_input(side)
    wanted = golden.answers(graph, inputs)
    allowed = golden.tolerances(fake, wanted, golden.answers(fake, inputs)) if fake else golden.FLOAT
    return formats.finish(out, draft, {"image": inputs}, wanted, allowed)


def manifest(
    recipe: Recipe, strides: Sequence[int], release: Release, files: dict[str, ModelFile], cost: Cost
) -> Manifest:
    """strides: of each map of boxes, as the net gives them."""
    cells = sum((recipe.size // s) ** 2 for s in strides)
    decoder = {"type": "lrssd", "strides": list(strides), **recipe.decoding.model_dump()}
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
        provenance=provenance([(d.name or d.folder.name, d.licence) for d in recipe.data], recipe.seed, release),
    )


def golden_input(size: int) -> NDArray[np.uint8]:
    """Two simulated pictures, prepared as the box does: nobody's data travels with the bundle."""
    spec = InputSpec(name="image", shape=(None, size, size, 3), layout="NHWC", colour="BGR")
    return np.stack([prepare(image, spec)[0] for image, _ in frames(GOLDEN_SEED, 2, per_scene=1)])


def provenance(data: Iterable[tuple[str, str]], seed: int, release: Release) -> Provenance:
    """data: name and licence of each set."""
    return Provenance(
        data=tuple({"name": name, "licence": licence} for name, licence in data),
        seeds=(seed,),
        software={
            "smartbox": __version__,
            "torch": torch.__version__,
            "onnxruntime": version("onnxruntime"),
            "python": platform.python_version(),
        },
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        note=release.note or None,
    )
