"""Events as a pipeline makes them."""

import random
from typing import Any

from smartbox.clock import Clock
from smartbox.ids import Uuid7
from smartbox.types import Event, Match


class Events:
    """`begin`, `update` and `end` of episodes, with ids of the given clock."""

    def __init__(self, clock: Clock, seed: int = 1, rule: str = "lane-east") -> None:
        self._clock = clock
        self._rule = rule
        self.new_id = Uuid7(clock.utc, random.Random(seed))

    def begin(self, cls: str = "alarm", kind: str = "fire_lane", **changes: Any) -> Event:
        new_id = self.new_id()
        return self._event(new_id, cls, kind, "begin", new_id, changes)

    def update(self, begin: Event, **changes: Any) -> Event:
        return self._event(self.new_id(), begin.cls, begin.kind, "update", begin.episode, changes)

    def end(self, begin: Event, **changes: Any) -> Event:
        changes = {"ended_utc": self._clock.utc(), "end_reason": "cleared"} | changes
        return self._event(self.new_id(), begin.cls, begin.kind, "end", begin.episode, changes)

    def _event(self, new_id: str, cls: str, kind: str, phase: str, episode: str, changes: dict[str, Any]) -> Event:
        values: dict[str, Any] = {
            "id": new_id,
            "cls": cls,
            "kind": kind,
            "phase": phase,
            "time_utc": round(self._clock.utc(), 3),
            "monotonic": round(self._clock.monotonic(), 3),
            "severity": "high",
            "rule": self._rule,
            "camera": "cam-03",
            "zone": "lane-east",
            "episode": episode,
            "started_utc": round(self._clock.utc() - 60, 3),
            "dwell_s": 60.0,
            "objects": (Match("track:981", "truck", 0.91, (0.41, 0.53, 0.7, 0.83)),),
        }
        return Event(**(values | changes))
