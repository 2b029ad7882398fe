"""What all outputs share: for which alarms, when, and how often at most."""

import threading
from abc import ABC, abstractmethod

from pydantic import Field

from smartbox.schedule import Schedule
from smartbox.settings import Duration, Settings
from smartbox.types import Event


class OutputSettings(Settings, ABC):
    """The keys that every output has; a subclass adds its own and implements `play`."""

    rules: tuple[str, ...] = ()
    """Ids of the rules whose alarms it answers; none named: every alarm."""
    schedule: Schedule | None = None
    """When it may; without one, always."""
    cooldown: Duration = Field(30.0, ge=0, le=86400)
    """Seconds after one answer in which further alarms get none."""

    def answers(self, event: Event) -> bool:
        """Whether this is an alarm that begins, of its rules, within its schedule."""
        begins = event.cls == "alarm" and event.phase == "begin"
        mine = not self.rules or event.rule in self.rules
        return begins and mine and (self.schedule is None or self.schedule.active(event.time_utc))

    @abstractmethod
    def play(self, output_id: str, event: Event, stop: threading.Event) -> None:
        """Do it, and return when it is done or `stop` is set (noticed within 1 s). OutputError when it cannot."""
