"""A factory reset: asked for on one start, carried out on the next, before anything is opened."""

import logging
import shutil
from pathlib import Path

from smartbox.cloud.desired import Desired
from smartbox.durable import sync_directory, write_durably
from smartbox.errors import StorageError

log = logging.getLogger(__name__)

_MARK = "factory-reset"
# Numbers that must never be given twice, commands that must not be run twice, what the box is known by, its software.
_KEPT = {
    *("lock", "running", "outbox-seq", "outbox-session", "commands.jsonl", "link-key.json", "link-key.json.before"),
    *("desired.json", "desired.json.before", "keys", "models", "releases.json", _MARK),
}


def request(state_dir: Path) -> None:
    """The next start forgets everything. StorageError."""
    write_durably(state_dir / _MARK, b"asked for by a command\n")


def carry_out(state_dir: Path) -> bool:
    """If it was asked for: delete events, pictures, and the configuration from above. Goes on after a cut."""
    mark = state_dir / _MARK
    if not mark.exists():
        return False
    try:
        for path in state_dir.iterdir():
            if path.name in _KEPT:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        desired = Desired(state_dir)
        desired.load()
        desired.forget()
        mark.unlink()
        sync_directory(state_dir)
    except OSError as error:
        raise StorageError(f"{error.filename or state_dir}: {error.strerror}; the reset is not complete") from error
    log.warning("factory reset: %s holds no events, pictures and settings any more", state_dir)
    return True
