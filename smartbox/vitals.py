"""How the box is: its sources, models and storage judged, and told as system events, documents and a health report."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smartbox.clock import Clock
from smartbox.cloudevent import timestamp
from smartbox.health import SourceHealth, machine, source_document
from smartbox.inference import Inference
from smartbox.mailbox import Mailboxes
from smartbox.notices import Notices
from smartbox.outbox import Outbox
from smartbox.retained import Retained
from smartbox.silences import Silences
from smartbox.sources._base import SourceSettings
from smartbox.types import Event

log = logging.getLogger(__name__)

FINE = ("online", "disabled")


class Vitals:
    """`sources` is filled in by who reads and who judges pictures; `judge` belongs to the judging thread."""

    def __init__(
        self,
        sources: Mapping[str, SourceSettings],
        clock: Clock,
        notices: Notices,
        outbox: Outbox,
        mailboxes: Mailboxes,
        silences: Silences,
        state_dir: Path,
    ) -> None:
        now = clock.monotonic()
        self.sources = {source: SourceHealth(now, enabled=s.enabled) for source, s in sources.items()}
        self._clock = clock
        self._notices = notices
        self._outbox = outbox
        self._mailboxes = mailboxes
        self._silences = silences
        self._state_dir = state_dir
        self._fallbacks: list[tuple[str, str]] = []

    def begin(self) -> None:
        """The sources are started now: their time to deliver runs from here, however long it took to get here."""
        for health in self.sources.values():
            health.started = self._clock.monotonic()

    def fell_back(self, model: str, why: str) -> None:
        """Another backend than before runs this model. Any thread."""
        log.warning("%s", why)
        self._fallbacks.append((model, why))

    def judge(self, inference: Inference, retained: Retained) -> list[Event]:
        """What has changed since, as system events; the states of sources go into `retained`."""
        events = [event for source in self.sources for event in self._judged(source, retained)]
        for name in inference.timings:
            reason = inference.failing.get(name, "")
            events += self._notices.condition("model_failing", name, bool(reason), "high", reason)
        while self._fallbacks:
            model, why = self._fallbacks.pop(0)
            events.append(self._notices.once("backend_fallback", "medium", {"model": model, "reason": why}))
        return events

    def _judged(self, source: str, retained: Retained) -> list[Event]:
        health = self.sources[source]
        if health.judge(self._clock.monotonic(), self._clock.utc()):
            retained.set(f"source/{source}", source_document(health, timestamp))
            level = logging.INFO if health.state in FINE else logging.WARNING
            log.log(level, "source %s is %s %s", source, health.state, health.reason, extra={"source": source})
        offline = health.state == "offline" and health.reason != "starting"
        events = self._notices.condition("source_offline", source, offline, "medium", health.reason)
        degraded = health.state == "degraded"
        return events + self._notices.condition("source_degraded", source, degraded, "medium", health.reason)

    def silent(self, seconds: float) -> Iterator[str]:
        """Sources that have delivered nothing for so long."""
        now = self._clock.monotonic()
        for source, health in self.sources.items():
            if health.last_sample is None or now - health.last_sample > seconds:
                yield source

    def online(self) -> str:
        """`3/4 sources online`."""
        online = sum(h.state == "online" for h in self.sources.values())
        return f"{online}/{sum(h.enabled for h in self.sources.values())} sources online"

    def troubles(self, inference: Inference) -> list[str]:
        """Everything that keeps this box from being `ready`."""
        found = [f"source {s}: {h.reason}" for s, h in self.sources.items() if h.state not in FINE and not h.ended]
        found += [f"model {name}: {reason}" for name, reason in inference.failing.items()]
        if self._outbox.degraded:
            found.append(f"storage: {self._outbox.degraded}")
        return found

    def report(self, inference: Inference) -> dict[str, Any]:
        """The health document."""
        now, boxes = self._clock.monotonic(), self._mailboxes
        sources = {
            name: {**h.report(now), "received": boxes.received[name], "replaced": boxes.replaced[name]}
            for name, h in self.sources.items()
        }
        told = self._silences.told()
        try:
            board = machine(self._state_dir)
        except OSError as error:
            board = {"error": error.strerror}
        return {
            **board,
            "sources": sources,
            "inference": {name: timings.summary() for name, timings in inference.timings.items()},
            "silences": [{"rule": s.rule, "source": s.source, "until": timestamp(s.until)} for s in told],
            "troubles": self.troubles(inference),
        }
