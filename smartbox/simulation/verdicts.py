"""What must be reported of a staged recording, for every kind of rule. From the plans and never from pixels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from smartbox import geometry
from smartbox.simulation.actors import Actor, Stay
from smartbox.simulation.film import outline
from smartbox.simulation.staged import Staged
from smartbox.simulation.stages import camera
from smartbox.simulation.tricks import FAULTS
from smartbox.simulation.truth import OVERLAP, Alarm, Span, Watch, alarms, at_least, blocked, episodes, presence
from smartbox.types import Box, Point

EARLY = 0.5  # s; a foot is that much before the body
ROLLING = 2.5  # s; a car that rolls into its slot covers it that long before it stands
LAYING = 1.5  # s; who brings a thing stands there that long before it lies by itself
LOITER_GAP = 10.0  # s outside that do not interrupt a stay
CROWD_GAP = 2.0


def due(shot: Staged, watches: Iterable[Watch], duration: float) -> list[Alarm]:
    """Every episode that the rules must report, by the time of its alarm."""
    found: list[Alarm] = []
    for watch in watches:
        judge = JUDGES.get(watch.kind)
        found += judge(shot, watch, duration) if judge else alarms(shot, [watch], duration)
    return sorted(found, key=lambda a: (a.alarm_s, a.rule, a.subject))


def _lane(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    """Vehicles that stand, and things put down."""
    found = blocked(shot, watch, [shot.cast], duration)
    if watch.object is None:
        return found
    there = _things(shot, lambda box: geometry.overlap(watch.polygon, box) >= OVERLAP, duration)
    lying = [a for key, span in there for a in episodes(watch, key, [span], watch.object or 0.0)]
    return found + [replace(a, alarm_s=a.alarm_s - LAYING) for a in lying]


def _left(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    there = _things(shot, lambda box: geometry.contains(watch.polygon, geometry.bottom_center(box)), duration)
    lying = [a for key, span in there for a in episodes(watch, key, [span], watch.dwell)]
    return [replace(a, alarm_s=a.alarm_s - LAYING) for a in lying]


def _things(shot: Staged, there: Callable[[Box], bool], duration: float) -> list[tuple[str, Span]]:
    """What lies in the zone, and when."""
    out = []
    for actor in (a for a in shot.cast if a.label == "object"):
        for stay in (p for p in actor.plan if isinstance(p, Stay)):
            box = outline(shot.scene, actor, stay.start)
            if box is not None and there(box):
                out.append((actor.key, (stay.start, min(stay.end, duration))))
    return out


def _illegal(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    return blocked(shot, watch, [shot.cast], duration)


def _loitering(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    found = []
    for actor in shot.cast:
        if actor.label == "person":
            spans = _joined(presence(shot, watch, actor, 0, duration), LOITER_GAP)
            found += episodes(watch, actor.key, spans, watch.dwell)
    return found


def _crowd(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    people = [s for a in shot.cast if a.label == "person" for s in presence(shot, watch, a, 0, duration)]
    return episodes(watch, "crowd", _joined(at_least(people, watch.n), CROWD_GAP), watch.dwell)


def _joined(spans: Sequence[Span], gap: float) -> list[Span]:
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] <= gap:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def _crossings(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    """Each time that somebody's place on the ground comes to the other side."""
    line = watch.polygon[0], watch.polygon[1]
    found = []
    for actor in (a for a in shot.cast if a.label == "person"):
        times = np.arange(actor.plan[0].start, min(actor.plan[-1].end, duration), 0.1).tolist()
        places = [(time, _foot(shot, actor, time)) for time in times]
        for (_, before), (time, now) in pairwise(places):
            if before and now and geometry.crosses(line, before, now):
                found.append(Alarm(watch.rule, watch.kind, actor.key, time, time, max(0.0, time - EARLY)))
    return found


def _foot(shot: Staged, actor: Actor, time: float) -> Point | None:
    state = actor.state(time)
    if state is None:
        return None
    cam = camera(shot.scene)
    pixels, _ = cam.project(np.array([[state.x, state.y, 0.0]]))
    return float(pixels[0, 0]) / cam.width, float(pixels[0, 1]) / cam.height


def _tampered(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    found = []
    for played in shot.tricks:
        if fault := FAULTS.get(played.trick):
            found += episodes(watch, f"picture:{fault}", [(played.start, min(played.end, duration))], watch.dwell)
    return found


def _intrusion(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    """Persons only."""
    people = replace(shot, cast=tuple(a for a in shot.cast if a.label == "person"))
    return alarms(people, [watch], duration)


def _absence(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    """The last foot leaves a moment after the body: who counts bodies may be that much earlier."""
    return [replace(a, alarm_s=a.alarm_s - EARLY) for a in alarms(shot, [watch], duration)]


def _parking(shot: Staged, watch: Watch, duration: float) -> list[Alarm]:
    """Who looks at the slot sees it taken while the car still rolls."""
    return [replace(a, alarm_s=max(a.start_s, a.alarm_s - ROLLING)) for a in alarms(shot, [watch], duration)]


JUDGES: Mapping[str, Callable[[Staged, Watch, float], list[Alarm]]] = {
    "fire_lane": _lane,
    "illegal_parking": _illegal,
    "left_object": _left,
    "loitering": _loitering,
    "crowd": _crowd,
    "line_crossing": _crossings,
    "tamper": _tampered,
    "intrusion": _intrusion,
    "absence": _absence,
    "parking": _parking,
}
"""Those that `truth.alarms` does not know, or of which it knows a part."""
