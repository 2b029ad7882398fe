"""The retained documents of a box: set by any thread, sent by the publisher, all again after every connect."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Document = Mapping[str, Any] | Sequence[Any]

# What a consumer reads first comes first.
_ORDER = ("state", "birth", "source/", "active/", "occupancy/")


class Retained:
    """Topic below the root -> its latest document. Only the latest is ever sent."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._documents: dict[str, Document | None] = {}
        self._changed: dict[str, None] = {}  # an ordered set

    def set(self, topic: str, document: Document | None) -> None:
        """topic: `source/east`, `occupancy/east` …; None empties it."""
        with self._lock:
            self._documents[topic] = document
            self._changed[topic] = None
        self._wake()

    def again(self, topic: str) -> None:
        """It did not reach the broker."""
        with self._lock:
            self._changed[topic] = None

    def all_again(self) -> None:
        """A new connection: the broker may have forgotten everything."""
        with self._lock:
            self._changed = dict.fromkeys(sorted(self._documents, key=_rank))

    def next(self) -> tuple[str, Document | None] | None:
        """The next one to send, which from now on counts as sent."""
        with self._lock:
            if not self._changed:
                return None
            topic = next(iter(self._changed))
            del self._changed[topic]
            return topic, self._documents[topic]


def _rank(topic: str) -> tuple[int, str]:
    return next((i for i, head in enumerate(_ORDER) if topic.startswith(head)), len(_ORDER)), topic
