"""Why an alarm came, or did not: what every rule made of every sample, as lines and as timelines.

    tracer = Tracer(pipeline.runners)
    lines = tracer.lines(scene, events)    # after each step of the pipeline
    tracer.timelines()                     # at the end

It reads the runners' state after a step and changes nothing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from smartbox.episodes import Followed, RuleRunner, RunnerState
from smartbox.timeline import Lane, Span, Timeline
from smartbox.types import Event, Match, Scene

MERGE_S = 1.0
"""Curves are kept as straight pieces of at most so many seconds while they move."""


class Tracer:
    """All rules of one source."""

    def __init__(self, runners: Sequence[RuleRunner]) -> None:
        self._rules = [_Traced(runner) for runner in runners]

    def lines(self, scene: Scene, events: Sequence[Event] = (), *, sound: bool = False) -> list[dict[str, Any]]:
        """What each rule made of it: a line per subject, or one without; then one for each that was given up.

        events: what the step led to. sound: the scene is one of sound alone, which rules that look do not judge.
        """
        judged = [r for r in self._rules if (scene.sounds is not None if r.runner.rule.hears else not sound)]
        return [line for rule in judged for line in rule.lines(scene, events)]

    def timelines(self) -> list[tuple[str, Timeline]]:
        """(rule id, its timeline)."""
        return [(rule.runner.rule_id, rule.timeline()) for rule in self._rules]


class _Traced:
    """One rule on one source."""

    def __init__(self, runner: RuleRunner) -> None:
        self.runner = runner
        self._before: dict[int, Followed] = {}
        self._lanes: dict[int, Lane] = {}
        self._marks: dict[str, Lane] = {}  # of a rule whose events have no length
        self._watches: list[tuple[float, float, RunnerState]] = []
        self._since: float | None = None
        self._last = 0.0

    def lines(self, scene: Scene, events: Sequence[Event]) -> Iterator[dict[str, Any]]:
        runner = self.runner
        head = {
            "trace": runner.rule_id,
            "source": runner.source,
            "time": round(scene.time, 3),
            "watching": runner.state,
        }
        now = {followed.number: followed for followed in runner.followed}
        moments = [e for e in events if e.rule == runner.rule_id and e.phase == "begin"] if runner.rule.instant else []
        self._keep(scene.time, now)
        for moment in moments:
            self._mark(moment)
            yield {**head, **_told(moment)}
        if not now and not moments:
            seen = {"seen": dict(Counter(track.label for track in scene.tracks))}
            yield {**head, "subject": None, "holds": False, **seen, "picture": sorted(scene.picture)}
        for followed in now.values():
            yield {**head, **self._about(followed)}
        for number, followed in self._before.items():
            if number not in now:
                yield {**head, **self._about(followed), "state": "ended" if followed.episode else "dropped"}
        self._before = now

    def _about(self, followed: Followed) -> dict[str, Any]:
        match, spec = followed.match, self.runner.rule.dwell_spec(followed.match.subject)
        return {
            **_who(match),
            "holds": followed.holds,
            "share": round(followed.share, 3),
            "enter_share": spec.enter,
            "exit_share": spec.exit,
            "dwell_s": round(followed.elapsed, 3),
            "needs_s": followed.needs,
            "state": followed.state,
            "episode": followed.episode,
        }

    def _keep(self, time: float, now: dict[int, Followed]) -> None:
        before = self._last if self._since is not None else time
        self._since = self._since if self._since is not None else time
        state = self.runner.state
        if self._watches and self._watches[-1][2] == state:
            self._watches[-1] = self._watches[-1][0], time, state
        else:
            self._watches.append((before, time, state))
        for number, followed in now.items():
            lane = self._lanes.setdefault(number, Lane(followed.match.subject))
            lane.name = followed.match.subject
            _extend(lane.spans, time, before, followed)
        self._last = time

    def _mark(self, moment: Event) -> None:
        """A lane for each line and direction, with a stroke for each crossing."""
        name = " ".join(filter(None, (moment.zone, str(moment.detail.get("direction", "")))))
        lane = self._marks.setdefault(name, Lane(name))
        at = moment.monotonic
        lane.spans.append(Span(at, at, True, "open", (1.0, 1.0), (0.0, 1.0)))

    def timeline(self) -> Timeline:
        runner = self.runner
        title = f"{runner.rule_id} ({runner.kind}) on {runner.source}"
        lanes = [*self._lanes.values(), *self._marks.values()]
        needed = 0.0 if runner.rule.instant else runner.rule.enter_ratio
        return Timeline(title, lanes, self._watches, self._since or 0.0, self._last, needed)


def _told(moment: Event) -> dict[str, Any]:
    """An event without length."""
    match = moment.objects[0]
    return {**_who(match), "holds": True, **match.detail, "episode": moment.episode}


def _who(match: Match) -> dict[str, Any]:
    return {
        "subject": match.subject,
        "label": match.label,
        "score": round(float(match.score), 3),
        "zone": match.zone,
    }


def _extend(spans: list[Span], time: float, before: float, followed: Followed) -> None:
    """Lengthen the last span, or begin one where something changed or the curve needs another point."""
    progress = min(1.0, followed.elapsed / max(1e-6, followed.needs)) if followed.needs is not None else 0.0
    share, last = followed.share, spans[-1] if spans else None
    if last and last.end >= before - 1e-6 and (last.holds, last.state) == (followed.holds, followed.state):
        flat = last.share[1] == share and last.progress[1] == progress
        steady = last.share[0] == last.share[1] and last.progress[0] == last.progress[1]
        if (flat and steady) or time - last.start <= MERGE_S:
            last.end, last.share, last.progress = time, (last.share[0], share), (last.progress[0], progress)
            return
        spans.append(
            Span(last.end, time, followed.holds, followed.state, (last.share[1], share), (last.progress[1], progress))
        )
        return
    start = last.end if last and last.end >= before - 1e-6 else time
    spans.append(Span(start, time, followed.holds, followed.state, (share, share), (progress, progress)))
