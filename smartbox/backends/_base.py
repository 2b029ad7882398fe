"""What every backend promises, and what all of them do alike: checks, batches, real numbers out."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import InputSpec, Manifest, OutputSpec, Quantization
from smartbox.settings import Settings
from smartbox.types import Floats

Tensors = Mapping[str, NDArray[Any]]

# Options with which engines, providers and delegates keep on the disk what they make of a model.
_KEEPS = re.compile(
    r"cache|dump|save|serializ|timing|ep_?context|optimized_model|model_token|load_config", re.IGNORECASE
)


class BackendSettings(Settings):
    """Base of every backend's settings."""

    modules: ClassVar[tuple[str, ...]] = ()
    """Importable names, any of which is the runtime. None: it needs nothing."""
    batch: int = Field(default=1, ge=1, le=256)
    """Pictures in one run, at most. More gains on a GPU, seldom on a CPU; `auto` measures it."""

    @classmethod
    def installed(cls) -> bool:
        return not cls.modules or any(find_spec(module) is not None for module in cls.modules)

    def caveat(self) -> str:
        """Why 8-bit outputs may be off on this very processor, whatever the model; empty where they are not."""
        return ""


class Session(ABC):
    """An opened, warm model. Not for several threads at once; the inference worker owns it.

    A subclass gives `_run` for one batch of exactly `batch` pictures (any number when `batch` is None), and `_close`.
    """

    def __init__(self, name: str, manifest: Manifest, batch: int | None) -> None:
        self.name = name
        self.batch = batch
        self._manifest = manifest
        self._closed = False

    def run(self, inputs: Tensors) -> dict[str, Floats]:
        """Every input of the manifest, batch first -> every output as float32, batch first, in the manifest's order.

        Raises BackendError when the tensors do not fit, the engine fails, or the session is closed.
        """
        if self._closed:
            raise BackendError(f"{self.name}: this session is closed")
        count = self._check(inputs)
        size = self.batch or count
        parts = [self._run_part(inputs, start, min(start + size, count), size) for start in range(0, count, size)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Free the engine; again is harmless."""
        if not self._closed:
            self._closed = True
            self._close()

    def warm_up(self) -> None:
        """One run on zeros, so that the first real picture is not the slow one."""
        self.run({s.name: np.zeros((self.batch or 1, *_tail(s)), s.dtype) for s in self._manifest.inputs})

    @abstractmethod
    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """One batch; outputs as the engine gives them, integers already made real where the file says how."""

    @abstractmethod
    def _close(self) -> None: ...

    def _run_part(self, inputs: Tensors, start: int, end: int, size: int) -> dict[str, Floats]:
        part = {s.name: _filled(inputs[s.name][start:end], size) for s in self._manifest.inputs}
        raw = self._run(part)
        return {s.name: self._real(s, raw, end - start) for s in self._manifest.outputs}

    def _real(self, spec: OutputSpec, raw: Mapping[str, NDArray[Any]], count: int) -> Floats:
        if spec.name not in raw:
            raise BackendError(f"{self.name}: the model has no output {spec.name!r}; it has {', '.join(raw)}")
        value = raw[spec.name]
        if value.ndim != len(spec.shape) or not _fits(value.shape[1:], spec.shape[1:]):
            raise BackendError(f"{self.name}: output {spec.name!r} is {value.shape}, manifest says {spec.shape}")
        if spec.quantization is not None and value.dtype.kind in "iu":
            value = dequantize(value, spec.quantization)
        return value[:count].astype(np.float32, copy=False)

    def _check(self, inputs: Tensors) -> int:
        """Names, shapes and dtypes as the manifest says; returns the batch."""
        wanted = {s.name: s for s in self._manifest.inputs}
        if set(inputs) != set(wanted):
            raise BackendError(f"{self.name}: inputs {sorted(inputs)}, the manifest says {sorted(wanted)}")
        counts = set()
        for name, spec in wanted.items():
            got = inputs[name]
            if got.ndim != len(spec.shape) or not _fits(got.shape[1:], spec.shape[1:]) or got.dtype != spec.dtype:
                want = f"{spec.dtype} {spec.shape}"
                raise BackendError(f"{self.name}: input {name!r} is {got.dtype} {got.shape}, manifest says {want}")
            counts.add(len(got))
        if len(counts) != 1 or 0 in counts:
            raise BackendError(f"{self.name}: every input needs the same batch of at least 1, got {sorted(counts)}")
        return counts.pop()


def weights(bundle: Bundle, backend: str) -> bytes:
    """The checked weights in memory, which is where a sealed bundle's are to stay."""
    return bundle.weights(backend)


def stays_in_memory(bundle: Bundle, backend: str, options: Mapping[str, str]) -> None:
    """BackendError where an option would have the engine write a sealed bundle's weights, as it compiled them."""
    if bundle.sealed is None:
        return
    on = {name for name, value in options.items() if value.lower() not in ("", "0", "false", "no")}
    if kept := sorted(name for name in on if _KEEPS.search(name)):
        raise BackendError(
            f"{backend}: {bundle.name} is sealed, and {', '.join(kept)} may write its weights to the disk in plain; "
            "leave it out, or use the plain bundle"
        )


def pick(kind: str, wanted: Sequence[InputSpec | OutputSpec], found: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """The manifest's tensor name -> the file's, by name; a file that renamed its tensors matches by a unique shape."""
    names: dict[str, str] = {}
    for spec in wanted:
        like = [n for n, shape in found.items() if len(shape) == len(spec.shape) and _fits(shape[1:], spec.shape[1:])]
        if spec.name in found:
            names[spec.name] = spec.name
        elif len(like) == 1:
            names[spec.name] = like[0]
        else:
            have = ", ".join(f"{n} {list(s)}" for n, s in found.items())
            raise BackendError(f"no {kind} {spec.name!r} of shape {list(spec.shape)} in the model; it has {have}")
    return names


def dequantize(value: NDArray[Any], how: Quantization) -> Floats:
    return (value.astype(np.float32) - np.float32(how.zero_point)) * np.float32(how.scale)


def _tail(spec: InputSpec) -> tuple[int, ...]:
    return tuple(d or 1 for d in spec.shape[1:])


def _fits(shape: Sequence[Any], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        w is None or not isinstance(s, int) or s < 0 or s == w for s, w in zip(shape, wanted, strict=True)
    )


def _filled(rows: NDArray[Any], size: int) -> NDArray[Any]:
    """A short last batch, filled up with its last row."""
    if len(rows) == size:
        return np.ascontiguousarray(rows)
    return np.concatenate([rows, np.repeat(rows[-1:], size - len(rows), axis=0)])
