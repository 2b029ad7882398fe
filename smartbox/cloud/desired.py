"""The configuration that the cloud wants: taken when it is signed and good, given up when it loses the broker.

    none -> trial (stored, the box restarts with it) -> active (the broker was reached)
                  |-> reverted (the broker was not reached in time, or three starts were not enough)

Every step is one durable save, so that a power cut leaves the step before or the step after it.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from smartbox.cloud.command import loads
from smartbox.cloud.jws import verified
from smartbox.errors import SmartboxError
from smartbox.keys import PublicKey
from smartbox.statefile import StateFile

log = logging.getLogger(__name__)

LIMIT = 256 * 1024  # bytes
FILE_NAME = "desired.json"
STARTS = 3  # of a configuration that has not reached the broker yet
FIXED = ("version", "box", "cloud")  # who the box is and whom it trusts is not for the cloud to say
_ERRORS = 20
_VERSIONS = 2**53

Sections = Mapping[str, Any]
Result = Literal["applied", "rejected", "reverted"]


class RejectedError(SmartboxError):
    """The document is not taken; version 0 when it could not be read. problems: (key's path, what is wrong)."""

    def __init__(self, version: int, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {text}" if path else text for path, text in problems))
        self.version = version
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Wanted:
    """sections: those of the configuration file that it takes the place of. starts: how often it was tried."""

    version: int
    sections: Sections
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a version; 0: nothing has come yet."""

    version: int = 0
    status: Result = "applied"
    errors: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """seen: the highest version that was ever taken or refused for what it says, and the hash of that document."""

    seen: int = 0
    digest: str = ""
    active: Wanted | None = None
    trial: Wanted | None = None
    report: Report = field(default_factory=Report)


def read(payload: bytes, keys: Sequence[PublicKey], box: str) -> Wanted:
    """A document for `box` (`site/id`) that is signed and has the right shape. RejectedError otherwise."""
    if len(payload) > LIMIT:
        raise RejectedError(0, [("", f"{len(payload)} bytes, at most {LIMIT}")])
    try:
        document = loads(verified(payload, keys))
    except ValueError as error:
        raise RejectedError(0, [("", str(error))]) from error
    version = document.get("version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < _VERSIONS:
        raise RejectedError(0, [("version", "must be a whole number above 0: {version, box, config}")])
    if document.get("box") != box:
        raise RejectedError(version, [("box", f"must be {box!r}: it is meant for another box")])
    sections = document.get("config")
    if not isinstance(sections, dict) or document.keys() - {"version", "box", "config"}:
        raise RejectedError(version, [("", "must be {version, box, config}, config a mapping of sections")])
    if fixed := [(f"config.{name}", "cannot be changed from above") for name in FIXED if name in sections]:
        raise RejectedError(version, fixed)
    return Wanted(version, sections)


class Desired:
    """The state and its steps. Not thread-safe. StorageError: the step could not be stored and did not happen."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / FILE_NAME)
        self.state = State()

    def load(self) -> None:
        """What the last run left."""
        try:
            self.state = _state(self._file.load())
        except (TypeError, ValueError, KeyError) as error:
            log.error("%s says nothing that is understood and is left out: %s", FILE_NAME, error)
            self.state = State()

    def ignore(self) -> None:
        """For this run: nobody is trusted to send a configuration, so none is in force."""
        self.state = replace(self.state, active=None, trial=None)

    def begin(self) -> Wanted | None:
        """A start: which configuration is to be used; None: that of the file. A trial's start is counted first."""
        trial = self.state.trial
        if trial is None:
            return self.state.active
        if trial.starts >= STARTS:
            self.revert(f"was not confirmed in {STARTS} starts")
            return self.state.active
        tried = replace(trial, starts=trial.starts + 1)
        self._save(replace(self.state, trial=tried))
        return tried

    def take(self, payload: bytes, wanted: Wanted, check: Callable[[Sections], Sequence[tuple[str, str]]]) -> bool:
        """A document that `read` let pass: True when the box has to restart to try it. RejectedError.

        check: what is wrong with these sections, (key's path, message).
        """
        state, digest = self.state, hashlib.sha256(payload).hexdigest()
        if wanted.version == state.seen and digest == state.digest:
            return False  # retained, it comes at every connect
        if wanted.version <= state.seen:
            raise RejectedError(wanted.version, [("version", f"must be above {state.seen}, which came already")])
        if problems := check(wanted.sections):
            report = Report(wanted.version, "rejected", _errors(problems))
            self._save(replace(state, seen=wanted.version, digest=digest, report=report))
            raise RejectedError(wanted.version, problems)
        seen = replace(state, seen=wanted.version, digest=digest, trial=None)
        if wanted.sections == (state.active.sections if state.active else {}) and state.trial is None:
            self._save(replace(seen, active=wanted, report=Report(wanted.version)))
            return False
        self._save(replace(seen, trial=wanted))
        return True

    def confirm(self) -> None:
        """The trial reached the broker."""
        if (trial := self.state.trial) is not None:
            self._save(replace(self.state, active=trial, trial=None, report=Report(trial.version)))
            log.info("configuration version %d from the cloud is confirmed", trial.version)

    def revert(self, reason: str) -> None:
        """The trial is given up for what was before."""
        if (trial := self.state.trial) is not None:
            report = Report(trial.version, "reverted", _errors([("", reason)]))
            self._save(replace(self.state, trial=None, report=report))
            log.error("configuration version %d from the cloud is given up: %s", trial.version, reason)

    def unusable(self, problems: Sequence[tuple[str, str]]) -> None:
        """What `begin` gave cannot be used any more, because something beside it changed: the file's alone is."""
        wanted = self.state.trial or self.state.active
        if wanted is not None:
            report = Report(wanted.version, "reverted", _errors(problems))
            self._save(replace(self.state, trial=None, report=report))

    def forget(self) -> None:
        """Back to the file's; but what came once is never taken again."""
        if self.state.seen:
            self._save(State(seen=self.state.seen, digest=self.state.digest))

    def _save(self, state: State) -> None:
        self._file.save(asdict(state))
        self.state = state


def _errors(problems: Sequence[tuple[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple({"path": path, "message": text[:500]} for path, text in problems[:_ERRORS])


def _state(stored: Mapping[str, Any]) -> State:
    if not stored:
        return State()
    report = stored["report"]
    return State(
        seen=int(stored["seen"]),
        digest=str(stored["digest"]),
        active=Wanted(**stored["active"]) if stored["active"] else None,
        trial=Wanted(**stored["trial"]) if stored["trial"] else None,
        report=Report(report["version"], report["status"], tuple(report["errors"])),
    )
