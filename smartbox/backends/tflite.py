"""TensorFlow Lite, by LiteRT or the older tflite-runtime; Edge TPUs and NPUs through their delegate's library."""

import ctypes
import importlib
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.backends._base import BackendSettings, Session, Tensors, dequantize, pick, stays_in_memory, weights
from smartbox.backends._flatbuffer import check_tflite
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import InputSpec, Manifest, Quantization
from smartbox.preprocess import quantize

_FOREIGN = (ValueError, RuntimeError, OSError, TypeError)


class Plugin(BackendSettings):
    """TFLite files on the CPU (XNNPACK), or on an accelerator through `delegates`."""

    modules: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "tflite_runtime")
    runtime: Literal["ai_edge_litert", "tflite_runtime"] | None = None
    """Default: LiteRT (ai_edge_litert) where it is installed, else tflite_runtime, whose last release runs int8 on x86
    without XNNPACK, about 20 times slower. An accelerator's older delegate may need tflite_runtime."""
    threads: int = Field(default=1, ge=1, le=256)
    """Cores for one inference. 1 leaves the others to the decoders of the cameras."""
    delegates: tuple[str, ...] = ()
    """Shared libraries of accelerators, e.g. /usr/lib/aarch64-linux-gnu/libedgetpu.so.1."""
    delegate_options: dict[str, str] = Field(default_factory=dict)
    """Options given to every delegate. A sealed bundle takes none that keeps a compiled model on the disk."""

    def open(self, bundle: Bundle) -> Session:
        """Load and warm up. BackendError when a delegate is absent or the file is no TFLite model."""
        stays_in_memory(bundle, "tflite", self.delegate_options)
        data = weights(bundle, "tflite")
        check_tflite(data, f"{bundle.name}: {bundle.manifest.files['tflite'].path}")
        runtime = _import((self.runtime,) if self.runtime else self.modules)
        delegates = [self._delegate(runtime, path) for path in self.delegates]
        try:
            engine = runtime.Interpreter(
                model_content=data, num_threads=self.threads, experimental_delegates=delegates or None
            )
            engine.allocate_tensors()
        except _FOREIGN as error:
            raise BackendError(f"tflite: {bundle.name}: {error}") from error
        session = _Session(bundle.manifest, engine)
        session.warm_up()
        return session

    def _delegate(self, runtime: Any, path: str) -> Any:
        _require_delegate(path)
        try:
            return runtime.load_delegate(path, self.delegate_options)
        except _FOREIGN as error:
            raise BackendError(f"tflite: delegate {path} cannot be loaded: {error}") from error


def _require_delegate(path: str) -> None:
    """The runtime's own loader leaves a half-made object behind when this fails."""
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise BackendError(f"tflite: delegate {path} cannot be loaded: {error}") from error
    if not hasattr(library, "tflite_plugin_create_delegate"):
        raise BackendError(f"tflite: {path} is a library but no TFLite delegate")


def _import(modules: tuple[str, ...]) -> Any:
    said = []
    for module in modules:
        try:
            return importlib.import_module(f"{module}.interpreter")
        except ImportError as error:
            said.append(str(error))
    raise BackendError(f"no TFLite runtime: {'; '.join(said)}; pip install 'smartbox[tflite]'")


class _Session(Session):
    def __init__(self, manifest: Manifest, engine: Any) -> None:
        inputs = {d["name"]: d for d in engine.get_input_details()}
        outputs = {d["name"]: d for d in engine.get_output_details()}
        super().__init__("tflite", manifest, int(next(iter(inputs.values()))["shape"][0]))
        self._engine = engine
        feeds = pick("input", manifest.inputs, _shapes(inputs))
        fetches = pick("output", manifest.outputs, _shapes(outputs))
        self._feeds = {s.name: (s, inputs[feeds[s.name]]) for s in manifest.inputs}
        self._fetches = {name: outputs[found] for name, found in fetches.items()}

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            for name, tensor in inputs.items():
                spec, detail = self._feeds[name]
                self._engine.set_tensor(detail["index"], _stored(tensor, spec, detail))
            self._engine.invoke()
            values = {name: self._engine.get_tensor(d["index"]) for name, d in self._fetches.items()}
        except _FOREIGN as error:
            raise BackendError(f"tflite: {self._manifest.name}: {error}") from error
        return {name: _real(value, self._fetches[name]) for name, value in values.items()}

    def _close(self) -> None:
        self._engine = None


def _shapes(details: dict[str, Any]) -> dict[str, list[int]]:
    return {name: [int(n) for n in d["shape"]] for name, d in details.items()}


def _quantization(detail: Any) -> Quantization | None:
    scale, zero_point = detail["quantization"]
    return Quantization(scale=float(scale), zero_point=int(zero_point)) if scale else None


def _stored(tensor: NDArray[Any], spec: InputSpec, detail: Any) -> NDArray[Any]:
    """The tensor in the file's own dtype; the manifest's input may be pixels where the file wants int8."""
    if tensor.dtype == detail["dtype"]:
        return tensor
    how = spec.quantization
    real = dequantize(tensor, how) if how is not None else tensor.astype(np.float32)
    name: Any = np.dtype(detail["dtype"]).name
    return quantize(real, spec.model_copy(update={"dtype": name, "quantization": _quantization(detail)}))


def _real(value: NDArray[Any], detail: Any) -> NDArray[Any]:
    how = _quantization(detail)
    return dequantize(value, how) if how is not None and value.dtype.kind in "iu" else value
