"""Checkpoint of a classifier -> bundle, as `export` does for detectors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smartbox import bundle
from smartbox.lab import export, formats, golden
from smartbox.lab.export import Release
from smartbox.lab.graph import Graph, capture
from smartbox.lab.macs import count
from smartbox.lab.quantize import FakeQuant, calibrate, freeze
from smartbox.lab.recipe_classify import ClassifyRecipe
from smartbox.lab.sets import Examples
from smartbox.lab.train_classify import build, gather, normalise, plain
from smartbox.lab.training import weights
from smartbox.manifest import Cost, DecoderSpec, InputSpec, Manifest, ModelFile, OutputSpec

GOLDEN = 4  # examples


def restore(recipe: ClassifyRecipe, checkpoint: Path) -> Any:
    """The averaged net of a checkpoint, in eval. BackendError where it is of another recipe."""
    net = build(recipe)
    net.load_state_dict(weights(checkpoint, recipe))
    return net.eval()


def graph_of(net: Any, recipe: ClassifyRecipe) -> Graph:
    return capture(net, recipe.input.mean, recipe.input.deviation)


def quantized(net: Any, recipe: ClassifyRecipe, examples: int = 512) -> FakeQuant:
    """`net` with rounding, scales found on `examples` of the training part, each set as often as in training."""
    graph = graph_of(net, recipe)
    return FakeQuant(graph, calibrate(graph, _batches(recipe, gather(recipe, "train"), examples)))


def _batches(recipe: ClassifyRecipe, parts: Sequence[Examples], examples: int) -> Iterator[Any]:
    rng = np.random.default_rng(recipe.seed)
    kept = [(s, e) for s, e in zip(recipe.sets, parts, strict=True) if len(e.classes)]
    shares = np.array([s.share for s, _ in kept])
    for start in range(0, examples, 32):
        arrays = []
        for which in rng.choice(len(kept), min(32, examples - start), p=shares / shares.sum()):
            data, found = kept[which]
            arrays.append(data.plain(found.arrays[rng.integers(len(found.arrays))], recipe.input.shape))
        yield normalise(torch.from_numpy(np.stack(arrays)), recipe.input)


def write(out: Path, recipe: ClassifyRecipe, net: Any, fake: FakeQuant | None, release: Release) -> bundle.Bundle:
    """Write the bundle into directory `out` and check it; returns it. Without `fake`: in float, to compare with."""
    out.mkdir(parents=True, exist_ok=True)
    graph, shape = graph_of(net, recipe), recipe.input.shape
    files = formats.write(out, recipe.name, freeze(fake) if fake else graph, shape, recipe.input.name)
    cost = count(net, shape[:2], shape[2])
    draft = manifest(recipe, release, files, Cost(macs=cost.macs, params=cost.params))
    inputs = golden_input(recipe)
    wanted = golden.answers(graph, inputs)
    allowed = golden.tolerances(fake, wanted, golden.answers(fake, inputs)) if fake else golden.FLOAT
    return formats.finish(out, draft, {recipe.input.name: inputs}, wanted, allowed)


def manifest(recipe: ClassifyRecipe, release: Release, files: dict[str, ModelFile], cost: Cost) -> Manifest:
    return Manifest(
        name=recipe.name,
        version=release.version,
        task=recipe.task,
        labels=recipe.labels,
        groups=recipe.groups,
        inputs=(input_spec(recipe),),
        outputs=(OutputSpec(name="scores", shape=(None, len(recipe.labels))),),
        decoder=DecoderSpec.model_validate({"type": "scores", "activation": "softmax"}),
        files=files,
        cost=cost,
        provenance=export.provenance([(s.name, s.licence) for s in recipe.sets], recipe.seed, release),
    )


def input_spec(recipe: ClassifyRecipe) -> InputSpec:
    """What the box is told to feed: the very tensor that `plain` of the sets gives."""
    given, shape = recipe.input, (None, *recipe.input.shape)
    if recipe.task == "sound":
        from smartbox.lab.sets._sound import SPEC

        return InputSpec(name=given.name, shape=shape, sound=SPEC)
    return InputSpec(name=given.name, shape=shape, layout="NHWC", colour=given.colour, resize=given.resize)


def golden_input(recipe: ClassifyRecipe) -> NDArray[np.uint8]:
    """Held out examples of sets that this project made, else noise: nobody's data travels with the bundle."""
    ours = [s if s.ours else None for s in recipe.sets]
    parts = [s.load(recipe.labels, "val") if s else Examples([], np.zeros(0, np.int64)) for s in ours]
    arrays, _ = plain(recipe, parts)
    if not len(arrays):
        arrays = np.random.default_rng(0).integers(0, 256, (GOLDEN, *recipe.input.shape))
    return np.asarray(arrays[np.linspace(0, len(arrays) - 1, GOLDEN).astype(int)], np.uint8)
