"""Which commands have come, and what became of them: on the disk before the broker may forget them."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from smartbox.cloud.command import Command, Status
from smartbox.durable import sync_directory, write_durably
from smartbox.errors import StorageError

log = logging.getLogger(__name__)

_KEEP = 86400.0  # s after its expiry; from then on it is refused as expired anyway
_LINES = 4000  # more than this and the file is written anew


@dataclass(frozen=True, slots=True)
class Entry:
    """expires: epoch s; told: the broker has our last word about it."""

    id: str
    name: str
    expires: float
    status: Status = "accepted"
    detail: dict[str, Any] = field(default_factory=dict)
    told: bool = False


class Ledger:
    """A file of JSON lines, the last line of an id counts. Not thread-safe; StorageError when the disk refuses."""

    def __init__(self, path: Path, bound: int = 10_000) -> None:
        self._path = path
        self._bound = bound
        self._entries: dict[str, Entry] = {}
        self._file: IO[bytes] | None = None
        self._lines = 0
        self._closed = False

    def open(self) -> None:
        """Read what is there. A line that a power cut tore is one that nobody was told of."""
        self._entries = {}
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        for line in content.splitlines():
            if (entry := _entry(line)) is not None:
                self._entries[entry.id] = entry
        self._lines = 0

    def close(self) -> None:
        """Nothing is written any more, whatever a thread that ends late still has to say."""
        self._closed = True
        self._shut()

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def find(self, command_id: str) -> Entry | None:
        return self._entries.get(command_id)

    def unfinished(self) -> list[Entry]:
        """Begun, and then the box went down; or finished and not told."""
        return [entry for entry in self._entries.values() if not entry.told]

    def accept(self, command: Command, utc: float) -> Entry:
        """Remember a new command; StorageError when that is not possible, also when too many are remembered."""
        if len(self._entries) >= self._bound:
            self._entries = {k: e for k, e in self._entries.items() if not e.told or e.expires + _KEEP > utc}
            self._write_anew()
        if len(self._entries) >= self._bound:
            raise StorageError(f"{self._path}: {self._bound} commands are remembered and none has expired")
        entry = Entry(command.id, command.name, command.expires)
        self._append(entry)
        return entry

    def conclude(self, entry: Entry, status: Status, detail: dict[str, Any]) -> Entry:
        """What became of it."""
        concluded = replace(entry, status=status, detail=detail)
        self._append(concluded)
        return concluded

    def told(self, entry: Entry) -> None:
        """Not worth waiting for the disk: telling twice does no harm."""
        if not self._closed:
            self._append(replace(entry, told=True), durable=False)

    def _append(self, entry: Entry, durable: bool = True) -> None:
        if self._closed:
            raise StorageError(f"{self._path}: closed")
        line = json.dumps(asdict(entry), separators=(",", ":"), default=str).encode() + b"\n"
        try:
            file = self._opened()
            file.write(line)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        except OSError as error:
            self._shut()  # half a line may stand there: begin with a clean file next time
            raise StorageError(f"{self._path}: {error.strerror}") from error
        self._entries[entry.id] = entry
        self._lines += 1
        if self._lines > _LINES:
            self._write_anew()

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._write_anew()
            self._file = self._path.open("ab")
        return self._file

    def _write_anew(self) -> None:
        self._shut()
        lines = [json.dumps(asdict(e), separators=(",", ":"), default=str).encode() for e in self._entries.values()]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            sync_directory(self._path.parent)
        except OSError as error:
            raise StorageError(f"{self._path}: {error.strerror}") from error
        write_durably(self._path, b"".join(line + b"\n" for line in lines))
        self._lines = 0


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        log.warning("a damaged line in the list of commands is left out: %r", line[:80])
        return None
