"""How fast the publisher goes: a window, a backlog that trickles, and waits that grow and are random."""

import random
from dataclasses import dataclass

from smartbox.clock import Clock


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and messages per second; the defaults are the product's.

    spread: longest random wait before a backlog; steady: a connection that held this long resets the back-off.
    """

    window: int = 10
    spread: float = 10.0
    backlog_rate: float = 20.0
    first_wait: float = 1.0
    longest_wait: float = 120.0
    steady: float = 30.0
    puback_timeout: float = 15.0
    health_every: float = 60.0
    farewell: float = 3.0

    def reconnect_wait(self, failures: int, dice: random.Random) -> float:
        """Full jitter, AWS' name for it: anything from nothing to a bound that doubles with every failure."""
        longest = min(self.longest_wait, self.first_wait * 2.0 ** min(max(failures, 1) - 1, 20))
        return dice.uniform(0, longest)


class Backlog:
    """What waited when the connection came: rows up to `mark`, after a random wait, at a steady rate."""

    def __init__(self, mark: int, clock: Clock, pace: Pace, random: random.Random) -> None:
        self.mark = mark
        self._clock = clock
        self._rate = pace.backlog_rate
        self._next = clock.monotonic() + random.uniform(0, pace.spread)

    def wait(self) -> float:
        """Seconds until the next one may go."""
        return self._next - self._clock.monotonic()

    def allowed(self, room: int) -> int:
        """How many may go now; what was missed is made up for a tenth of a second at most."""
        now = self._clock.monotonic()
        self._next = max(self._next, now - 0.1)
        return min(room, 1 + int((now - self._next) * self._rate))

    def took(self, count: int) -> None:
        """None: there is nothing for now, look again in a second."""
        self._next = self._next + count / self._rate if count else self._clock.monotonic() + 1.0
