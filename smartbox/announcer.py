"""The worker that lets the outputs answer alarms: after the event is committed, never in the way of the next."""

import logging
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from smartbox.clock import Clock
from smartbox.errors import OutputError
from smartbox.types import Event

log = logging.getLogger(__name__)

WAITING = 4
"""Alarms that may wait for an output; a siren that answers the alarms of five minutes ago helps nobody."""
_TICK = 0.2


class Announcer:
    """`tell` from the inference worker, `run(stop)` in a thread of its own; outputs do not wait for one another."""

    def __init__(self, outputs: Mapping[str, Any], clock: Clock) -> None:
        self._outputs = outputs
        self._clock = clock
        self._waiting: dict[str, queue.Queue[Event]] = {name: queue.Queue(WAITING) for name in outputs}
        self._playing: dict[str, threading.Thread] = {}
        self._told = threading.Event()
        self._quiet_until = dict.fromkeys(outputs, 0.0)

    def tell(self, events: Sequence[Event]) -> None:
        """Let every output that answers one of these do so, unless it did within its cooldown."""
        now = self._clock.monotonic()
        for event in events:
            for name, output in self._outputs.items():
                waiting = self._waiting[name]
                if output.answers(event) and now >= self._quiet_until[name] and not waiting.full():
                    self._quiet_until[name] = now + output.cooldown
                    waiting.put_nowait(event)
        self._told.set()

    def run(self, stop: threading.Event) -> bool:
        """Until `stop`: each output answers one alarm at a time, in a thread that lasts as long as that."""
        while not stop.is_set():
            self._told.wait(_TICK)
            self._told.clear()
            for name, waiting in self._waiting.items():
                if not waiting.empty() and not self._busy(name) and not stop.is_set():
                    thread = threading.Thread(
                        target=self._play, args=(name, waiting.get_nowait(), stop), name=f"output.{name}", daemon=True
                    )
                    self._playing[name] = thread
                    thread.start()
        return False

    def _busy(self, name: str) -> bool:
        return name in self._playing and self._playing[name].is_alive()

    def _play(self, name: str, event: Event, stop: threading.Event) -> None:
        """An output that cannot is logged; the next alarm is its next try."""
        try:
            self._outputs[name].play(name, event, stop)
        except OutputError as error:
            log.error("output %s", error)
