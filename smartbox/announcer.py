"""The worker that lets the outputs answer alarms: after the event is committed, never in the way of the next."""

import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from smartbox.clock import Clock
from smartbox.types import Event

WAITING = 4
"""Alarms that may wait for an output; a siren that answers the alarms of five minutes ago helps nobody."""
_TICK = 0.2


class Announcer:
    """`tell` from the inference worker, `run(stop)` in a thread of its own."""

    def __init__(self, outputs: Mapping[str, Any], clock: Clock) -> None:
        self._outputs = outputs
        self._clock = clock
        self._waiting: queue.Queue[tuple[str, Event]] = queue.Queue(WAITING)
        self._quiet_until = dict.fromkeys(outputs, 0.0)

    def tell(self, events: Sequence[Event]) -> None:
        """Let every output that answers one of these do so, unless it did within its cooldown."""
        now = self._clock.monotonic()
        for event in events:
            for name, output in self._outputs.items():
                if output.answers(event) and now >= self._quiet_until[name] and not self._waiting.full():
                    self._quiet_until[name] = now + output.cooldown
                    self._waiting.put_nowait((name, event))

    def run(self, stop: threading.Event) -> bool:
        """Until `stop`; OutputError of an output that cannot, which the supervisor logs before it calls again."""
        while not stop.is_set():
            try:
                name, event = self._waiting.get(timeout=_TICK)
            except queue.Empty:
                continue
            self._outputs[name].play(name, event, stop)
        return False
