"""Which rules are to be silent, and until when: ordered from above, remembered over restarts and power cuts.

In a running box a silence lasts its seconds, whatever the wall clock does; over a restart only the wall clock can tell.
While that is not set what was ordered before is not silent: rather an alarm too many than one too few.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from smartbox.clock import REAL_TIME, Clock
from smartbox.errors import StorageError
from smartbox.statefile import StateFile

log = logging.getLogger(__name__)

FILE_NAME = "silences.json"
_JUMP = 1.0  # s by which the wall clock was set, and not only slewed


class Rules(Protocol):
    """Those of one source."""

    def silence(self, rule: str, until: float) -> bool:
        """No begin and no update of that rule before `until` (monotonic s); False: there is no such rule."""


@dataclass(frozen=True, slots=True)
class Silence:
    """until: epoch s; seconds: how long it was to last; ends: monotonic s, None when an earlier run was told of it."""

    rule: str
    source: str
    until: float
    seconds: float
    ends: float | None = None

    def end(self, now: float, utc: float) -> float:
        """Monotonic s."""
        return now + min(self.until - utc, self.seconds) if self.ends is None else self.ends


class Silences:
    """For the thread that judges; `told` for any."""

    def __init__(self, state_dir: Path, clock: Clock, rules: Mapping[str, Rules]) -> None:
        """rules: of each source, as they are by then."""
        self._file = StateFile(state_dir / FILE_NAME)
        self._clock = clock
        self._rules = rules
        self._all: tuple[Silence, ...] = ()
        self._offset: float | None = None

    def open(self) -> None:
        """Read what an earlier run was told, and tell the rules."""
        written = self._file.load().get("silences", [])
        self._all = tuple(s for s in map(_silence, written if isinstance(written, list) else []) if s)
        self.tend()

    def order(self, rule: str, sources: Iterable[str], seconds: float) -> float:
        """From now on, for so long; 0 ends one; until when (epoch s). StorageError: nothing has changed."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        new = [Silence(rule, source, utc + seconds, seconds, now + seconds) for source in sources]
        others = [s for s in self._all if (s.rule, s.source) not in {(n.rule, n.source) for n in new}]
        self._save([*others, *new], utc)
        for silence in new:
            self._rules[silence.source].silence(rule, now + seconds)
        return utc + seconds

    def tend(self) -> None:
        """Call now and then: a clock that was set shows how much is left of what an earlier run was told."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        if utc < REAL_TIME or (self._offset is not None and abs(utc - now - self._offset) <= _JUMP):
            return
        self._offset = utc - now
        moved = [s if s.ends is None else replace(s, until=utc + s.ends - now) for s in self._all]
        if moved != list(self._all):
            try:
                self._save(moved, utc)
            except StorageError as error:
                log.error("%s", error)
        self.tell()

    def tell(self) -> None:
        """Tell the rules again, as they were made anew."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        for silence in self._all if utc >= REAL_TIME else ():
            if silence.source in self._rules:
                self._rules[silence.source].silence(silence.rule, silence.end(now, utc))

    def told(self) -> list[Silence]:
        """Those that are not over."""
        utc = self._clock.utc()
        return [silence for silence in self._all if silence.until > utc]

    def _save(self, silences: Iterable[Silence], utc: float) -> None:
        kept = tuple(silence for silence in silences if silence.until > utc)
        self._file.save({"silences": [_written(silence) for silence in kept]})
        self._all = kept


def _written(silence: Silence) -> dict[str, Any]:
    return {"rule": silence.rule, "source": silence.source, "until": silence.until, "seconds": silence.seconds}


def _silence(written: Any) -> Silence | None:
    match written:
        case {"rule": str(rule), "source": str(source), "until": float(until), "seconds": int() | float() as seconds}:
            return Silence(rule, source, until, float(seconds))
    log.error("%s: %r is no silence and is left out", FILE_NAME, written)
    return None
