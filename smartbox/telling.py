"""What is told of a rule's subjects: the begin of an episode, its updates, its end; and what is not told, and why.

Who the subjects are, and for how long what the rule looks for holds of each, is the runner's: episodes.py.
"""

import math
from collections.abc import Callable, Sequence

from smartbox.cloudevent import timestamp
from smartbox.dwell import Dwell
from smartbox.rules._base import RuleSettings
from smartbox.rules._cooldowns import Cooldowns
from smartbox.rules._subjects import Subject
from smartbox.types import EndReason, Event, Match, Phase, Scene, Why


class Teller:
    """Makes the events of one rule on one source.

    cooling: who has ended and is not to begin again yet. silent_until: until then (monotonic s) only ends are told.
    """

    def __init__(self, rule_id: str, kind: str, rule: RuleSettings, source: str, new_id: Callable[[], str]) -> None:
        self._rule_id = rule_id
        self._kind = kind
        self._rule = rule
        self._source = source
        self._new_id = new_id
        self.cooling = Cooldowns()
        self.silent_until = -math.inf

    def alarm_after(self, subject: Subject) -> float | None:
        """How long (s) it must last to become an event; None: it never does."""
        after = self._rule.announce(subject.name)
        return None if after is None else max(after, subject.dwell.spec.dwell)

    def go_on(self, subject: Subject, time: float, utc: float) -> list[Event]:
        """Of a subject that is there: its begin, an update, the end by age, or nothing."""
        elapsed, last = subject.dwell.elapsed, subject.event
        if last is None:
            return [self._event(subject, "begin", time, utc)] if self._begins(subject, time) else []
        if elapsed - subject.begun_at >= self._rule.max_duration:
            return [self.end(subject, time, utc, "max_duration")]
        worse = self._rule.severity_at(subject.match, elapsed) != last.severity
        news = worse or (time - subject.told_at >= self._rule.update and not subject.acknowledged)
        if news and time >= self.silent_until:
            return [self._event(subject, "update", time, utc)]
        return []

    def _begins(self, subject: Subject, time: float) -> bool:
        after, dwell = self._rule.announce(subject.name), subject.dwell
        if after is None or dwell.elapsed < after or subject.name in self.cooling or time < self.silent_until:
            return False
        return dwell.begun and dwell.firm

    def acknowledge(self, subject: Subject, by: str, time: float, utc: float) -> Event:
        """The update which says who has seen it; from then on only news is told."""
        subject.acknowledged = {"by": by, "at": timestamp(utc)}
        return self._event(subject, "update", time, utc)

    def end(self, subject: Subject, time: float, utc: float, reason: EndReason) -> Event:
        """Of a subject that has an episode; it has none any more."""
        event = self._event(subject, "end", time, utc, reason)
        subject.event = subject.episode = subject.acknowledged = None
        if reason in {"cleared", "max_duration"}:
            self.cooling.start(subject.name, time + self._rule.cooldown, subject.dwell.last_match)
        return event

    def instants(self, matches: Sequence[Match], scene: Scene) -> list[Event]:
        """A begin and its end for each moment."""
        events: list[Event] = []
        for match in matches:
            if match.subject in self.cooling or scene.time < self.silent_until:
                continue
            subject = Subject(match, Dwell(self._rule.dwell_spec(match.subject), scene.time))
            events.append(self._event(subject, "begin", scene.time, scene.utc))
            events.append(self.end(subject, scene.time, scene.utc, "cleared"))
        return events

    def _event(self, subject: Subject, phase: Phase, time: float, utc: float, reason: EndReason | None = None) -> Event:
        dwell, match, event_id = subject.dwell, subject.match, self._new_id()
        if phase == "begin":
            subject.episode, subject.cls = event_id, self._rule.event_class(match)
            subject.begun_at = dwell.elapsed
            subject.started_utc = utc - (time - dwell.started_at)  # by the clock of now, which may have jumped since
        ended = phase == "end"
        event = Event(
            id=event_id,
            cls=subject.cls,
            kind=self._kind,
            phase=phase,
            time_utc=utc,
            monotonic=time,
            severity=self._rule.severity_at(match, dwell.elapsed),
            rule=self._rule_id,
            camera=self._source,
            zone=match.zone,
            episode=subject.episode or event_id,
            started_utc=subject.started_utc,
            dwell_s=dwell.lasted if ended else dwell.elapsed,
            ended_utc=utc - (time - dwell.last_match) if ended else None,
            end_reason=reason,
            objects=(match,),
            detail={**match.detail, **({"acknowledged": subject.acknowledged} if subject.acknowledged else {})},
            why=None if self._rule.instant else self._why(subject),
        )
        subject.event, subject.told_at = event, time
        return event

    def _why(self, subject: Subject) -> Why:
        dwell, spec = subject.dwell, subject.dwell.spec
        needs = self._rule.alarm_after(subject.name)
        return Why(round(dwell.recent, 3), dwell.window, spec.enter, spec.exit, needs)
