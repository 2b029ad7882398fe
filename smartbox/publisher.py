"""The publisher: connects, says who we are, then empties the outbox; over and over."""

import json
import logging
import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from smartbox import __version__, cloudevent
from smartbox.clock import Clock
from smartbox.mqtt import CONNECT_LIMITS, SESSION_TAKEN_OVER, Ack, Attempt, LinkError, Mqtt, MqttSettings, Will
from smartbox.notices import Notices
from smartbox.outbox import Message, Outbox
from smartbox.pace import Backlog, Pace
from smartbox.retained import Document, Retained

__all__ = ["Document", "LinkStatus", "Pace", "Publisher", "Retained"]

log = logging.getLogger(__name__)

_TICK = 0.5  # s between heartbeats, at most
_TEND_EVERY = 5.0
_REFUSED_AGAIN = 60.0
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
        birth: Callable[[], dict[str, Any]],
        health: Callable[[], dict[str, Any]],
        heartbeat: Callable[[], None] = lambda: None,
        active: Sequence[tuple[str, str]] = (),
        pace: Pace | None = None,
    ) -> None:
        """birth: models, sources, rules, capabilities … (session, ts, version and depth are added here);
        active: every (rule, source) pair, so that `active/{rule}/{source}` is emptied too when nothing is open.
        """
        self.retained = Retained(self._wake)
        self._outbox = outbox
        self._settings = settings
        self._clock = clock
        self._root = cloudevent.root(site, box)
        self._client_id = settings.client_id or f"smartbox-{site}-{box}"
        self._notices = Notices(new_id, clock)
        self._random = random
        self._birth = birth
        self._health = health
        self._heartbeat = heartbeat
        self._pace = pace or Pace()
        self._state = "ready"
        self._active: dict[tuple[str, str], list[Any]] = {}
        self._pairs = set(active)
        self._outbox_version = -1
        self._bell: socket.socket | None = None
        self._session = 0
        self._connected = False
        self._sent = self._no_subscriber = self._failed = 0
        self._in_flight: dict[int, _Flying] = {}
        self._reason = ""
        self._tend_at = self._health_at = 0.0
        self._conflict_at = float("-inf")
        self._accepted = self._short = 0  # connections; short ones in a row
        self._refused: dict[str, float] = {}  # retained topic -> when to try again
        outbox.listen(self._wake)

    def set_state(self, state: str) -> None:
        """ready · degraded · updating; any thread. `lost` and `stopped` are the publisher's own."""
        if state != self._state:
            self._state = state
            self.retained.set("state", self._state_document())

    @property
    def status(self) -> LinkStatus:
        depth = self._outbox.depth()
        return LinkStatus(
            connected=self._connected,
            session=self._session,
            sent=self._sent,
            no_subscriber=self._no_subscriber,
            failed=self._failed,
            in_flight=len(self._in_flight),
            acked_through=depth.acked_through,
            depth=depth.events,
            oldest_age=depth.oldest_age,
            reason=self._reason,
        )

    def _wake(self) -> None:
        bell = self._bell
        if bell is not None:
            with suppress(OSError):  # full: it rings already; closed: nobody listens
                bell.send(b"\0")

    # -- the loop --

    def run(self, stop: threading.Event) -> None:
        """Connect, serve, and connect again with a doubling, fully random wait."""
        if self._settings.version == "3.1.1":
            log.warning("mqtt.version 3.1.1: a broker may throw messages away and still acknowledge them; 5 is better")
        listening, self._bell = socket.socketpair()
        for end in (listening, self._bell):
            end.setblocking(False)
        failures = 0
        try:
            while not stop.is_set():
                began, accepted, failed = self._clock.monotonic(), self._accepted, self._failed
                try:
                    self._serve(listening, stop)
                except LinkError as error:
                    steady = self._clock.monotonic() - began > self._pace.steady
                    failures = 0 if steady else failures + 1
                    self._say(error)
                    short = self._accepted > accepted and self._failed == failed and not steady
                    self._suspect(error, short)
                self._pause(self._pace.reconnect_wait(failures, self._random), stop)
        finally:
            self._bell.close()
            listening.close()

    def _say(self, error: LinkError) -> None:
        if str(error) != self._reason:
            log.warning("%s", error)
        self._reason = str(error)

    def _suspect(self, error: LinkError, short: bool) -> None:
        """Another client with our id throws us out as often as we come; older brokers do not say so.

        short: we were let in, nothing was refused, and yet it did not hold.
        """
        self._short = self._short + 1 if short else 0
        certain = error.code == SESSION_TAKEN_OVER
        now = self._clock.monotonic()
        if (certain or self._short >= _SHORT) and now - self._conflict_at > _CONFLICT_EVERY:
            self._conflict_at = now
            detail = {"client_id": self._client_id, "certain": certain, "short_connections": self._short}
            self._outbox.put(self._notices.once("client_id_conflict", "high", detail))

    def _pause(self, seconds: float, stop: threading.Event) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0 and not stop.is_set():
            self._heartbeat()
            self._tend(connected=False)
            self._clock.wait(stop, min(left, _TICK))

    def _serve(self, bell: socket.socket, stop: threading.Event) -> None:
        """One connection, from CONNECT to its end. Returns on stop, else raises LinkError."""
        self._session = self._outbox.next_session()
        link = Mqtt(self._settings, self._client_id, Will(self._topic("state"), self._state_payload("lost")))
        try:
            if not self._connect(link, stop):
                return
            self._connected = True
            self._accepted += 1
            log.info("connected to %s:%d, session %d", self._settings.host, self._settings.port, self._session)
            self._greet()
            backlog = Backlog(self._outbox.depth().last_n, self._clock, self._pace, self._random)
            while not stop.is_set():
                self._turn(link, bell, backlog)
            self._farewell(link, bell, backlog.mark)
        finally:
            self._connected = False
            self._in_flight.clear()
            self._outbox.release()
            link.close()

    def _connect(self, link: Mqtt, stop: threading.Event) -> bool:
        """False on stop. In a thread of its own: looking up a name may hang for longer than a heartbeat may."""
        attempt = Attempt(link)
        until = self._clock.monotonic() + CONNECT_LIMITS * self._settings.connect_timeout
        while not attempt.done.wait(_TICK):
            self._heartbeat()
            self._tend(connected=False)
            if stop.is_set() or self._clock.monotonic() > until:
                attempt.abandon()
                if stop.is_set():
                    return False
                raise LinkError(f"{self._settings.host}:{self._settings.port}: no connection in time")
        if attempt.error is not None:
            raise attempt.error
        return True

    def tell_birth(self) -> None:
        """Say again what this box is and has; for when that changes during a session. Any thread."""
        about = {"session": self._session, "ts": self._now(), "version": __version__}
        self.retained.set("birth", {**about, "outbox_depth": self._outbox.depth().events, **self._birth()})

    def _greet(self) -> None:
        """Who we are, before anything else; what is retained follows in the same order on every connection."""
        self.retained.set("state", self._state_document())
        self.tell_birth()
        self._outbox_version = -1
        self._refresh_active()
        self.retained.all_again()
        self._health_at = self._clock.monotonic()

    def _turn(self, link: Mqtt, bell: socket.socket, backlog: Backlog) -> None:
        """Send what may be sent, wait for the network or the bell, book what came back."""
        self._heartbeat()
        self._refresh_active()
        self._send_retained(link)
        for message in self._outbox.take(self._room(link), above=backlog.mark):
            self._send(link, message)
        wait = backlog.wait()
        if wait <= 0 and self._room(link) > 0:
            messages = self._outbox.take(backlog.allowed(self._room(link)), through=backlog.mark, replayed=True)
            for message in messages:
                self._send(link, message)
            backlog.took(len(messages))
            wait = backlog.wait()
        self._send_health(link)
        try:
            link.poll(min(_TICK, max(wait, 0.0)) if self._room(link) else _TICK, bell)
        finally:
            self._book(link)  # some brokers hang up after a refusal: it still counts
        self._tend(connected=True)

    def _room(self, link: Mqtt) -> int:
        return max(0, min(self._pace.window, link.receive_maximum) - len(self._in_flight))

    # -- sending --

    def _send_retained(self, link: Mqtt) -> None:
        while self._room(link) > 0 and (item := self.retained.next()) is not None:
            topic, document = item
            if topic in self._refused:
                continue
            payload = b"" if document is None else _dump(document)
            mid = link.publish(self._topic(topic), payload, retain=True, content_type="application/json")
            self._in_flight[mid] = _Flying(self._clock.monotonic(), topic, None)

    def _send(self, link: Mqtt, message: Message) -> None:
        topic = self._topic(message.topic)
        if link.maximum_packet and len(message.payload) + len(topic) + 100 > link.maximum_packet:
            self._outbox.fail(message.n, f"larger than the broker's {link.maximum_packet} bytes")
            return
        mid = link.publish(topic, message.payload, content_type=message.content_type)
        self._in_flight[mid] = _Flying(self._clock.monotonic(), message.topic, message.n)

    def _send_health(self, link: Mqtt) -> None:
        if self._clock.monotonic() < self._health_at:
            return
        self._health_at = self._clock.monotonic() + self._pace.health_every
        depth = self._outbox.depth()
        document = {
            "session": self._session,
            "ts": self._now(),
            **self._health(),
            "acked_through": depth.acked_through,
            "outbox": {
                "depth": depth.events,
                "bytes": depth.bytes,
                "age_s": round(depth.oldest_age, 1),
                "dead": depth.dead,
                "degraded": self._outbox.degraded,
            },
            "link": {"sent": self._sent, "no_subscriber": self._no_subscriber, "failed": self._failed},
        }
        link.publish(self._topic("tele/health"), _dump(document), qos=0, content_type="application/json")

    def _refresh_active(self) -> None:
        """`active/{rule}/{source}` follows the outbox' open episodes."""
        version = self._outbox.version
        if version == self._outbox_version:
            return
        self._outbox_version = version
        found: dict[tuple[str, str], list[Any]] = {}
        for event in self._outbox.open_episodes():
            found.setdefault((event.rule, event.camera), []).append(cloudevent.summary(event))
        for pair in self._pairs | self._outbox.pairs():
            if pair not in self._active or found.get(pair, []) != self._active[pair]:
                self._active[pair] = found.get(pair, [])
                self.retained.set(f"active/{pair[0]}/{pair[1]}", self._active[pair] or None)

    # -- what comes back --

    def _book(self, link: Mqtt) -> None:
        """Acknowledgements, in one transaction; LinkError when the broker owes one for too long."""
        acks, link.acks = link.acks, []
        delivered = []
        for ack in acks:
            flying = self._in_flight.pop(ack.mid, None)
            if flying is None:
                continue
            if ack.ok and flying.n is not None:
                delivered.append(flying.n)
            self._no_subscriber += ack.ok and flying.n is not None and ack.reason == 0x10
            if not ack.ok:
                self._on_refusal(flying, ack)
        if delivered:
            self._sent += len(delivered)
            self._outbox.ack(delivered)
        now = self._clock.monotonic()
        if any(now - flying.since > self._pace.puback_timeout for flying in self._in_flight.values()):
            raise LinkError(f"no PUBACK within {self._pace.puback_timeout:g} s")
        for topic in [topic for topic, due in self._refused.items() if now >= due]:
            del self._refused[topic]
            self.retained.again(topic)

    def _on_refusal(self, flying: "_Flying", ack: Ack) -> None:
        self._failed += 1
        reason = f"0x{ack.reason:02x} {ack.text}"
        log.warning("%s: the broker refuses it: %s", flying.topic, reason)
        if flying.n is not None:
            self._outbox.fail(flying.n, reason)
        else:
            self._refused[flying.topic] = self._clock.monotonic() + _REFUSED_AGAIN

    def _tend(self, connected: bool) -> None:
        if self._clock.monotonic() >= self._tend_at:
            self._tend_at = self._clock.monotonic() + _TEND_EVERY
            self._outbox.tend(tell=connected)

    def _farewell(self, link: Mqtt, bell: socket.socket, mark: int) -> None:
        """Half the time for what was just put, then `stopped`, its PUBACK, and DISCONNECT."""
        began = self._clock.monotonic()
        with suppress(LinkError):
            while self._clock.monotonic() - began < self._pace.farewell / 2:
                for message in self._outbox.take(self._room(link), above=mark):
                    self._send(link, message)
                if not self._in_flight:
                    break
                link.poll(0.1, bell)
                self._book(link)
            mid = link.publish(self._topic("state"), self._state_payload("stopped"), retain=True)
            self._in_flight[mid] = _Flying(self._clock.monotonic(), "state", None)
            while mid in self._in_flight and self._clock.monotonic() - began < self._pace.farewell - 0.3:
                link.poll(0.1)
                self._book(link)
            link.disconnect()

    # -- documents --

    def _topic(self, suffix: str) -> str:
        return f"{self._root}/{suffix}"

    def _now(self) -> str:
        return cloudevent.timestamp(self._clock.utc())

    def _state_document(self) -> dict[str, Any]:
        return {"state": self._state, "session": self._session, "ts": self._now()}

    def _state_payload(self, state: str) -> bytes:
        return _dump(self._state_document() | {"state": state})


@dataclass(frozen=True, slots=True)
class _Flying:
    """Handed to the client at `since`; n is None for a retained document."""

    since: float
    topic: str
    n: int | None


def _dump(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str).encode()
