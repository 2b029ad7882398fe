"""Time as an argument: logic gets a Clock, tests move a ManualClock."""

import threading
import time
from typing import Protocol

REAL_TIME = 1_600_000_000.0
"""Epoch seconds; a stamp from before is of a clock that was never set."""


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never jump; all durations are measured with it."""

    def utc(self) -> float:
        """Epoch seconds, for humans and messages only; may jump."""

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Sleep until `seconds` have passed or `stop` is set; True when it is set."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc(self) -> float:
        return time.time()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        return stop.wait(max(0.0, seconds))


class ManualClock:
    """A clock that moves when told to; `wait` moves it and returns at once."""

    def __init__(self, monotonic: float = 1000.0, utc: float = 1_790_000_000.0) -> None:
        self._monotonic = monotonic
        self._utc = utc

    def monotonic(self) -> float:
        return self._monotonic

    def utc(self) -> float:
        return self._utc

    def advance(self, seconds: float) -> None:
        """Let both clocks run on."""
        self._monotonic += seconds
        self._utc += seconds

    def jump(self, seconds: float) -> None:
        """Set wall time off by `seconds`, as NTP or a person may; monotonic time is untouched."""
        self._utc += seconds

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.advance(max(0.0, seconds))
        return stop.is_set()
