"""Matches of one rule on one source -> events: begin, update, end.

How the pipeline uses it (one RuleRunner per rule x source):

    runner = RuleRunner("lane-east-clear", "fire_lane", rule, "east", zones, new_id, fps=5.0)
    runner.restore(open_events, time, utc)   # once, after a restart or (reason="config") a changed rule or zone
    events = runner.step(scene)              # every scene of the source: pictures, inferred or not, and sounds
    events = runner.idle(time, utc)          # about once a second while no frame arrives
    events = runner.end_all(time, utc, "config")               # the rule is being removed
    runner.open          # events that say what is open now, for `active/{rule}/{source}` and for the next restore
    runner.occupancy     # state per slot (parking), else None
    runner.counts        # crossings per direction and label (line_crossing), else None
    runner.waiting       # candidates on their way to an alarm, for pictures of the start and of the middle
    runner.state, runner.followed                              # what was judged at the last step, to explain it
    runner.silence(until)                                      # a person wants no news of it for a while
    events = runner.acknowledge(episode, by, time, utc)        # a person has seen it

Scenes come in order of time; one that is not later than the last is ignored. Only tracks that were seen at the last
inference count; without an inference what held at the last one stands.
A silence up to 30 s freezes all timers; a longer one holds the episodes (they go on when the object is found where it
was, IoU >= 0.5), and after 60 s they end as `source_lost`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

from smartbox.dwell import HOLD_AFTER, LOST_AFTER, Dwell, freeze_gap
from smartbox.geometry import Zone
from smartbox.rules._base import RuleSettings
from smartbox.rules._crossings import Crossings
from smartbox.rules._subjects import Subject, Waiting, assign, hidden, obscured
from smartbox.telling import Teller
from smartbox.types import EndReason, Event, Match, Scene, SlotState

RESUME_S = 5.0
"""How long (s of received frames) a held object may take to be found again: a tracker has to confirm it first."""


RunnerState = Literal["on", "off", "blind"]
"""off: outside of its schedule; blind: nothing can be said from this picture."""
FollowedState = Literal["candidate", "settled", "open", "held", "cooling"]
"""settled: it has lasted and yet is no event (a slot that is taken, a post that is manned); held: see `RuleRunner`."""


@dataclass(frozen=True, slots=True)
class Followed:
    """One subject as it stood after a step. holds: None while nobody can say; needs: s to the event, None: never one.

    share: of the window that counts now, in which it held; elapsed: s since its first match.
    """

    number: int
    match: Match
    state: FollowedState
    holds: bool | None
    share: float
    elapsed: float
    needs: float | None
    episode: str | None


class RuleRunner:
    """One rule on one source. Not thread-safe; all times are arguments."""

    def __init__(
        self,
        rule_id: str,
        kind: str,
        rule: RuleSettings,
        source: str,
        zones: Sequence[Zone],
        new_id: Callable[[], str],
        fps: float = 5.0,
    ) -> None:
        self.rule_id = rule_id
        self.kind = kind
        self.rule = rule
        self.source = source
        self.zones = tuple(zone for zone in zones if zone.source == source)
        self._teller = Teller(rule_id, kind, rule, source, new_id)
        self._freeze = freeze_gap(fps)
        self._crossings = Crossings.of(rule, self.zones)
        self._subjects: list[Subject] = []
        self._matches: list[Match] = []
        self._found: frozenset[int] = frozenset()  # tracks that the last inference found
        self._seen: frozenset[int] = frozenset()  # tracks that count
        self._numbers = count(1)
        self.state: RunnerState = "on"
        self._time: float | None = None  # of the last scene
        self._since: float | None = None  # of the first silence
        self._watched = 0.0  # s of received frames since the start of the schedule's window
        self._settled = 0.0  # s of received frames since the last long silence

    def step(self, scene: Scene) -> list[Event]:
        """Take the next scene; returns what it leads to."""
        if (self.rule.hears and scene.sounds is None) or (self._time is not None and scene.time <= self._time):
            return []
        if not self._on(scene.utc):
            return self._switch_off(scene.time, scene.utc)
        self.state = "blind" if self.rule.blind(scene) else "on"
        if self.state == "blind":
            return self.idle(scene.time, scene.utc)
        seconds = self._pass(scene.time)
        scene = self._trusted(scene)
        if self._crossings:
            return self._teller.instants(self._crossings.step(scene), scene)
        if scene.inferred or self.rule.every_frame:
            self._matches = self.rule.matches(scene, self.zones, self._active)
        return self._follow(scene, seconds)

    def idle(self, time: float, utc: float) -> list[Event]:
        """No frame has come by `time`: hold, and at last end, what is open."""
        if not self._on(utc):
            return self._switch_off(time, utc)
        self._since = self._since if self._since is not None else time
        silence = time - (self._time if self._time is not None else self._since)
        if silence > HOLD_AFTER:
            self._hold("source_lost")
        return self._end_those(self._subjects, time, utc, "source_lost") if silence > LOST_AFTER else []

    def end_all(self, time: float, utc: float, reason: EndReason) -> list[Event]:
        """End every open episode and forget all candidates."""
        events = self._end_those(self._subjects, time, utc, reason)
        self._subjects = []
        return events

    def restore(self, events: Sequence[Event], time: float, utc: float, reason: EndReason = "restart") -> list[Event]:
        """Take up episodes of this rule and source; they go on if the object is found, else end for `reason`."""
        self._time, self._since, self._settled = None, time, 0.0
        for event in events:
            if event.camera == self.source and event.phase != "end" and event.objects:
                match = event.objects[0]
                ago = max(0.0, utc - event.time_utc)  # 0 when the clock is not set yet
                dwell = Dwell.resumed(self.rule.dwell_spec(match.subject), time - ago, event.dwell_s)
                self._subjects.append(
                    Subject(
                        match,
                        dwell,
                        number=next(self._numbers),
                        held=reason,
                        episode=event.episode,
                        event=event,
                        cls=event.cls,
                        acknowledged=event.detail.get("acknowledged"),
                        started_utc=event.started_utc,
                        told_at=time,
                    )
                )
        return self.end_all(time, utc, reason) if self._crossings else []

    def silence(self, until: float) -> None:
        """Tell no begin and no update before `until` (monotonic s); ends are told.

        What still holds then begins then. A time that has passed ends the silence.
        """
        self._teller.silent_until = until

    @property
    def silent_until(self) -> float:
        return self._teller.silent_until

    def acknowledge(self, episode: str, by: str, time: float, utc: float) -> list[Event]:
        """An update of that episode which says who has seen it; from then on only news is told. Empty: not here."""
        subject = next((s for s in self._subjects if s.event and s.episode == episode), None)
        if subject is None:
            return []
        return [self._teller.acknowledge(subject, by, time, utc)]

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Candidates of which an event may come."""
        return tuple(
            Waiting(s.number, s.match, s.dwell.started_at, min(1.0, s.dwell.elapsed / max(1e-6, after)))
            for s in self._subjects
            if s.event is None and s.name not in self._teller.cooling
            for after in [self._teller.alarm_after(s)]
            if after is not None
        )

    @property
    def followed(self) -> tuple[Followed, ...]:
        """Every subject as it stands after the last step."""
        return tuple(
            Followed(
                s.number, s.match, self._state_of(s), s.dwell.holds, s.dwell.recent, s.dwell.elapsed,
                self._teller.alarm_after(s), s.episode,
            )
            for s in self._subjects
        )  # fmt: skip

    def _state_of(self, subject: Subject) -> FollowedState:
        if subject.held:
            return "held"
        if subject.event:
            return "open"
        if subject.name in self._teller.cooling:
            return "cooling"
        return "settled" if subject.dwell.begun else "candidate"

    def number_of(self, episode: str) -> int | None:
        """Which candidate an open episode was."""
        return next((s.number for s in self._subjects if s.event and s.episode == episode), None)

    @property
    def open(self) -> tuple[Event, ...]:
        """The last event of each open episode, with the object as it was last seen."""
        return tuple(replace(s.event, objects=(s.match,)) for s in self._subjects if s.event)

    @property
    def occupancy(self) -> Mapping[str, SlotState] | None:
        """State of every slot; unknown until it was watched for as long as a change takes."""
        if self.rule.zone_kind != "slots":
            return None
        taken = {s.name for s in self._subjects if s.dwell.begun and not s.held}
        states: dict[str, SlotState] = {}
        for slot in (name for zone in self.zones for name in zone.slots):
            known = self._settled >= self.rule.dwell_spec(f"slot:{slot}").dwell
            states[slot] = "occupied" if f"slot:{slot}" in taken else "free" if known else "unknown"
        return states

    @property
    def counts(self) -> Mapping[str, Mapping[str, int]] | None:
        """Crossings since the start, per direction and label."""
        return self._crossings.counts if self._crossings else None

    @property
    def _active(self) -> frozenset[str]:
        return frozenset(s.name for s in self._subjects if s.dwell.begun)

    def _on(self, utc: float) -> bool:
        return self.rule.schedule is None or self.rule.schedule.active(utc)

    def _switch_off(self, time: float, utc: float) -> list[Event]:
        self._time, self._since, self.state = None, time, "off"
        self._watched, self._settled, self._matches = 0.0, 0.0, []
        return self.end_all(time, utc, "schedule")

    def _pass(self, time: float) -> float:
        """Move to `time`; returns for how long (s) the last sample stood."""
        silence = 0.0 if self._time is None else time - self._time
        self._time = time
        if silence > HOLD_AFTER:
            self._hold("source_lost")
        seconds = min(silence, self._freeze)
        self._watched += seconds
        self._settled += seconds if silence <= HOLD_AFTER else 0.0
        return seconds

    def _hold(self, reason: EndReason) -> None:
        self._settled = 0.0
        for subject in self._subjects:
            subject.held = subject.held or reason

    def _trusted(self, scene: Scene) -> Scene:
        """The scene with only the tracks that were found at the last inference, or missed where that will do."""
        if scene.inferred:
            found = frozenset(t.id for t in scene.tracks if t.seen)
            self._seen = found | self._found if self.rule.forgives else found
            self._found = found
        there = tuple(t for t in scene.tracks if t.id in self._seen)
        behind = obscured(there, scene, self.rule.hidden_s) if self.rule.hidden_s else ()
        scene = replace(scene, tracks=(*there, *behind))
        self._teller.cooling.pass_(scene)
        return scene

    def _follow(self, scene: Scene, seconds: float) -> list[Event]:
        pairs, fresh = assign(self._subjects, self._matches, scene)
        for subject in self._subjects:
            match = pairs.get(subject)
            if match:
                subject.before, subject.match, subject.held = subject.match.xyxy, match, None
            behind = match is None and (subject.held is not None or hidden(subject, scene))
            strolls = match is None and not behind and self._strolls(subject, scene)
            subject.dwell.sample(scene.time, seconds, None if behind or strolls else match is not None)
            subject.strayed = not (match or behind) and self._strayed(subject, seconds)
        self._subjects += [self._candidate(match, scene.time) for match in fresh]
        return self._judge(scene.time, scene.utc)

    def _candidate(self, match: Match, time: float) -> Subject:
        dwell = Dwell(self.rule.dwell_spec(match.subject), time)
        if match.since is not None:
            dwell.credit(max(0.0, min(time - match.since, self._watched, self._settled)))
        return Subject(match, dwell, number=next(self._numbers))

    def _strolls(self, subject: Subject, scene: Scene) -> bool:
        """Whether a candidate that may join two stays is in sight elsewhere, and not yet for too long."""
        if subject.dwell.begun or subject.dwell.away >= self.rule.joins(subject.name) - 1e-6:
            return False
        return any(subject.name == f"track:{t.id}" for t in scene.tracks)

    def _strayed(self, subject: Subject, seconds: float) -> bool:
        """Whether it was away, from the frame after its last match on, for so long that this visit is over."""
        joins = self.rule.joins(subject.name)
        return joins > 0 and not subject.dwell.begun and subject.dwell.away >= joins + seconds - 1e-6

    def _judge(self, time: float, utc: float) -> list[Event]:
        """What begins, goes on or is over, after every subject has had its sample."""
        events: list[Event] = []
        for subject in list(self._subjects):
            dwell = subject.dwell
            if subject.held:
                if self._settled > RESUME_S and not math.isinf(dwell.spec.end):
                    events += self._end_those([subject], time, utc, subject.held)
            elif dwell.over or subject.strayed:
                events += self._end_those([subject], time, utc, "cleared")
            else:
                if dwell.ready and self.rule.armed(subject.name, self._active, self._watched):
                    dwell.begun = True
                events += self._teller.go_on(subject, time, utc)
        return events

    def _end_those(self, subjects: Sequence[Subject], time: float, utc: float, reason: EndReason) -> list[Event]:
        """Forget subjects, all but those that never end, with the end of each that has an episode."""
        events = [self._teller.end(s, time, utc, reason) for s in subjects if s.event]
        self._subjects = [s for s in self._subjects if s not in subjects or math.isinf(s.dwell.spec.end)]
        return events
