"""The state directory of a running box: locked, and marked as in use, so that the next start knows of a crash."""

import errno
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from smartbox.durable import make_directory
from smartbox.errors import StorageError

log = logging.getLogger(__name__)


class StateDir:
    """`lock`, then `mark`; `release` at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Make the directory and take its lock. StorageError when it is unusable, or another box runs there.

        A disk that is full or read-only is no reason not to watch: then it goes without.
        """
        try:
            make_directory(self._path, 0o700)
            self._lock = (self._path / "lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(f"box.state_dir {self._path}: another smartbox is running there") from error
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.ENOSPC):
                raise StorageError(
                    f"box.state_dir {self._path}: {error.strerror}; it must be a writable directory"
                ) from error
            log.error("box.state_dir %s: %s; watching goes on, events are in memory only", self._path, error.strerror)

    def mark(self) -> bool:
        """In use from now on; True when the last run did not end in order."""
        running = self._path / "running"
        unclean = running.exists()
        try:
            with running.open("w") as file:
                os.fsync(file.fileno())
        except OSError as error:
            log.error("%s: %s", running, error.strerror)
        return unclean

    def release(self) -> None:
        """The end came in order."""
        with suppress(OSError):  # a disk that refuses makes the next start look like one after a crash
            (self._path / "running").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
