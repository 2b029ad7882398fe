"""Adds to a bundle that is there already: formats that it lacks, from its own int8 file; golden outputs in float.

Its weights stay what they are, to the byte.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from smartbox import bundle as bundles
from smartbox.bundle import Bundle
from smartbox.errors import BackendError, ConfigError
from smartbox.lab import export, export_mnn, formats, golden
from smartbox.lab.graph import Graph
from smartbox.lab.quantize import FakeQuant, QuantGraph, Scale, freeze
from smartbox.lab.recipe import Recipe
from smartbox.manifest import ModelFile


def add_formats(bundle: Bundle) -> Bundle:
    """Write what `lab export` would write beside the ONNX file, and the manifest. BackendError when it has none."""
    onnx_file = bundle.manifest.files.get("onnxruntime")
    if onnx_file is None:
        raise ConfigError(f"{bundle.path} has no file for onnxruntime, which the other formats are made from")
    added: dict[str, ModelFile] = {"openvino": onnx_file}
    if "mnn" not in bundle.manifest.files:
        path = f"{Path(onnx_file.path).stem}.mnn"
        precision = export_mnn.to_mnn(bundle.weights("onnxruntime"), bundle.path / path)
        added["mnn"] = bundles.model_file(bundle.path, path, precision)
    manifest = bundle.manifest.model_copy(update={"files": {**bundle.manifest.files, **added}})
    return bundles.write(bundle.path, manifest)


def float_golden(bundle: Bundle, recipe: Recipe, checkpoint: Path) -> Bundle:
    """Golden outputs of the float net that the bundle was quantized from, on its own golden inputs.

    ConfigError when `checkpoint` is of another net: its integers must be those of the bundle's ONNX file.
    """
    graph = export.graph_of(export.restore(recipe, checkpoint))
    stored = constants(bundle)
    fake = FakeQuant(graph, scales(graph, stored))
    if wrong := different(freeze(fake), stored):
        raise ConfigError(f"{checkpoint} is not what {bundle.path} was made from: {', '.join(wrong[:3])} differ")
    inputs, _ = bundle.golden()
    (pixels,) = inputs.values()
    wanted = golden.answers(graph, pixels)
    tolerances = golden.tolerances(fake, wanted, golden.answers(fake, pixels))
    return formats.finish(bundle.path, bundle.manifest, inputs, wanted, tolerances)


def constants(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """Of its ONNX file, by name."""
    model = onnx.load_from_string(bundle.weights("onnxruntime"))
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def scales(graph: Graph, stored: dict[str, NDArray[Any]]) -> dict[str, Scale]:
    """The steps that `export_onnx` wrote, by the tensors that own them."""
    names = {graph.input, *(op.name for op in graph.ops)}
    owners = {graph.shared.get(name, name) for name in names}
    try:
        return {o: Scale(stored[f"{o}_scale"].item(), stored[f"{o}_zero"].item()) for o in owners}
    except KeyError as error:
        raise BackendError(
            f"the ONNX file has no {error}: it was not written by this exporter, or from another net"
        ) from error


def different(quant: QuantGraph, stored: dict[str, NDArray[Any]]) -> list[str]:
    """Convolutions whose integers are not the stored ones."""
    convs = [item for item in quant.ops if item.op.kind == "conv"]
    return [i.op.name for i in convs if i.weight is None or not _same(i.weight, stored.get(f"{i.op.name}_w_q"))]


def _same(mine: NDArray[Any], theirs: NDArray[Any] | None) -> bool:
    return theirs is not None and np.array_equal(mine, theirs)
