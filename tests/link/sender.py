"""A publisher in a thread, over a real outbox and the machine's clock."""

import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartbox.clock import SystemClock
from smartbox.ids import Uuid7
from smartbox.mqtt import MqttSettings
from smartbox.outbox import Outbox
from smartbox.publisher import Pace, Publisher

QUICK = Pace(spread=0.0, backlog_rate=500.0, first_wait=0.2, longest_wait=0.5, health_every=0.5)


class Sender:
    """One box: `outbox`, `publisher`, start and stop."""

    def __init__(
        self, state: Path, url: str, pace: Pace = QUICK, box: str = "box-017", outbox: Outbox | None = None, **mqtt: Any
    ) -> None:
        self.clock = SystemClock()
        new_id = Uuid7(self.clock.utc, random.Random())
        self.outbox = outbox or Outbox(state, self.clock, new_id, "park-a", box, retry_after=0.05)
        self.outbox.open()
        self.beats = 0
        self.publisher = Publisher(
            self.outbox,
            MqttSettings(url=url, **mqtt),
            self.clock,
            "park-a",
            box,
            new_id=new_id,
            random=random.Random(),
            birth=lambda: {"sources": ["east"], "rules": ["lane-east"]},
            health=lambda: {"cpu": 0.5},
            heartbeat=self._beat,
            active=[("lane-east", "cam-03")],
            pace=replace(pace),
        )
        self._stop = threading.Event()
        # A daemon: a test that fails before it stops its boxes must not hold the whole run.
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,), daemon=True)

    def _beat(self) -> None:
        self.beats += 1

    def start(self) -> "Sender":
        self._thread.start()
        return self

    def stop(self) -> None:
        """As SIGTERM does it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
        assert not self._thread.is_alive()
        self.outbox.close()
