"""The best that an engine's int8 kernels do on one thread here: a matrix product of 1024 x 1024 x 1024.

As a model of one 1x1 convolution over 1024 pixels of 1024 channels, or of one MatMul where an engine likes that better,
in every format (`scripts/gemm-models` writes them); what comes out is cut down to 8 numbers, so that nothing but the
product counts.
"""

import lzma
import time
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from smartbox import bundle as bundles
from smartbox import plugins
from smartbox.backends._base import Session
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import Manifest

SIDE = 1024
MACS = SIDE**3
RUNS = 40
FILES = {"onnxruntime": "gemm.onnx", "openvino": "gemm-rows.onnx", "tflite": "gemm.tflite", "mnn": "gemm.mnn"}


def write(directory: Path) -> Bundle:
    """The model as a bundle in `directory`."""
    for name in sorted(set(FILES.values())):
        (directory / name).write_bytes(lzma.decompress((files(__package__) / f"{name}.xz").read_bytes()))
    entries = {backend: bundles.model_file(directory, name) for backend, name in FILES.items()}
    manifest = {
        "name": "gemm",
        "version": "1",
        "task": "classify",
        "labels": [f"row {i}" for i in range(8)],
        "inputs": [{"name": "image", "shape": [None, 32, 32, SIDE]}],
        "outputs": [{"name": "scores", "shape": [None, 8]}],
        "decoder": {"type": "scores"},
        "files": {backend: entry.model_dump() for backend, entry in entries.items()},
        "cost": {"macs": MACS},
    }
    return bundles.write(directory, Manifest.model_validate(manifest))


def peaks(backends: Iterable[str]) -> dict[str, float]:
    """Backend -> multiply-accumulates a second, in thousands of millions; those that cannot run it are left out."""
    found = {}
    with TemporaryDirectory(prefix="smartbox-gemm-") as directory:
        bundle = write(Path(directory))
        for name in backends:
            if name in FILES and (seconds := _fastest(bundle, name)):
                found[name] = MACS / seconds / 1e9
    return found


def _fastest(bundle: Bundle, backend: str) -> float | None:
    """Seconds of the fastest of RUNS: a peak is what nothing disturbed."""
    inputs = {"image": np.random.default_rng(0).integers(0, 256, (1, 32, 32, SIDE), dtype=np.uint8)}
    try:
        session: Session = plugins.load("backends", backend)().open(bundle)
    except BackendError:
        return None
    times = []
    try:
        for _ in range(RUNS):
            began = time.perf_counter()
            session.run(inputs)
            times.append(time.perf_counter() - began)
    except BackendError:
        return None
    finally:
        session.close()
    return min(times)
