"""`occupancy/{source}`: which slots are free, told on change and every minute, so that a consumer sees it is alive."""

from collections.abc import Mapping
from typing import Any

from smartbox.clock import Clock
from smartbox.cloudevent import timestamp
from smartbox.retained import Retained
from smartbox.types import SlotState

EVERY_S = 60.0
SILENT_S = 60.0


class Occupancy:
    """What was told of each source. One thread calls."""

    def __init__(self, retained: Retained, clock: Clock) -> None:
        self._retained = retained
        self._clock = clock
        self._told: dict[str, tuple[dict[str, Any], float]] = {}
        self._seen: dict[str, float] = {}

    def begin(self, source: str, slots: Mapping[str, SlotState]) -> None:
        """At the start, and with other rules: what the broker may still keep of earlier ones holds no longer."""
        self._seen[source] = self._clock.monotonic()
        self._told.pop(source, None)
        if slots:
            self._set(source, dict(slots))
        else:
            self._retained.set(_topic(source), None)

    def tell(self, source: str, slots: Mapping[str, SlotState]) -> None:
        """What the last picture showed; nothing for a source without slots."""
        now = self._clock.monotonic()
        self._seen[source] = now
        before, at = self._told.get(source, ({}, 0.0))
        if slots and (slots != before or now - at >= EVERY_S):
            self._set(source, dict(slots))

    def tick(self) -> None:
        """A camera that has been silent for a minute knows nothing of its slots."""
        now = self._clock.monotonic()
        for source, (slots, at) in list(self._told.items()):
            if now - self._seen[source] >= SILENT_S and now - at >= EVERY_S:
                self._set(source, dict.fromkeys(slots, "unknown"))

    def _set(self, source: str, slots: dict[str, Any]) -> None:
        self._told[source] = (slots, self._clock.monotonic())
        counts = {state: sum(s == state for s in slots.values()) for state in ("free", "occupied", "unknown")}
        document = {"slots": slots, "counts": counts, "ts": timestamp(self._clock.utc())}
        self._retained.set(_topic(source), document)


def _topic(source: str) -> str:
    return f"occupancy/{source}"
