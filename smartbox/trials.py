"""Which engine was running when the process died: a native crash takes the whole daemon, so only the disk can tell."""

import json
import os
import threading
from pathlib import Path

FILE = "trials.json"
DEATHS = 3
_TURN = threading.Lock()


class Trials:
    """A count per engine, raised before it opens and taken back when it has proved itself or is closed in order.

    What is left after a start is the number of times in a row that the process died with this engine open. A power
    cut counts too, which is why it takes several, and why they are forgiven at the next orderly stop.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE

    def deadly(self, engine: str) -> bool:
        return self._read().get(engine, 0) >= DEATHS

    def killed(self, bundle: str) -> bool:
        """Whether the process died so often with this bundle (`name sha256[:8]`), whichever engine ran it."""
        return sum(n for engine, n in self._read().items() if engine.startswith(f"{bundle} ")) >= DEATHS

    def begin(self, engine: str) -> None:
        with _TURN:
            counts = self._read()
            self._write(counts | {engine: counts.get(engine, 0) + 1})

    def survived(self, engine: str) -> None:
        """It ran for long, or failed in an orderly way."""
        with _TURN:
            counts = self._read()
            if counts.pop(engine, 0):
                self._write(counts)

    def forgive(self) -> None:
        """All of them: an orderly stop, or nothing else is left to try."""
        with _TURN:
            if self._read():
                self._write({})

    def _read(self) -> dict[str, int]:
        try:
            data = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in data.items() if isinstance(v, int)} if isinstance(data, dict) else {}

    def _write(self, counts: dict[str, int]) -> None:
        part = self._path.with_name(FILE + ".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8") as file:
                json.dump(counts, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._path)
        except OSError:
            return  # a read-only disk must not keep a model from running
