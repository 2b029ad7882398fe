"""MNN: int8 kernels for ARM cores that other engines lack; GPUs where its library was built with them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.backends._base import BackendSettings, Session, Tensors, pick, weights
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import Manifest

_FOREIGN = (RuntimeError, ValueError, TypeError, OSError, SystemError)
_SPARED: list[Any] = []  # MNN hands out True and False without counting: were they freed, one would be too few


class Plugin(BackendSettings):
    """MNN files on the CPU, or on a GPU that the installed library was built for."""

    modules: ClassVar[tuple[str, ...]] = ("MNN",)
    device: Literal["CPU", "OPENCL", "VULKAN", "CUDA"] = "CPU"
    """One that is absent is refused, never replaced in silence. MNN's own wheels have the CPU only."""
    threads: int = Field(default=1, ge=1, le=256)
    """Cores for one inference. 1 leaves the others to the decoders of the cameras."""

    def open(self, bundle: Bundle) -> Session:
        """Load and warm up. BackendError when the device is absent or the file is no MNN model."""
        data = weights(bundle, "mnn")
        where = f"mnn: {bundle.name}"
        with _quiet(), _Mapped(where):
            runtime = _import()
            with _as_file(data) as path:
                net = runtime.Interpreter(path)
            self._require(net)
            session = _Session(bundle.manifest, runtime, net, {"backend": self.device, "numThread": self.threads})
        session.warm_up()
        return session

    def _require(self, net: Any) -> None:
        """A session on a device that is absent would run on the CPU without a word."""
        if self.device != "CPU":
            _, present = net.createRuntime(({"backend": self.device},))
            _SPARED.append(present)
            if not present[0]:
                raise BackendError(f"mnn: device {self.device} is absent: MNN was built without it, or finds no driver")


def _import() -> Any:
    try:
        import MNN
    except ImportError as error:
        raise BackendError(f"MNN cannot be imported: {error}; pip install 'smartbox[mnn]'") from error
    return MNN


class _Mapped:
    """MNN's errors become ours; most are of no class but Exception itself."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is Exception or (kind is not None and issubclass(kind, _FOREIGN)):
            raise BackendError(f"{self._where}: {error}") from error


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """MNN reads from a path only: one that leads to memory, never to a disk."""
    descriptor = os.memfd_create("smartbox-mnn", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _quiet() -> Iterator[None]:
    """What MNN prints while it opens a model goes to stderr: stdout may be a JSON document."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


class _Session(Session):
    """Batches of one: a larger one gains nothing on a CPU."""

    def __init__(self, manifest: Manifest, runtime: Any, net: Any, config: dict[str, Any]) -> None:
        super().__init__("mnn", manifest, 1)
        self._runtime = runtime
        self._net = net
        self._engine = net.createSession(config)
        inputs = net.getSessionInputAll(self._engine)
        self._feeds = pick("input", manifest.inputs, {name: list(t.getShape()) for name, t in inputs.items()})
        for spec in manifest.inputs:
            shape = inputs[self._feeds[spec.name]].getShape()
            wanted = tuple(w or max(s, 1) for s, w in zip(shape[1:], spec.shape[1:], strict=True))
            net.resizeTensor(inputs[self._feeds[spec.name]], (1, *wanted))
        net.resizeSession(self._engine)
        self._inputs = net.getSessionInputAll(self._engine)
        self._outputs = net.getSessionOutputAll(self._engine)
        self._fetches = pick("output", manifest.outputs, {n: list(t.getShape()) for n, t in self._outputs.items()})

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        with _Mapped(f"mnn: {self._manifest.name}"):
            for name, tensor in inputs.items():
                self._feed(self._inputs[self._feeds[name]], tensor)
            if code := self._net.runSession(self._engine):
                raise BackendError(f"mnn: {self._manifest.name}: the run ended with error {code}")
            return {name: self._fetch(self._outputs[found]) for name, found in self._fetches.items()}

    def _feed(self, target: Any, tensor: NDArray[Any]) -> None:
        shape, kind = target.getShape(), target.getDimensionType()
        target.copyFrom(self._runtime.Tensor(shape, target.getDataType(), np.ascontiguousarray(tensor), kind))

    def _fetch(self, source: Any) -> NDArray[Any]:
        """As real numbers in the order of the shape, whatever the layout inside is."""
        shape = source.getShape()
        plain = self._runtime.Tensor_DimensionType_Caffe
        host = self._runtime.Tensor(shape, self._runtime.Halide_Type_Float, np.zeros(shape, np.float32), plain)
        source.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32).reshape(shape)

    def _close(self) -> None:
        self._inputs = self._outputs = {}
        self._engine = self._net = None
