"""System events: what the box says about itself, as begin and end like any other episode."""

from collections.abc import Callable, Mapping
from typing import Any

from smartbox.clock import Clock
from smartbox.types import EndReason, Event, Severity

RULE = "system"


class Notices:
    """Makes system events and remembers which are open, so that begins and ends pair."""

    def __init__(self, new_id: Callable[[], str], clock: Clock) -> None:
        self._new_id = new_id
        self._clock = clock
        self._open: dict[tuple[str, str], Event] = {}

    def condition(
        self, kind: str, camera: str, holds: bool, severity: Severity = "medium", reason: str = ""
    ) -> list[Event]:
        """Begin when `holds` becomes true, update when only the reason changes, end when it is over."""
        key = (kind, camera)
        old = self._open.get(key)
        if holds and old is None:
            self._open[key] = begun = self._event(kind, camera, severity, {"reason": reason})
            return [begun]
        if holds and old is not None and old.detail.get("reason") != reason:
            self._open[key] = changed = self._later(old, "update", {"reason": reason})
            return [changed]
        if not holds and old is not None:
            del self._open[key]
            return [self._end(old, "cleared")]
        return []

    def once(self, kind: str, severity: Severity, detail: Mapping[str, Any]) -> Event:
        """Something that happened and is over, as a start."""
        return self._event(kind, "box", severity, detail, ended=self._clock.utc())

    def after_restart(self, events: list[Event]) -> list[Event]:
        """Ends for system episodes that were open when the box went down."""
        return [self._end(event, "restart") for event in events if event.cls == "system"]

    def _end(self, event: Event, reason: EndReason) -> Event:
        return self._later(event, "end", event.detail, ended=self._clock.utc(), reason=reason)

    def _event(
        self, kind: str, camera: str, severity: Severity, detail: Mapping[str, Any], ended: float | None = None
    ) -> Event:
        utc, event_id = self._clock.utc(), self._new_id()
        return Event(
            id=event_id,
            cls="system",
            kind=kind,
            phase="begin",
            time_utc=utc,
            monotonic=self._clock.monotonic(),
            severity=severity,
            rule=RULE,
            camera=camera,
            zone=None,
            episode=event_id,
            started_utc=utc,
            dwell_s=0.0,
            ended_utc=ended,
            detail=detail,
        )

    def _later(
        self,
        event: Event,
        phase: Any,
        detail: Mapping[str, Any],
        ended: float | None = None,
        reason: EndReason | None = None,
    ) -> Event:
        utc = self._clock.utc()
        return Event(
            id=self._new_id(),
            cls="system",
            kind=event.kind,
            phase=phase,
            time_utc=utc,
            monotonic=self._clock.monotonic(),
            severity=event.severity,
            rule=event.rule,
            camera=event.camera,
            zone=None,
            episode=event.episode,
            started_utc=event.started_utc,
            dwell_s=max(0.0, utc - event.started_utc),
            ended_utc=ended,
            end_reason=reason,
            detail=detail,
        )
