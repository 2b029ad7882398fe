"""The model bundle: a directory with `manifest.yaml`, weights per backend, golden outputs and labels.

The box reads it, the lab writes it. Nothing about a model is configured anywhere else. `release.py` reads the same out
of one sealed file; who asks for bytes, not for paths, need not know which of the two it is.
"""

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from smartbox.errors import BackendError, ConfigError, Problem
from smartbox.manifest import Golden, Manifest, ModelFile, Precision, Tolerance
from smartbox.types import Floats, ModelRef

MANIFEST = "manifest.yaml"
MAX_BYTES = 1_000_000  # of it; a thousand labels take a hundredth

# What numpy and zipfile raise, as a file is torn, of another kind, or compressed in a way that Python does not know.
_NO_ARRAYS = (
    *(KeyError, ValueError, TypeError, OSError, EOFError, MemoryError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, zipfile.LargeZipFile),
)
# What PyYAML's own constructors raise besides YAMLError, as for `!!int ""`.
_NO_YAML = (yaml.YAMLError, ValueError, RecursionError, IndexError, KeyError, AttributeError, TypeError)


class Sealed(Protocol):
    """What a sealed bundle's files are read from."""

    def read(self, path: str) -> bytes:
        """One file, decrypted to memory. BackendError when it is not there or was changed since it was opened."""


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: a checked manifest and the directory, or the sealed file, that it was read from."""

    path: Path
    manifest: Manifest
    sha256: str = ""
    """Of the manifest as it was read, which holds the sums of all other files."""
    sealed: Sealed | None = None
    """None: a directory."""

    @classmethod
    def open(cls, path: Path | str) -> "Bundle":
        """Read and check the manifest (weights are checked when `file` hands them out).

        Raises ConfigError when `path` is no bundle, naming every bad key.
        """
        path = Path(path)
        if path.is_file():
            raise ConfigError(
                f"{path} is a file; a bundle is a directory with {MANIFEST}, give {path.absolute().parent}?"
            )
        if not path.is_dir():
            raise ConfigError(f"{path.absolute()} does not exist; a bundle is a directory with {MANIFEST}")
        source = path / MANIFEST
        if not source.is_file():
            raise ConfigError(f"{path} has no {MANIFEST}: it is no model bundle")
        try:
            if source.stat().st_size > MAX_BYTES:
                raise ConfigError(f"{source} is larger than {MAX_BYTES} bytes: it is no manifest")
            raw = source.read_bytes()
        except OSError as error:
            raise ConfigError(f"{source} cannot be read: {error.strerror}") from error
        return cls(path, parse(raw, str(source)), hashlib.sha256(raw).hexdigest())

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    def ref(self, backend: str) -> ModelRef:
        """What an event says about the model that saw it."""
        return ModelRef(self.name, self.manifest.version, self.sha256, backend)

    def weights(self, backend: str) -> bytes:
        """The weights for `backend`, checked against size and sha256. BackendError when absent or corrupt."""
        return self._read(self._entry(backend))

    def file(self, backend: str) -> Path:
        """Where those weights lie, for an engine that needs a path; a sealed bundle has none (BackendError)."""
        entry = self._entry(backend)
        if self.sealed is not None:
            raise BackendError(f"bundle {self.name!r} is sealed: its weights are in memory only, nowhere on the disk")
        self._read(entry)
        return self.path / entry.path

    def verify(self) -> list[str]:
        """Check every file named by the manifest; returns what is wrong, empty when all is well."""
        wrong = []
        entries: list[ModelFile | Golden] = list(self.manifest.files.values())
        if self.manifest.golden:
            entries.append(self.manifest.golden)
        for entry in entries:
            try:
                self._read(entry)
            except BackendError as error:
                wrong.append(str(error))
        return wrong

    def golden(self) -> tuple[dict[str, NDArray[Any]], dict[str, Floats]]:
        """The recorded inputs and float outputs by tensor name. BackendError when there are none."""
        entry = self.manifest.golden
        if entry is None:
            raise BackendError(f"bundle {self.name!r} has no golden outputs")
        content = self._read(entry)
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as data:
                inputs = {s.name: data[f"input_{s.name}"] for s in self.manifest.inputs}
                outputs = {s.name: data[f"output_{s.name}"].astype(np.float32) for s in self.manifest.outputs}
        except _NO_ARRAYS as error:
            raise BackendError(f"{self.path / entry.path}: golden outputs cannot be read: {error}") from error
        return inputs, outputs

    def _entry(self, backend: str) -> ModelFile:
        entry = self.manifest.files.get(backend)
        if entry is None:
            have = ", ".join(self.manifest.files)
            raise BackendError(f"bundle {self.name!r} has no file for backend {backend!r}; it has {have}")
        return entry

    def _read(self, entry: ModelFile | Golden) -> bytes:
        """What was hashed is what is returned: a file that is changed meanwhile is not read a second time."""
        path = self.path / entry.path
        content = self.sealed.read(entry.path) if self.sealed is not None else _content(path, self.name, entry.bytes)
        if len(content) != entry.bytes:
            raise BackendError(
                f"bundle {self.name!r}: {path} has {len(content)} bytes, the manifest says {entry.bytes}"
            )
        if (found := hashlib.sha256(content).hexdigest()) != entry.sha256:
            raise BackendError(f"bundle {self.name!r}: {path} is corrupt: sha256 {found}, manifest {entry.sha256}")
        return content


def _content(path: Path, name: str, size: int) -> bytes:
    """A plain file's; one of another size than the manifest says is not read, it might be of any."""
    if not path.is_file():
        raise BackendError(f"bundle {name!r}: {path} is {'no file' if path.exists() else 'missing'}")
    try:
        if (found := path.stat().st_size) != size:
            raise BackendError(f"bundle {name!r}: {path} has {found} bytes, the manifest says {size}")
        return path.read_bytes()
    except OSError as error:
        raise BackendError(f"bundle {name!r}: {path} cannot be read: {error.strerror}") from error


def installed(search: Sequence[Path]) -> list[Path]:
    """The bundles in these directories; of two with one name only the first, which is the one that `find` gives."""
    paths = [manifest.parent for place in search for manifest in sorted(place.glob(f"*/{MANIFEST}"))]
    return list({path.name: path for path in reversed(paths)}.values())[::-1]


def find(name_or_path: str | Path, search: Sequence[Path]) -> Bundle:
    """The bundle at a path, or the one of that name in the first of the `search` directories that has it."""
    text = str(name_or_path)
    if "/" in text or text.startswith("."):
        return Bundle.open(at(text))
    for directory in search:
        if (directory / text / MANIFEST).is_file():
            return Bundle.open(directory / text)
    known = sorted(path.name for path in installed(search))
    close = get_close_matches(text, known, 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    places = ", ".join(dict.fromkeys(map(str, search))) or "no directory"
    raise ConfigError(f"no bundle {text!r} in {places}; {hint}bundles there: {', '.join(known) or 'none'}")


def at(text: str) -> Path:
    """A path as people write it. ConfigError where `~name` is nobody's home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: there is no such home directory; write the path from / on") from None


def parse(raw: bytes, source: str) -> Manifest:
    """The bytes of a manifest, checked; `source` is what to call it. ConfigError names every bad key."""
    try:
        data = yaml.safe_load(raw)
    except _NO_YAML as error:
        said = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError | ValueError) else "a tag does not fit"
        raise ConfigError(f"{source} cannot be read as YAML: {said}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{source} holds {type(data).__name__}, not a mapping: it is empty or torn")
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise ConfigError(problems(error, source)) from error


def problems(error: ValidationError, source: str = "", prefix: str = "") -> list[Problem]:
    """pydantic's complaints as ours: key path, what is wrong, the value."""
    found = []
    for item in error.errors(include_url=False):
        path = ".".join(filter(None, [prefix, *map(str, item["loc"])]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = "no such key here"
        elif item["type"] != "missing" and not isinstance(item["input"], dict):
            message += f", got {item['input']!r}"
        found.append(Problem(f"{source}: {path}" if source and path else source or path, message))
    return found


def model_file(directory: Path, path: str, precision: Precision | None = None) -> ModelFile:
    """The manifest's entry for weights already written at `directory / path`."""
    whole = directory / path
    return ModelFile(
        path=path, sha256=file_sha256(whole), bytes=whole.stat().st_size, precision=precision or Precision()
    )


def write_golden(
    directory: Path,
    inputs: Mapping[str, NDArray[Any]],
    outputs: Mapping[str, Floats],
    tolerance: Mapping[str, Tolerance],
    path: str = "golden.npz",
) -> Golden:
    """Record golden inputs and outputs (batch first); returns the manifest's entry."""
    arrays: dict[str, Any] = {f"input_{k}": v for k, v in inputs.items()} | {
        f"output_{k}": v for k, v in outputs.items()
    }
    np.savez_compressed(directory / path, **arrays)
    whole = directory / path
    return Golden(path=path, sha256=file_sha256(whole), bytes=whole.stat().st_size, tolerance=dict(tolerance))


def write(directory: Path, manifest: Manifest) -> Bundle:
    """Write `manifest.yaml` and `labels.txt` beside weights that are there already, then check the whole."""
    directory.mkdir(parents=True, exist_ok=True)
    _replace(directory / "labels.txt", "".join(f"{label}\n" for label in manifest.labels))
    _replace(directory / MANIFEST, text_of(manifest))
    bundle = Bundle.open(directory)
    if wrong := bundle.verify():
        raise BackendError("\n".join(wrong))
    return bundle


def text_of(manifest: Manifest) -> str:
    """It as YAML."""
    data = manifest.model_dump(mode="json", exclude_none=True)
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    return text


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def file_sha256(path: Path) -> str:
    """In hexadecimal, without reading the file into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
