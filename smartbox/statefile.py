"""A small JSON object on the disk that is always readable: two generations, each with its check sum."""

import hashlib
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from smartbox.durable import write_durably
from smartbox.errors import StorageError

log = logging.getLogger(__name__)


class StateFile:
    """`save` replaces the whole object, or nothing; `load` gives the newest that is undamaged."""

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        self._path = path
        self._mode = mode
        self._before = path.with_name(f"{path.name}.before")

    def load(self) -> dict[str, Any]:
        """Empty when there is none. What is torn or damaged is left alone, and the one before it is taken."""
        for path in (self._path, self._before):
            if (state := _read(path)) is not None:
                return state
        return {}

    def save(self, state: dict[str, Any]) -> None:
        """StorageError when the disk refuses; then the old one stands."""
        body = json.dumps(state, separators=(",", ":")).encode()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            current = self._path.read_bytes() if _read(self._path) is not None else None
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        if current is not None:
            write_durably(self._before, current, self._mode)
        write_durably(self._path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body, self._mode)

    def clear(self) -> None:
        """Forget it."""
        for path in (self._path, self._before):
            with suppress(FileNotFoundError):
                path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.error("%s: %s", path, error.strerror)
        return None
    if head != hashlib.sha256(body).hexdigest().encode():
        log.error("%s is damaged; the one before it is used", path)
        return None
    state = json.loads(body)
    return state if isinstance(state, dict) else None
