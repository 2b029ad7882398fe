"""OpenVINO: Intel's CPUs, GPUs and NPUs (and ARM cores); reads ONNX files and its own IR."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox import processor
from smartbox.backends._base import BackendSettings, Session, Tensors, pick, stays_in_memory, weights
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import Manifest

IR_WEIGHTS = "openvino-weights"
"""An IR is two files: the manifest's `files` has the .xml as `openvino` and the .bin under this name."""


class Plugin(BackendSettings):
    """ONNX files or OpenVINO's IR, on a device that OpenVINO has a plugin for."""

    modules: ClassVar[tuple[str, ...]] = ("openvino",)
    device: str = Field(default="CPU", pattern=r"^[A-Z]+(\.\d+)?(:[A-Z0-9.,()]+)?$")
    """CPU, GPU, GPU.1, NPU, or a choice such as AUTO:GPU,CPU. One that is absent is refused, never replaced in
    silence."""
    threads: int = Field(default=1, ge=1, le=256)
    """Cores for one inference on a CPU. 1 leaves the others to the decoders of the cameras."""
    options: dict[str, str] = Field(default_factory=dict)
    """Properties of the device, as OpenVINO names them, e.g. CACHE_DIR: /var/lib/smartbox/openvino (a GPU or NPU
    then compiles a model once, not at every start). A sealed bundle takes no CACHE_DIR: its weights would lie there."""

    def caveat(self) -> str:
        if not self.device.startswith("CPU") or processor.whole_sums():
            return ""
        return "this processor has no VNNI, without which OpenVINO cuts off sums of 8-bit products"

    def open(self, bundle: Bundle) -> Session:
        """Load, compile and warm up. BackendError when the device is absent or the file is no model."""
        stays_in_memory(bundle, "openvino", self.options | dict.fromkeys(_nested(self.options), "on"))
        data = weights(bundle, "openvino")
        binary = weights(bundle, IR_WEIGHTS) if IR_WEIGHTS in bundle.manifest.files else b""
        try:
            import openvino
        except ImportError as error:
            raise BackendError(f"openvino cannot be imported: {error}; pip install 'smartbox[openvino]'") from error
        foreign = _exceptions(openvino)
        try:
            core = openvino.Core()
            self._require(core.available_devices)
            model = core.read_model(model=data, weights=binary)
            model.reshape(self._shapes(model, bundle.manifest))
            engine = core.compile_model(model, self.device, self._properties())
            session = _Session(bundle.manifest, engine, foreign)
        except foreign as error:
            raise BackendError(f"openvino: {bundle.name} on {self.device}: {_short(error)}") from error
        session.warm_up()
        return session

    def _require(self, present: Sequence[str]) -> None:
        """A plain AUTO, HETERO or MULTI chooses among what is there."""
        kind, _, listed = self.device.partition(":")
        wanted = [name.partition("(")[0] for name in listed.split(",")] if listed else [kind]
        known = {*present, *(name.partition(".")[0] for name in present), "AUTO", "HETERO", "MULTI"}
        if absent := [name for name in wanted if name not in known]:
            raise BackendError(f"openvino: device {', '.join(absent)} is absent; here are {', '.join(present)}")

    def _properties(self) -> dict[str, Any]:
        kind, _, listed = self.device.partition(":")
        if kind == "CPU":
            own: dict[str, Any] = self._processor()
        elif kind in ("AUTO", "HETERO", "MULTI") and ("CPU" in listed or not listed):
            own = {"DEVICE_PROPERTIES": {"CPU": self._processor()}}
        else:
            own = {}
        return {"PERFORMANCE_HINT": "LATENCY"} | own | self.options

    def _processor(self) -> dict[str, str]:
        """Properties of the CPU, by itself or as one of several devices."""
        return {
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self.threads),
            "ENABLE_CPU_PINNING": "NO",  # a pinned core may be the one that a video decoder has
            "INFERENCE_PRECISION_HINT": "f32",  # of what is not int8; else bf16 where the processor has it
        }

    def _shapes(self, model: Any, manifest: Manifest) -> dict[str, list[int]]:
        """Everything fixed: free shapes make slower programs, and an NPU has no others."""
        found = {port.any_name: list(port.partial_shape) for port in model.inputs}
        names = pick("input", manifest.inputs, {n: [_size(d) for d in dims] for n, dims in found.items()})
        shapes = {}
        for spec in manifest.inputs:
            sizes = [_size(d) for d in found[names[spec.name]]]
            wanted = [self.batch, *spec.shape[1:]]
            shapes[names[spec.name]] = [w or 1 if s < 0 else s for s, w in zip(sizes, wanted, strict=True)]
        return shapes


class _Session(Session):
    def __init__(self, manifest: Manifest, engine: Any, foreign: tuple[type[Exception], ...]) -> None:
        inputs = {port.any_name: list(port.shape) for port in engine.inputs}
        super().__init__("openvino", manifest, next(iter(inputs.values()))[0])
        self._engine = engine
        self._request = engine.create_infer_request()
        self._foreign = foreign
        self._feeds = pick("input", manifest.inputs, inputs)
        self._ports = {name: i for i, name in enumerate(_names(engine.outputs))}
        self._fetches = pick("output", manifest.outputs, _free(engine.outputs))

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        feeds = {self._feeds[name]: tensor for name, tensor in inputs.items()}
        try:
            self._request.infer(feeds, share_inputs=True)
            values = [self._request.get_output_tensor(i).data for i in range(len(self._ports))]
        except self._foreign as error:
            raise BackendError(f"openvino: {self._manifest.name}: {_short(error)}") from error
        # The request writes into the same memory at its next run.
        return {name: np.array(values[self._ports[found]]) for name, found in self._fetches.items()}

    def _close(self) -> None:
        self._request = self._engine = None


def _nested(options: Mapping[str, str]) -> list[str]:
    """The names in `DEVICE_PROPERTIES: {GPU:{CACHE_DIR:…}}`."""
    return re.findall(r"[A-Z_]+(?=\W*:)", options.get("DEVICE_PROPERTIES", ""))


def _names(ports: Sequence[Any]) -> list[str]:
    return [port.any_name if port.names else f"output {i}" for i, port in enumerate(ports)]


def _free(ports: Sequence[Any]) -> Mapping[str, list[int]]:
    return {name: [_size(d) for d in port.partial_shape] for name, port in zip(_names(ports), ports, strict=True)}


def _size(dimension: Any) -> int:
    return int(dimension.get_length()) if dimension.is_static else -1


def _short(error: Exception) -> str:
    """The last line says what; those before it are places in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _exceptions(openvino: Any) -> tuple[type[Exception], ...]:
    """RuntimeError mostly; those of its readers have no common root but Exception itself."""
    own = [c for c in vars(openvino.frontend).values() if isinstance(c, type) and issubclass(c, Exception)]
    return (*own, RuntimeError, ValueError, TypeError)
