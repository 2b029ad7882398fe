"""What should be reported about a recording, from the actors' plans and never from pixels. Seconds from its start."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smartbox import geometry
from smartbox.geometry import Polygon
from smartbox.simulation.actors import Actor, Manner, Stay
from smartbox.simulation.camera import NEAR
from smartbox.simulation.film import Shot, outline
from smartbox.simulation.scripts import ROUND
from smartbox.simulation.stages import SLOT_X, SLOT_Y, camera, slots
from smartbox.types import Box, SlotState

STEP = 0.2  # s between two looks at the plans
STEP_WIDTH = 0.35  # m; a walking person's feet are that far from the body
CRAWL = 0.8  # m/s; slower is as good as standing
OVERLAP = 0.3  # of a vehicle's box: it is in the lane
COVER = 0.4  # of a slot: the vehicle stands in it
JOIN = 1.0  # s; a shorter gap is none
VEHICLES = frozenset({"car", "bus", "truck"})

Span = tuple[float, float]


@dataclass(frozen=True)
class Watch:
    """What a rule looks for: its kind, its polygon (0–1) or its slots' names, and its times in s.

    dwell: before the alarm (parking: the slots' hold). overstay: parking only; None where nobody overstays.
    n: crowd only. object: fire_lane only, s for what is put down. A line's polygon is its two points.
    """

    rule: str
    kind: str
    dwell: float
    polygon: Polygon = ()
    slots: tuple[str, ...] = ()
    overstay: float | None = None
    full_ratio: float = 0.95
    free_ratio: float = 0.90
    min_people: int = 1
    n: int = 10
    object: float | None = None
    asleep: frozenset[Manner] = frozenset({"sit", "asleep", "lie"})
    """How a sleeper sits or lies; a rule without a posture model takes whoever keeps still for one."""


@dataclass(frozen=True)
class Alarm:
    """One episode that a rule must report: it holds from start_s to end_s and is due at alarm_s."""

    rule: str
    kind: str
    subject: str
    start_s: float
    end_s: float
    alarm_s: float

    def line(self, source: str) -> dict[str, Any]:
        """As a line of a truth file."""
        times = {name: round(getattr(self, name), 2) for name in ("start_s", "end_s", "alarm_s")}
        return {"rule": self.rule, "source": source, "subject": self.subject, **times}


def alarms(shot: Shot, watches: Iterable[Watch], duration: float = ROUND) -> list[Alarm]:
    """Every episode of a recording of `duration` s, by the time of its alarm."""
    turns = [shot.actors(i) for i in range(int((duration - 1e-6) // ROUND) + 1)]
    found: list[Alarm] = []
    for watch in watches:
        judge = {
            "intrusion": inside,
            "fire_lane": blocked,
            "sleep": asleep,
            "parking": parking,
            "absence": absence,
        }
        if watch.kind not in judge:
            raise ValueError(f"rule {watch.rule!r}: the simulator knows no truth of kind {watch.kind!r}")
        found += judge[watch.kind](shot, watch, turns, duration)
    return sorted(found, key=lambda a: (a.alarm_s, a.rule, a.subject))


def slot_states(actors: Sequence[Actor], time: float) -> dict[str, SlotState]:
    """Which slots of the car park are taken at `time` of a round."""
    taken = {name for actor in actors for name, (start, end) in _stands(actor) if start <= time < end}
    return {name: "occupied" if name in taken else "free" for name in slot_names()}


def slot_names() -> tuple[str, ...]:
    return tuple(f"P{i + 1}" for i in range(len(SLOT_X)))


def episodes(watch: Watch, subject: str, spans: Iterable[Span], dwell: float) -> list[Alarm]:
    return [
        Alarm(watch.rule, watch.kind, subject, start, end, start + dwell)
        for start, end in spans
        if end - start >= dwell
    ]


def inside(shot: Shot, watch: Watch, turns: Sequence[Sequence[Actor]], duration: float) -> list[Alarm]:
    """A person's foot, or the bottom centre of a vehicle's box, is in the zone."""
    found = []
    for turn, actors in enumerate(turns):
        for actor in actors:
            spans = presence(shot, watch, actor, turn, duration)
            found += episodes(watch, f"{actor.key}@{turn}" if turn else actor.key, spans, watch.dwell)
    return found


def blocked(shot: Shot, watch: Watch, turns: Sequence[Sequence[Actor]], duration: float) -> list[Alarm]:
    """A vehicle stands in the zone with OVERLAP of its box, and is there until it has left."""
    found = []
    for turn, actors in enumerate(turns):
        for actor in (a for a in actors if a.label in VEHICLES):
            for stay in (p for p in actor.plan if isinstance(p, Stay)):
                span = _standing(shot, actor, stay, lambda box: geometry.overlap(watch.polygon, box) >= OVERLAP)
                if span:
                    whole = span[0] + turn * ROUND, min(span[1] + turn * ROUND, duration)
                    found += episodes(watch, f"{actor.key}@{turn}" if turn else actor.key, [whole], watch.dwell)
    return found


def _standing(shot: Shot, actor: Actor, stay: Stay, there: Callable[[Box], bool]) -> Span | None:
    """From when a vehicle has all but stopped in a place until it has left it; None: it stands elsewhere."""

    def holds(time: float) -> bool:
        box = outline(shot.scene, actor, time)
        return box is not None and there(box)

    if not holds(stay.start):
        return None
    start, end = stay.start, stay.end
    while _speed(actor, start - STEP) < CRAWL and holds(start - STEP):
        start -= STEP
    while end < actor.plan[-1].end and holds(end):
        end += STEP
    return start, end


def _speed(actor: Actor, time: float) -> float:
    """m/s; inf where it is not there."""
    now, after = actor.state(time), actor.state(time + STEP / 2)
    if now is None or after is None:
        return math.inf
    return math.dist((now.x, now.y), (after.x, after.y)) / (STEP / 2)


def presence(shot: Shot, watch: Watch, actor: Actor, turn: int, duration: float) -> list[Span]:
    """When the actor is in the zone."""
    out: list[Span] = []
    resting: dict[int, bool] = {}
    first, last = actor.plan[0].start, min(actor.plan[-1].end, ROUND, duration - turn * ROUND)
    for i in range(int(first / STEP), int(last / STEP) + 1):
        part = actor.part(i * STEP)
        if isinstance(part, Stay) and id(part) in resting:
            there = resting[id(part)]
        else:
            there = _there(shot, watch, actor, i * STEP)
            resting[id(part)] = there
        if there:
            at = i * STEP + turn * ROUND
            out = _join([*out, (at, at)])
    return out


def _there(shot: Shot, watch: Watch, actor: Actor, time: float) -> bool:
    state = actor.state(time)
    if state is None:
        return False
    if actor.label == "person":
        turn = np.arange(8) * np.pi / 4
        round_feet = [state.x + STEP_WIDTH * np.cos(turn), state.y + STEP_WIDTH * np.sin(turn), np.zeros(8)]
        cam = camera(shot.scene)
        pixels, depth = cam.project(np.stack(round_feet, axis=1))
        if depth.min() < NEAR:
            return False
        return any(geometry.contains(watch.polygon, (u / cam.width, v / cam.height)) for u, v in pixels)
    box = outline(shot.scene, actor, time)
    if box is None:
        return False
    return geometry.contains(watch.polygon, geometry.bottom_center(box))


def _join(spans: Sequence[Span]) -> list[Span]:
    """Spans in order, those with a short gap between them made one."""
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] <= JOIN:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def asleep(shot: Shot, watch: Watch, turns: Sequence[Sequence[Actor]], duration: float) -> list[Alarm]:
    """A person in the zone is without any motion, in one of the manners that the watch takes for sleep."""
    found = []
    for turn, actors in enumerate(turns):
        for actor in actors:
            for part in actor.plan:
                if not isinstance(part, Stay) or part.manner not in watch.asleep:
                    continue
                box = outline(shot.scene, actor, part.start)
                if box and geometry.contains(watch.polygon, geometry.bottom_center(box)):
                    span = part.start + turn * ROUND, min(part.end + turn * ROUND, duration)
                    found += episodes(watch, actor.key, [span], watch.dwell)
    return found


def absence(shot: Shot, watch: Watch, turns: Sequence[Sequence[Actor]], duration: float) -> list[Alarm]:
    """Fewer than min_people in the zone, once it was manned."""
    there = Watch(watch.rule, "intrusion", 0.0, watch.polygon)
    people = [
        s
        for i, actors in enumerate(turns)
        for a in actors
        if a.label == "person"
        for s in presence(shot, there, a, i, duration)
    ]
    manned = at_least(people, watch.min_people)
    if not manned:
        return []
    ends = [*(start for start, _ in manned[1:]), duration]
    gaps = [(end, after) for (_, end), after in zip(manned, ends, strict=True) if after > end]
    return episodes(watch, "post", gaps, watch.dwell)


def at_least(spans: Iterable[Span], count: int) -> list[Span]:
    """When at least `count` of the spans hold at once."""
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans], key=lambda e: (e[0], -e[1]))
    out: list[Span] = []
    holding, since = 0, 0.0
    for time, change in edges:
        before, holding = holding, holding + change
        if before < count <= holding:
            since = time
        elif before >= count > holding:
            out.append((since, time))
    return _join(out)


def _stands(actor: Actor) -> list[tuple[str, Span]]:
    """In which slot the actor stands when; its box covers COVER of it."""
    out = []
    polygons = slots("lot")
    for part in actor.plan:
        if isinstance(part, Stay) and part.manner == "park" and SLOT_Y[0] <= part.place[1] <= SLOT_Y[1]:
            names = [n for n, x in zip(slot_names(), SLOT_X, strict=True) if x <= part.place[0] < x + 2.6]
            for name in names:
                slot = polygons[name]
                span = _standing(Shot("lot"), actor, part, lambda box, slot=slot: geometry.covered(slot, box) >= COVER)  # type: ignore[misc]
                out += [(name, span)] if span else []
    return out


def parking(_shot: Shot, watch: Watch, turns: Sequence[Sequence[Actor]], duration: float) -> list[Alarm]:
    """The lot is full from the time when the last slot's state has settled; each slot may be overstayed."""
    taken: dict[str, list[Span]] = {name: [] for name in watch.slots}
    for turn, actors in enumerate(turns):
        for actor in actors:
            for name, (start, end) in _stands(actor):
                if name in taken:
                    taken[name].append((start + turn * ROUND, min(end + turn * ROUND, duration)))
    spans = {name: _join(s) for name, s in taken.items()}
    found = episodes(watch, "lot", _full(watch, spans), watch.dwell)
    if watch.overstay is not None:
        for name, stretches in spans.items():
            found += episodes(watch, f"slot:{name}", stretches, watch.overstay)
    return found


def _full(watch: Watch, spans: Mapping[str, list[Span]]) -> list[Span]:
    """From the share reaching full_ratio until it falls below free_ratio."""
    edges = sorted([(s, 1) for v in spans.values() for s, _ in v] + [(e, -1) for v in spans.values() for _, e in v])
    out: list[Span] = []
    count, since = 0, None
    for time, change in edges:
        count += change
        if since is None and count / len(spans) >= watch.full_ratio - 1e-9:
            since = time
        elif since is not None and count / len(spans) < watch.free_ratio - 1e-9:
            out.append((since, time))
            since = None
    return out
