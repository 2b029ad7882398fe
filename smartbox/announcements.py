"""Announcements that outlive a restart: kept on the disk until the broker has them, and sent again until then.

For what is told by one message only, such as the clip of an alarm whose event is long gone. At least once.
"""

import logging
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from smartbox.cloudevent import dump
from smartbox.errors import StorageError
from smartbox.letters import Letter, Letters
from smartbox.statefile import StateFile

log = logging.getLogger(__name__)

BOUND = 256
"""More than these and the oldest are not told after a restart: the disk is written anew for each."""


class Announcements:
    """Any thread may post."""

    def __init__(self, file: StateFile, letters: Letters, bound: int = BOUND) -> None:
        self._file, self._letters, self._bound = file, letters, bound
        self._lock = threading.Lock()
        self._waiting: dict[str, Mapping[str, Any]] = {}

    def resume(self) -> None:
        """Send what was not told before the restart."""
        with self._lock:
            self._waiting = {**self._file.load(), **self._waiting}
            waiting = dict(self._waiting)
        for topic, document in waiting.items():
            self._send(topic, document)

    def post(self, topic: str, document: Mapping[str, Any]) -> None:
        """Keep it, then send it; a disk that refuses costs the announcement only its life beyond a restart."""
        with self._lock:
            self._waiting[topic] = document
            while len(self._waiting) > self._bound:
                del self._waiting[next(iter(self._waiting))]
            self._save()
        self._send(topic, document)

    def _send(self, topic: str, document: Mapping[str, Any]) -> None:
        self._letters.post(Letter(topic, dump(document), arrived=partial(self._arrived, topic)))

    def _arrived(self, topic: str) -> None:
        with self._lock:
            if self._waiting.pop(topic, None) is not None:
                self._save()

    def _save(self) -> None:
        try:
            self._file.save(dict(self._waiting))
        except StorageError as error:
            log.error("announcements are not kept over a restart: %s", error)
