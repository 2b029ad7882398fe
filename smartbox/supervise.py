"""The one place where anything is tried again: a worker that broke is started anew after a growing, jittered pause."""

import logging
import random
import threading
from collections.abc import Callable

from smartbox.clock import Clock
from smartbox.errors import SmartboxError

log = logging.getLogger(__name__)

SETTLED_S = 30.0


def chain(error: BaseException) -> str:
    """An error and its causes on one line; a cause that only says again what was said is left out."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        short = getattr(cause, "strerror", None) if parts else None  # without the number and path of an OSError
        text = short or str(cause) or type(cause).__name__
        if not any(text in part for part in parts):
            parts.append(text)
        cause = cause.__cause__
    return "; because ".join(parts)


def backoff(attempt: int, first: float, most: float) -> float:
    """Pause before try number `attempt` (0, 1 ...): doubling from `first` to `most` s, half of it random."""
    span = min(most, first * 2.0 ** min(attempt, 16))
    return span / 2 + random.random() * span / 2


class Heartbeats:
    """When each worker was last seen making progress, s."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beats: dict[str, float] = {}

    def beat(self, name: str) -> None:
        self._beats[name] = self._clock.monotonic()

    def age(self, name: str) -> float:
        """Seconds since the last beat; 0 for a worker that has not begun yet."""
        now = self._clock.monotonic()
        return now - self._beats.get(name, now)

    def stale(self, names: list[str], limit: float) -> list[str]:
        return [name for name in names if self.age(name) > limit]


def supervise(
    name: str,
    run: Callable[[threading.Event], bool],
    stop: threading.Event,
    clock: Clock,
    first: float = 1.0,
    most: float = 60.0,
    on_error: Callable[[Exception], None] | None = None,
) -> None:
    """Call `run` until `stop` is set or it returns False; after an exception wait, then call it again.

    An expected error (SmartboxError) is one log line; anything else is our defect and logged with its traceback.
    A run that lasted SETTLED_S starts the back-off over.
    """
    attempt = 0
    while not stop.is_set():
        began = clock.monotonic()
        try:
            if not run(stop):
                return
            attempt = 0
        except Exception as error:  # the supervisor is the only place that may
            if clock.monotonic() - began > SETTLED_S:
                attempt = 0
            pause = backoff(attempt, first, most)
            attempt += 1
            expected = isinstance(error, SmartboxError)
            log.error("%s: %s; again in %.0f s", name, chain(error), pause, exc_info=None if expected else error)
            if on_error is not None:
                on_error(error)
            clock.wait(stop, pause)
