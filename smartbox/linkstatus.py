"""How the link is doing, for health, console and log; and whether another client has our name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smartbox.letters import Letter
from smartbox.mqtt import SESSION_TAKEN_OVER, LinkError
from smartbox.outbox.rows import Depth

_CONFLICT_EVERY = 3600.0
_SHORT = 4  # accepted connections in a row that did not hold


@dataclass(frozen=True, slots=True)
class LinkStatus:
    """A snapshot for health, console and log.

    sent: messages that the broker has, of which no_subscriber reached nobody; failed: answers with an error;
    depth: events that wait; reason: why there is no connection, or was none last.
    """

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


@dataclass(frozen=True, slots=True)
class Flying:
    """Handed to the client at `since`: the outbox' message n, a letter, or else a retained document."""

    since: float
    topic: str
    n: int | None = None
    letter: Letter | None = None


@dataclass(slots=True)
class Conflict:
    """Another client with our id throws us out as often as we come; older brokers do not say so."""

    client_id: str
    _short: int = 0
    _told: float = field(default=float("-inf"))

    def after(self, error: LinkError, short: bool, now: float) -> dict[str, Any] | None:
        """A connection ended; the detail of a `client_id_conflict` when it is time to tell.

        short: we were let in, nothing was refused, and yet it did not hold.
        """
        self._short = self._short + 1 if short else 0
        certain = error.code == SESSION_TAKEN_OVER
        if not (certain or self._short >= _SHORT) or now - self._told <= _CONFLICT_EVERY:
            return None
        self._told = now
        return {"client_id": self.client_id, "certain": certain, "short_connections": self._short}


def health(about: Mapping[str, Any], depth: Depth, degraded: str | None, status: LinkStatus) -> dict[str, Any]:
    """The document `tele/health`. about: what the box says of itself."""
    return {
        **about,
        "acked_through": depth.acked_through,
        "outbox": {
            "depth": depth.events,
            "bytes": depth.bytes,
            "age_s": round(depth.oldest_age, 1),
            "dead": depth.dead,
            "degraded": degraded,
        },
        "link": {"sent": status.sent, "no_subscriber": status.no_subscriber, "failed": status.failed},
    }
