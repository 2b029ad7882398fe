"""Commands from `cmd/{name}`: stored, acknowledged, run at most once, and answered on `cmd/{name}/ack`."""

import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from smartbox.clock import Clock
from smartbox.cloud.command import Command, CommandError, RefusedError, Status, parse
from smartbox.cloud.ledger import Entry, Ledger
from smartbox.errors import SmartboxError, StorageError
from smartbox.letters import Letter, Letters
from smartbox.mqtt import Received
from smartbox.secrets import redact
from smartbox.supervise import chain

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9-]{1,48}")
_TICK = 0.5


@dataclass(frozen=True, slots=True)
class Restart:
    """The command is done when the box is back; `action` brings it down, in order and soon. detail: of `done`."""

    action: Callable[[], None]
    detail: Mapping[str, Any] = field(default_factory=dict)


Handler = Callable[[Command], Mapping[str, Any] | Restart]


class Commands:
    """`receive` on the publisher's thread stores; `run` on one of its own works through them in order.

    A handler returns the detail of `done`, raises CommandError (or any SmartboxError) for `failed`, and returns Restart
    when the box has to be started anew.
    """

    def __init__(
        self,
        ledger: Ledger,
        letters: Letters,
        handlers: Mapping[str, Handler],
        clock: Clock,
        lanes: Sequence[Collection[str]] = (),
    ) -> None:
        """lanes: commands that take long or have to wait, and run beside the others and beside those of other lanes."""
        self._ledger = ledger
        self._letters = letters
        self._handlers = handlers
        self._clock = clock
        self._lane = {name: number for number, names in enumerate(lanes, 1) for name in names}
        self._is_open = False
        self._lock = threading.RLock()
        self._queues: list[SimpleQueue[tuple[Command, Entry]]] = [SimpleQueue() for _ in range(len(lanes) + 1)]

    def open(self) -> None:
        """Answer what an earlier run began: it is never run again. While the list cannot be read none is taken."""
        with self._lock, suppress(StorageError):
            self._open()

    def _open(self) -> None:
        try:
            self._ledger.open()
        except StorageError as error:
            log.error("no command is taken: %s", chain(error))
            raise
        self._is_open = True
        for entry in self._ledger.unfinished():
            if entry.status != "accepted":
                self._answer(entry)
            elif "restarting" in entry.detail:
                self._conclude(entry, "done", entry.detail["restarting"])
            else:
                reason = {"reason": "interrupted by a restart; it is not run again"}
                self._conclude(entry, "failed", {**entry.detail, **reason})

    def close(self) -> None:
        with self._lock:
            self._ledger.close()

    # -- the publisher's thread --

    def receive(self, name: str, message: Received) -> bool:
        """Store it and say so; False when the disk refuses, so that it must not be acknowledged."""
        try:
            command = parse(name, message.payload, message.retained, self._clock.utc())
        except RefusedError as refusal:
            if refusal.status != "expired" or not self._repeated(name, refusal.id):
                self._refuse(name, refusal.id, refusal.status, str(refusal))
            return True
        with self._lock:
            try:
                if not self._is_open:
                    self._open()
            except StorageError:
                return False
            if self._repeated(name, command.id):
                return True
            if name not in self._handlers:
                self._refuse(name, command.id, "refused", "this box does not support it")
                return True
            try:
                entry = self._ledger.accept(command, self._clock.utc())
            except StorageError as error:
                log.error("command %s %s is not taken yet: %s", name, command.id, chain(error))
                return False
        log.info("command %s %s: accepted", name, command.id)
        self._say(name, command.id, "accepted", {})
        self._queues[self._lane.get(name, 0)].put((command, entry))
        return True

    def _repeated(self, name: str, command_id: str) -> bool:
        """Say what became of it, if it came before."""
        with self._lock:
            known = self._ledger.find(command_id)
        if known is not None:
            self._refuse(name, command_id, "duplicate", f"came before and is {known.status}", known.detail)
        return known is not None

    def _refuse(
        self, name: str, command_id: str, status: Status, reason: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        log.warning("command %r %s: %s: %s", name[:60], command_id or "without an id", status, reason)
        self._say(name, command_id, status, {**(detail or {}), "reason": reason})

    # -- the workers --

    def run(self, stop: threading.Event, lane: int = 0) -> bool:
        """Work off one lane until `stop`, False then; 0: all that are in no other. Each has a thread of its own."""
        while not stop.is_set():
            try:
                command, entry = self._queues[lane].get(timeout=_TICK)
            except Empty:
                continue
            self._execute(command, entry)
        return False

    def _execute(self, command: Command, entry: Entry) -> None:
        status: Status = "done"
        detail: dict[str, Any] = {}
        try:
            if self._clock.utc() >= command.expires:
                status, detail = "expired", {"reason": "expired while it waited for others"}
            else:
                result = self._handlers[command.name](command)
                if isinstance(result, Restart):
                    self._restart(command, entry, result)
                    return
                detail = dict(result)
        except CommandError as error:
            status, detail = "failed", {**error.detail, "reason": redact(str(error))}
        except SmartboxError as error:
            status, detail = "failed", {"reason": redact(chain(error))}
        log.info("command %s %s: %s %s", command.name, command.id, status, detail.get("reason", ""))
        self._conclude(entry, status, detail)

    def _conclude(self, entry: Entry, status: Status, detail: dict[str, Any]) -> None:
        """Remember what became of it, and say so even if the disk refuses."""
        with self._lock:
            try:
                entry = self._ledger.conclude(entry, status, detail)
            except StorageError as error:
                log.error("command %s %s: %s", entry.name, entry.id, chain(error))
                entry = replace(entry, status=status, detail=detail)
        self._answer(entry)

    def _restart(self, command: Command, entry: Entry, restart: Restart) -> None:
        with self._lock:
            self._ledger.conclude(entry, "accepted", {"restarting": dict(restart.detail)})
        log.info("command %s %s: restarting", command.name, command.id)
        restart.action()

    def progress(self, command: Command, detail: Mapping[str, Any]) -> None:
        """Remember how far a running command is, for the answer in case the box goes down in between."""
        with self._lock:
            entry = self._ledger.find(command.id)
            if entry is not None and entry.status == "accepted":
                self._ledger.conclude(entry, "accepted", dict(detail))

    # -- answers --

    def _answer(self, entry: Entry) -> None:
        """The last word about a command; told again after a restart until the broker has it."""
        self._say(entry.name, entry.id, entry.status, entry.detail, partial(self._arrived, entry))

    def _arrived(self, entry: Entry) -> None:
        with self._lock:
            try:
                self._ledger.told(entry)
            except StorageError as error:
                log.error("%s", chain(error))

    def _say(
        self,
        name: str,
        command_id: str,
        status: Status,
        detail: Mapping[str, Any],
        arrived: Callable[[], None] = lambda: None,
    ) -> None:
        if _NAME.fullmatch(name):  # any other has no topic to answer on
            body = {"id": command_id or None, "status": status, "detail": dict(detail)}
            payload = json.dumps(body, separators=(",", ":"), default=str).encode()
            self._letters.post(Letter(f"cmd/{name}/ack", payload, arrived=arrived))
