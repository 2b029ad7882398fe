"""The publisher: connects, says who we are, then empties the outbox; over and over."""

import json
import logging
import random
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from smartbox import __version__, cloudevent
from smartbox.active import Active
from smartbox.clock import Clock
from smartbox.inbox import Inbox, NoInbox
from smartbox.letters import Letter, Letters
from smartbox.linkstatus import Conflict, Flying, LinkStatus, health
from smartbox.mqtt import CONNECT_LIMITS, Ack, Attempt, LinkError, Mqtt, MqttSettings, Received, Will
from smartbox.notices import Notices
from smartbox.outbox import Message, Outbox
from smartbox.pace import Backlog, Pace
from smartbox.retained import Document, Retained

__all__ = ["Document", "LinkStatus", "Pace", "Publisher", "Retained"]

log = logging.getLogger(__name__)

_TICK = 0.5  # s between heartbeats, at most
_TEND_EVERY = 5.0
_REFUSED_AGAIN = 60.0


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
        inbox: Inbox | None = None,
        letters: Letters | None = None,
        identity: Callable[[MqttSettings], MqttSettings] = lambda settings: settings,
    ) -> None:
        """birth: models, sources, rules, capabilities … (session, ts, version and depth are added here);
        active: every (rule, source) pair, so that `active/{rule}/{source}` is emptied too when nothing is open;
        identity: asked before every connect, which may change certificate and key.
        """
        self.retained = Retained(self._wake)
        self.letters = letters or Letters()
        self.letters.wake = self._wake
        self._inbox = inbox or NoInbox()
        self._identity = identity
        self._unsafe: list[Received] = []
        self._stale = False
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
        self._active = Active(outbox, self.retained, active)
        self._bell: socket.socket | None = None
        self._session = 0
        self._connected = False
        self._sent = self._no_subscriber = self._failed = 0
        self._in_flight: dict[int, Flying] = {}
        self._reason = ""
        self._tend_at = self._health_at = 0.0
        self._conflict = Conflict(self._client_id)
        self._accepted = 0
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
                    if detail := self._conflict.after(error, short, self._clock.monotonic()):
                        self._outbox.put(self._notices.once("client_id_conflict", "high", detail))
                self._pause(self._pace.reconnect_wait(failures, self._random), stop)
        finally:
            self._bell.close()
            listening.close()

    def _say(self, error: LinkError) -> None:
        if str(error) != self._reason:
            log.warning("%s", error)
        self._reason = str(error)

    def _pause(self, seconds: float, stop: threading.Event) -> None:
        until = self._clock.monotonic() + seconds
        while (left := until - self._clock.monotonic()) > 0 and not stop.is_set():
            self._heartbeat()
            self._tend(connected=False)
            self._clock.wait(stop, min(left, _TICK))

    def _serve(self, bell: socket.socket, stop: threading.Event) -> None:
        """One connection, from CONNECT to its end. Returns on stop, else raises LinkError."""
        self._stale = False
        self._session = self._outbox.next_session()
        will = Will(self._topic("state"), self._state_payload("lost"))
        link = Mqtt(self._identity(self._settings), self._client_id, will, self._settings.session)
        try:
            if not self._connect(link, stop):
                return
            self._connected = True
            self._accepted += 1
            log.info("connected to %s:%d, session %d", self._settings.host, self._settings.port, self._session)
            link.subscribe(self._inbox.topics)
            self._greet()
            self._inbox.connected()
            backlog = Backlog(self._outbox.depth().last_n, self._clock, self._pace, self._random)
            while not stop.is_set():
                self._turn(link, bell, backlog)
            self._farewell(link, bell, backlog.mark)
        finally:
            self._connected = False
            self.letters.again([flying.letter for flying in self._in_flight.values() if flying.letter])
            self._in_flight.clear()
            self._unsafe.clear()
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

    def watch(self, active: Sequence[tuple[str, str]]) -> None:
        """Every (rule, source) pair there is from now on. Any thread."""
        self._active.watch(active)

    def tell_state(self) -> None:
        """Say again how the box is; after Home Assistant was told of it. Any thread."""
        self.letters.post(Letter("state", lambda: self._state_payload(self._state), retain=True))

    def resync(self) -> None:
        """Send everything that is retained again, and the health. Any thread."""
        self.tell_birth()
        self.retained.all_again()
        self._health_at = 0.0
        self._wake()

    def reconnect(self) -> None:
        """Connect anew, because something has changed about how. Any thread."""
        self._stale = True
        self._wake()

    def _greet(self) -> None:
        """Who we are, before anything else; what is retained follows in the same order on every connection."""
        self.retained.set("state", self._state_document())
        self.tell_birth()
        self._active.refresh(anew=True)
        self.retained.all_again()
        self._health_at = self._clock.monotonic()

    def _turn(self, link: Mqtt, bell: socket.socket, backlog: Backlog) -> None:
        """Send what may be sent, wait for the network or the bell, book what came back."""
        self._heartbeat()
        if self._stale:
            raise LinkError("connecting anew")
        self._active.refresh()
        self._send_retained(link)
        self._send_letters(link)
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
        self._receive(link)
        self._tend(connected=True)

    def _receive(self, link: Mqtt) -> None:
        """What came down goes to the inbox; acknowledged only when it is safe there."""
        came, link.received = link.received, []
        if self._clock.monotonic() >= self._tend_at:
            came, self._unsafe = self._unsafe + came, []
        for message in came:
            if self._inbox.receive(message):
                link.acknowledge(message)
            else:
                self._unsafe.append(message)

    def _room(self, link: Mqtt) -> int:
        return max(0, min(self._pace.window, link.receive_maximum) - len(self._in_flight))

    # -- sending --

    def _send_retained(self, link: Mqtt) -> None:
        while self._room(link) > 0 and (item := self.retained.next()) is not None:
            topic, document = item
            if topic in self._refused:
                continue
            payload = b"" if document is None else _dump(document)
            if not link.fits(self._topic(topic), payload):
                self._failed += 1
                log.warning("%s: %d bytes are more than the broker takes", topic, len(payload))
                self._refused[topic] = self._clock.monotonic() + _REFUSED_AGAIN
                continue
            mid = link.publish(self._topic(topic), payload, retain=True, content_type="application/json")
            self._in_flight[mid] = Flying(self._clock.monotonic(), topic)

    def _send_letters(self, link: Mqtt) -> None:
        while self._room(link) > 0 and (letter := self.letters.next()) is not None:
            try:
                topic = self._topic(letter.topic)
                mid = link.publish(topic, letter.body, retain=letter.retain, content_type=letter.content_type)
            except LinkError:
                self.letters.again([letter])
                raise
            self._in_flight[mid] = Flying(self._clock.monotonic(), letter.topic, letter=letter)

    def _send(self, link: Mqtt, message: Message) -> None:
        topic = self._topic(message.topic)
        if not link.fits(topic, message.payload):
            self._outbox.fail(message.n, f"larger than the broker's {link.maximum_packet} bytes")
            return
        mid = link.publish(topic, message.payload, content_type=message.content_type)
        self._in_flight[mid] = Flying(self._clock.monotonic(), message.topic, message.n)

    def _send_health(self, link: Mqtt) -> None:
        if self._clock.monotonic() < self._health_at:
            return
        self._health_at = self._clock.monotonic() + self._pace.health_every
        about = {"session": self._session, "ts": self._now(), **self._health()}
        document = health(about, self._outbox.depth(), self._outbox.degraded, self.status)
        link.publish(self._topic("tele/health"), _dump(document), qos=0, content_type="application/json")

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
            elif flying.letter is not None:
                flying.letter.arrived()
        if delivered:
            self._sent += len(delivered)
            self._outbox.ack(delivered)
        now = self._clock.monotonic()
        if any(now - flying.since > self._pace.puback_timeout for flying in self._in_flight.values()):
            raise LinkError(f"no PUBACK within {self._pace.puback_timeout:g} s")
        for topic in [topic for topic, due in self._refused.items() if now >= due]:
            del self._refused[topic]
            self.retained.again(topic)

    def _on_refusal(self, flying: Flying, ack: Ack) -> None:
        self._failed += 1
        reason = f"0x{ack.reason:02x} {ack.text}"
        log.warning("%s: the broker refuses it: %s", flying.topic, reason)
        if flying.n is not None:
            self._outbox.fail(flying.n, reason)
        elif flying.letter is None:
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
                self._send_letters(link)
                for message in self._outbox.take(self._room(link), above=mark):
                    self._send(link, message)
                if not self._in_flight:
                    break
                link.poll(0.1, bell)
                self._book(link)
            mid = link.publish(self._topic("state"), self._state_payload("stopped"), retain=True)
            self._in_flight[mid] = Flying(self._clock.monotonic(), "state")
            while mid in self._in_flight and self._clock.monotonic() - began < self._pace.farewell - 0.3:
                link.poll(0.1)
                self._book(link)
            link.disconnect()

    # -- documents --

    def _topic(self, suffix: str) -> str:
        """Below the root; a leading slash means that it stands outside of it."""
        return suffix[1:] if suffix.startswith("/") else f"{self._root}/{suffix}"

    def _now(self) -> str:
        return cloudevent.timestamp(self._clock.utc())

    def _state_document(self) -> dict[str, Any]:
        return {"state": self._state, "session": self._session, "ts": self._now()}

    def _state_payload(self, state: str) -> bytes:
        return _dump(self._state_document() | {"state": state})


def _dump(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str).encode()
