"""Retained topics that a configuration has: those of an earlier one are emptied, so that no dashboard shows them."""

import logging
from collections.abc import Iterable
from pathlib import Path

from smartbox.errors import StorageError
from smartbox.retained import Retained
from smartbox.statefile import StateFile

log = logging.getLogger(__name__)

FILE_NAME = "retained.json"


class Known:
    """Remembers what the broker may hold of us."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / FILE_NAME)
        self._topics: set[str] = set()

    def begin(self, topics: Iterable[str], retained: Retained) -> None:
        """What an earlier start had and this one has not is emptied; it stays known until that has arrived."""
        self._topics = set(topics)
        before = {str(topic) for topic in self._file.load().get("topics", ())}
        for topic in sorted(before - self._topics):
            retained.set(topic, None)
        self._save(before | self._topics)

    def settled(self) -> None:
        """The broker was reached."""
        self._save(self._topics)

    def _save(self, topics: set[str]) -> None:
        if topics == set(self._file.load().get("topics", ())):
            return
        try:
            self._file.save({"topics": sorted(topics)})
        except StorageError as error:
            log.error("%s", error)
