"""Files that survive a power cut whole: the old content or the new, never half."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from smartbox.errors import StorageError

_AT_ONCE = 16  # files; threads that wait for the disk


def write_durably(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write, fsync, rename, fsync the directory: after a power cut it is the old file or the new. StorageError.

    mode: less the umask. What root writes belongs to the directory's owner: the service must be able to read it.
    """
    write_all_durably(path.parent, {path.name: content}, mode)


def write_all_durably(directory: Path, files: Mapping[str, bytes], mode: int = 0o666) -> None:
    """The same for several files of a directory, for hardly more than one costs: the disk syncs them at once.

    All of them are there when it returns; after a StorageError some may be.
    """
    temporaries = {name: directory / f".{name}.new" for name in files}
    try:
        with contextlib.ExitStack() as stack:
            handles = [stack.enter_context(_new(temporaries[name], files[name], mode)) for name in files]
            _sync(handles)
        for name, temporary in temporaries.items():
            temporary.replace(directory / name)
        sync_directory(directory)
    except OSError as error:
        for temporary in temporaries.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise StorageError(f"{directory / next(iter(files))}: {error.strerror}") from error


@contextlib.contextmanager
def _new(path: Path, content: bytes, mode: int) -> Iterator[int]:
    path.unlink(missing_ok=True)  # one that was left behind would keep its own mode
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        file.write(content)
        file.flush()
        hand_over(file.fileno(), path.parent)
        yield file.fileno()


def _sync(handles: Sequence[int]) -> None:
    """One after the other each would wait for a commit of the file system's journal; together they share it."""
    if len(handles) == 1:
        os.fsync(handles[0])
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(handles)), "sync") as pool:
        list(pool.map(os.fsync, handles))


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
