"""Event ids: UUID version 7 (RFC 9562), in rising order on one box."""

import random
import threading
import uuid
from collections.abc import Callable


class Uuid7:
    """Makes ids: `new_id()` -> str.

    The first 48 bits are milliseconds of `utc`, the next 12 a counter (RFC 9562, 6.2 method 1), the rest random.
    Ids rise even when the clock stands still or jumps back. With a seeded `random` and a replay's clock they repeat.
    """

    def __init__(self, utc: Callable[[], float], random: random.Random) -> None:
        self._utc = utc
        self._random = random
        self._lock = threading.Lock()
        self._ms = 0
        self._counter = 0

    def __call__(self) -> str:
        with self._lock:
            ms = max(0, int(self._utc() * 1000))
            if ms > self._ms:
                self._ms, self._counter = ms, self._random.getrandbits(11)
            else:
                self._counter += 1
                if self._counter > 0xFFF:
                    self._ms, self._counter = self._ms + 1, 0
            value = self._ms << 80 | 7 << 76 | self._counter << 64 | 2 << 62 | self._random.getrandbits(62)
        return str(uuid.UUID(int=value & (1 << 128) - 1))
