"""Files that survive a power cut whole: the old content or the new, never half."""

import contextlib
import os
from pathlib import Path

from smartbox.errors import StorageError


def write_durably(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write, fsync, rename, fsync the directory: after a power cut it is the old file or the new. StorageError.

    mode: less the umask. What root writes belongs to the directory's owner: the service must be able to read it.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)  # one that was left behind would keep its own mode
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
            file.write(content)
            file.flush()
            hand_over(file.fileno(), path.parent)
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(f"{path}: {error.strerror}") from error


def make_directory(path: Path, mode: int = 0o755) -> None:
    """Make a directory, and those above it, so that they survive a power cut; it is there: fine. OSError."""
    if not path.parent.exists():
        make_directory(path.parent)
    try:
        path.mkdir(mode=mode)
    except FileExistsError:
        if not path.is_dir():
            raise
        return
    hand_over(path, path.parent)
    sync_directory(path.parent)


def hand_over(made: Path | int, directory: Path) -> None:
    """Give what root made (a path or an open file) to the owner of the directory that it lies in."""
    if os.geteuid() == 0:
        owner = directory.stat()
        with contextlib.suppress(OSError):  # a file system without owners
            os.chown(made, owner.st_uid, owner.st_gid)


def sync_directory(directory: Path) -> None:
    """Make renames in it survive a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
