"""Messages that go up once, are not retained and are no events: acknowledgements of commands, announcements."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

BOUND = 1000


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Letter:
    """topic: below the root. payload: bytes, or what makes them when it is sent, so that they are true then.
    arrived: called, by the publisher's thread, when the broker has it.
    """

    topic: str
    payload: bytes | Callable[[], bytes]
    retain: bool = False
    content_type: str = "application/json"
    arrived: Callable[[], None] = _nothing

    @property
    def body(self) -> bytes:
        return self.payload if isinstance(self.payload, bytes) else self.payload()


class Letters:
    """A bounded queue in memory; what must survive is kept by whoever posts it. Any thread may post."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._waiting: deque[Letter] = deque()
        self.wake: Callable[[], None] = _nothing

    def post(self, letter: Letter) -> None:
        """Send it when there is a connection; the oldest goes when there are too many."""
        with self._lock:
            if len(self._waiting) >= self._bound:
                log.warning("%s: never sent, %d newer ones wait", self._waiting.popleft().topic, self._bound)
            self._waiting.append(letter)
        self.wake()

    def next(self) -> Letter | None:
        """The oldest, which is the caller's now: `again` if it did not arrive."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def again(self, letters: list[Letter]) -> None:
        """They did not arrive: in front of all others."""
        with self._lock:
            self._waiting.extendleft(reversed(letters))
