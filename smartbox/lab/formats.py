"""Every format of one model, written from the same integers, and checked on the engines that are installed here."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from smartbox import bundle, plugins
from smartbox.agreement import compare
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.lab import export_mnn
from smartbox.lab.export_onnx import to_onnx
from smartbox.lab.export_tflite import to_tflite
from smartbox.lab.graph import Graph
from smartbox.lab.quantize import QuantGraph
from smartbox.manifest import Manifest, ModelFile, Precision, Tolerance
from smartbox.types import Floats

INT8 = Precision(weight_bits=8, activation_bits=8, granularity="channel")
Shape = tuple[int, int, int]  # H, W, C


def write(out: Path, name: str, model: QuantGraph | Graph, shape: Shape, source: str = "image") -> dict[str, ModelFile]:
    """Write the files into `out`; a float Graph as ONNX only. Returns the manifest's entries.

    OpenVINO reads the ONNX file: an IR of its own would be the same integers once more.
    """
    to_onnx(model, shape, out / f"{name}.onnx", source)
    precision = INT8 if isinstance(model, QuantGraph) else None
    onnx = bundle.model_file(out, f"{name}.onnx", precision)
    files = {"onnxruntime": onnx, "openvino": onnx}
    if isinstance(model, QuantGraph):
        to_tflite(model, shape, out / f"{name}.tflite", source)
        files["tflite"] = bundle.model_file(out, f"{name}.tflite", INT8)
        precision = export_mnn.to_mnn((out / f"{name}.onnx").read_bytes(), out / f"{name}.mnn")
        files["mnn"] = bundle.model_file(out, f"{name}.mnn", precision)
    return files


def finish(
    out: Path,
    draft: Manifest,
    inputs: Mapping[str, NDArray[Any]],
    wanted: Mapping[str, Floats],
    tolerances: Mapping[str, Tolerance],
) -> Bundle:
    """Write golden outputs and manifest; BackendError when an engine that is here does not agree (see `wrong`)."""
    allowed = {name: tolerances[name] for name in draft.files if name in tolerances}
    golden = bundle.write_golden(out, inputs, wanted, allowed)
    whole = bundle.write(out, draft.model_copy(update={"golden": golden}))
    if found := wrong(whole):
        raise BackendError(f"{out}: not every engine agrees with the float model: {'; '.join(found)}")
    return whole


def wrong(whole: Bundle) -> list[str]:
    """How installed engines disagree with golden. One that this processor makes no good judge is only told of."""
    found = []
    for name, said in check(whole).items():
        caveat = plugins.load("backends", name)().caveat()
        if said and caveat:
            print(f"{whole.name}: {name} is {said}; that is not the model's fault: {caveat}", file=sys.stderr)
        elif said:
            found.append(f"{name}: {said}")
    return found


def check(whole: Bundle) -> dict[str, str]:
    """Each installed backend of the bundle -> how it disagrees with golden, empty where it agrees."""
    found = {}
    inputs, wanted = whole.golden()
    assert whole.manifest.golden is not None
    for name in whole.manifest.files:
        if name not in plugins.names("backends"):
            continue
        plugin = plugins.load("backends", name)
        if plugin.installed():
            session = plugin().open(whole)
            agreement = compare(session.run(inputs), wanted, whole.manifest.golden.tolerance_of(name))
            session.close()
            found[name] = "" if agreement.holds else str(agreement)
    return found
