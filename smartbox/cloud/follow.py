"""Follows `desired`: takes documents, watches the one on trial, and says on `reported` what became of them."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from smartbox.clock import Clock
from smartbox.cloud.desired import Desired, RejectedError, Report, Sections, Wanted, read
from smartbox.cloud.settings import CloudSettings
from smartbox.cloudevent import timestamp
from smartbox.errors import SmartboxError, StorageError
from smartbox.keys import PublicKey
from smartbox.linkstatus import LinkStatus
from smartbox.mqtt import Received
from smartbox.retained import Document
from smartbox.supervise import chain

log = logging.getLogger(__name__)

_TICK = 0.5


@dataclass(frozen=True, slots=True)
class Ways:
    """What a follower asks of the box. check: what is wrong with sections, as (key's path, message); apply: go over to
    them without a restart, False when they need one.
    """

    check: Callable[[Sections], Sequence[tuple[str, str]]]
    link: Callable[[], LinkStatus]
    report: Callable[[Document], None]
    apply: Callable[[Sections], bool]
    restart: Callable[[], None]


class Follower:
    """`receive` on the publisher's thread, all else on the one that calls `run`."""

    def __init__(self, desired: Desired, settings: CloudSettings, box: str, clock: Clock, ways: Ways) -> None:
        """box: `site/id`, which a document has to name."""
        self._desired = desired
        self._settings = settings
        self._keys = [PublicKey.parse(text, "ed25519") for text in settings.keys]
        self._box = box
        self._clock = clock
        self._ways = ways
        self._came: SimpleQueue[bytes] = SimpleQueue()
        self._told: Report = desired.state.report
        self._link_error = ""
        self._began = clock.monotonic()
        self._connected_since: float | None = None

    def receive(self, message: Received) -> bool:
        """It is retained: the broker keeps it, whatever becomes of us."""
        if message.payload:  # empty: the broker was told to forget it, which changes nothing here
            self._came.put(message.payload)
        return True

    def run(self, stop: threading.Event) -> bool:
        """Work until `stop`; False then, or when a restart is on its way."""
        self._report()
        while not stop.is_set():
            try:
                payload = self._came.get(timeout=_TICK)
            except Empty:
                pass
            else:
                if self._take(payload):
                    self._ways.restart()
                    return False
            if self._watch():
                self._ways.restart()
                return False
        return False

    def _take(self, payload: bytes) -> bool:
        """True: it is stored and wants a restart."""
        try:
            wanted = read(payload, self._keys, self._box)
            restart = self._desired.take(payload, wanted, self._ways.check)
        except RejectedError as error:
            log.error("configuration from the cloud rejected, the old one stays: %s", error)
            errors = tuple({"path": path, "message": text} for path, text in error.problems[:20])
            self._told = Report(error.version, "rejected", errors)
        except StorageError as error:
            log.error("configuration from the cloud: %s; it is taken at the next connect", chain(error))
            return False
        else:
            self._told = self._desired.state.report
            if restart and not self._applied(wanted):
                log.info("configuration version %d from the cloud: restarting in place to try it", wanted.version)
                return True
        self._report()
        return False

    def _applied(self, wanted: Wanted) -> bool:
        try:
            done = self._ways.apply(wanted.sections)
        except SmartboxError as error:
            log.warning("configuration version %d is not taken in running: %s", wanted.version, chain(error))
            return False
        if done:
            log.info("configuration version %d from the cloud is tried without a restart", wanted.version)
            self._began = self._clock.monotonic()
        return done

    def _watch(self) -> bool:
        """Confirm the one on trial, or give it up: then True."""
        now, link = self._clock.monotonic(), self._ways.link()
        if not link.connected:
            self._connected_since = None
        elif self._connected_since is None:
            self._connected_since = now
        if link.reason != self._link_error:
            self._link_error = link.reason
            self._report()
        if self._desired.state.trial is None:
            return False
        try:
            if self._connected_since is not None and now - self._connected_since >= self._settings.confirm_after:
                self._desired.confirm()
                self._told = self._desired.state.report
                self._report()
            elif self._connected_since is None and now - self._began >= self._settings.revert_after:
                why = f"the broker was not reached within {self._settings.revert_after:g} s"
                self._desired.revert(f"{why}: {link.reason}" if link.reason else why)
                return True
        except StorageError as error:
            log.error("%s", chain(error))
        return False

    def _report(self) -> None:
        state, told = self._desired.state, self._told
        document: dict[str, Any] = {
            "version": told.version,
            "status": told.status,
            "errors": list(told.errors),
            "active": state.active.version if state.active else 0,
            "ts": timestamp(self._clock.utc()),
        }
        if state.trial is not None:
            document["trial"] = state.trial.version
        if self._link_error:
            document["link"] = {"last_error": self._link_error}
        self._ways.report(document)
