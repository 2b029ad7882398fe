"""What a part of the lab was given, looked at before hours of work are spent on it.

A recipe, a plan or a bundle that is refused is a ConfigError (78). What fails exits with 1: data that is not there, a
SourceError; weights, a BackendError; a place that takes no output, a StorageError.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smartbox import build
from smartbox.bundle import MANIFEST, Bundle, at
from smartbox.commands._args import UsageError
from smartbox.errors import BackendError, ConfigError, SourceError, StorageError

CHECKPOINT = "checkpoint.pt"


def folder(option: str, path: Path, holds: str) -> None:
    """SourceError unless it is a directory that can be read."""
    if why := _no_folder(path):
        raise SourceError(f"{option} {path}: {why}; give a directory that holds {holds}")


def _no_folder(path: Path) -> str:
    if not path.is_dir():
        return "is no directory" if path.exists() else "there is no such directory"
    return "" if os.access(path, os.R_OK | os.X_OK) else "cannot be read"


def file(option: str, path: Path, what: str) -> None:
    """SourceError unless it is a file that can be read."""
    if why := _no_file(path):
        raise SourceError(f"{option} {path}: {why}; give {what}")


def weights(path: Path, recipe: Path, restore: Callable[[Path], Any]) -> Any:
    """The net that `restore` makes of a checkpoint. BackendError when there is none, or it is of another recipe."""
    from smartbox.lab.training import NO_CHECKPOINT

    wanted = f"give the checkpoint.pt that `smartbox lab train {recipe}` wrote"
    if why := _no_file(path):
        raise BackendError(f"--checkpoint {path}: {why}; {wanted}")
    try:
        return restore(path)
    except NO_CHECKPOINT:
        raise BackendError(f"--checkpoint {path}: holds no net of this recipe; {wanted}") from None


def started(recipe: Path, **files: Path | None) -> None:
    """ConfigError where one of the recipe's keys names a file that is not there."""
    for key, path in files.items():
        if path is not None and not path.is_file():
            raise ConfigError(f"{recipe}: {key}: there is no file {path}; make it first, as the recipe's head says")


def resumable(out: Path, recipe: Path, restore: Callable[[Path], Any]) -> None:
    """As `out_folder`. BackendError when the checkpoint that it has already is not one of the recipe."""
    from smartbox.lab.training import NO_CHECKPOINT

    out_folder(out)
    if (out / CHECKPOINT).exists():
        try:
            restore(out / CHECKPOINT)
        except NO_CHECKPOINT:
            why = f"its {CHECKPOINT} holds no net of {recipe}"
            raise BackendError(f"-o {out}: {why}; give another directory, or remove that file") from None


def _no_file(path: Path) -> str:
    if not path.is_file():
        return "is a directory" if path.is_dir() else "is no file" if path.exists() else "there is no such file"
    return "" if os.access(path, os.R_OK) else "cannot be read"


def out_folder(path: Path) -> None:
    """StorageError unless it is a directory to write to, or one can be made there."""
    nearest = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise StorageError(f"-o {path}: {nearest} is a file; give a directory, or the name of a new one")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(f"-o {path}: nothing can be written there; give a place that you may write to")


def out_file(path: Path) -> None:
    """Make its directory. StorageError unless the file can be written."""
    if path.is_dir():
        raise StorageError(f"-o {path}: is a directory; give the name of a file in it")
    out_folder(path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)


def to_rewrite(part: str, text: str) -> Bundle:
    """The bundle in a directory. UsageError where only its name is given: it may be one that this box runs."""
    if "/" in text or (Path(text) / MANIFEST).is_file():
        return Bundle.open(at(text))
    found = build.bundle_of(text)
    raise UsageError(f"{text}: {part} writes a bundle anew where it lies; give its directory, {found.path}")


def onnx_of(text: str) -> Path:
    """The ONNX file of a bundle, given by directory or name. BackendError when it has none."""
    bundle = build.bundle_of(text)
    found = next((bundle.path / f.path for f in bundle.manifest.files.values() if f.path.endswith(".onnx")), None)
    if found is None:
        has = ", ".join(f.path for f in bundle.manifest.files.values())
        raise BackendError(f"{text}: has no ONNX file, only {has}; give one that lab export wrote")
    return found
