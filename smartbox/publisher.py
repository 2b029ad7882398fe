"""The publisher: connects, says who we are, then empties the outbox; over and over."""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartbox.clock import Clock
from smartbox.mqtt import MqttSettings
from smartbox.outbox import Outbox

Document = Mapping[str, Any]


class Retained:
    """The retained documents below the root, set by any thread; the publisher sends changes, and all after a connect."""

    def set(self, topic: str, document: Document | None) -> None:
        """topic: `source/east`, `occupancy/east`, … ; None empties it."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and messages per second; the defaults are wire.md's."""

    window: int = 10
    spread: float = 10.0
    backlog_rate: float = 20.0
    first_wait: float = 1.0
    longest_wait: float = 120.0
    puback_timeout: float = 15.0
    health_every: float = 60.0
    farewell: float = 3.0


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """A snapshot for health, console and log."""

    connected: bool
    session: int
    sent: int
    no_subscriber: int
    failed: int
    in_flight: int
    acked_through: int
    depth: int
    oldest_age: float
    reason: str


class Publisher:
    """`run(stop)` until stop: then publishes `stopped`, disconnects and returns within `pace.farewell` s."""

    def __init__(
        self,
        outbox: Outbox,
        settings: MqttSettings,
        clock: Clock,
        site: str,
        box: str,
        *,
        new_id: Callable[[], str],
        random: random.Random,
        birth: Callable[[], Document],
        health: Callable[[], Document],
        heartbeat: Callable[[], None] = lambda: None,
        active: Sequence[tuple[str, str]] = (),
        pace: Pace | None = None,
    ) -> None:
        """birth: models, sources, rules, capabilities … (session, ts, version and depth are added here);
        active: every (rule, source) pair, so that `active/{rule}/{source}` is emptied too when nothing is open.
        """
        raise NotImplementedError

    retained: Retained

    def set_state(self, state: str) -> None:
        """ready · degraded · updating; any thread. `lost` and `stopped` are the publisher's own."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        raise NotImplementedError

    @property
    def status(self) -> LinkStatus:
        raise NotImplementedError
