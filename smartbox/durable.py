"""Files that survive a power cut whole: the old content or the new, never half."""

import contextlib
import os
from pathlib import Path

from smartbox.errors import StorageError


def write_durably(path: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the directory: after a power cut it is the old file or the new. StorageError."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: {error.strerror}") from error


def sync_directory(directory: Path) -> None:
    """Make renames in it survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
