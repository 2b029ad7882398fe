"""Scripted scenes: things that stand or move at plain times, and a rule that watches them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from smartbox import plugins
from smartbox.episodes import RuleRunner
from smartbox.geometry import Zone
from smartbox.types import Box, Event, Fault, Motion, Point, Scene, Sounds, Static, Track

UTC = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC, a Monday
LANE = Zone("lane", "east", ((0.2, 0.4), (0.8, 0.4), (0.8, 0.9), (0.2, 0.9)))
LINE = Zone("line", "east", line=((0.5, 0.0), (0.5, 1.0)))  # walked downwards: left is x > 0.5
LOT = Zone(
    "lot",
    "east",
    slots={f"P{i}": ((x, 0.5), (x + 0.09, 0.5), (x + 0.09, 0.7), (x, 0.7)) for i in range(4) for x in [0.1 + 0.1 * i]},
)
ZONES = {zone.id: zone for zone in (LANE, LINE, LOT)}

STOOD = 2.0  # things are found standing, so that the times of vehicles are plain
SPOT: Box = (0.40, 0.50, 0.60, 0.70)
ELSEWHERE: Box = (0.62, 0.60, 0.76, 0.80)
OUTSIDE: Box = (0.02, 0.02, 0.12, 0.12)


@dataclass(frozen=True)
class Thing:
    """A track that is seen in [start, end) at `box`, a place or a path of time."""

    id: int
    start: float
    end: float
    box: Box | Callable[[float], Box] = SPOT
    label: str = "car"
    score: float = 0.9
    first: float | None = None

    def at(self, time: float) -> Box:
        return self.box(time) if callable(self.box) else self.box

    def there(self, time: float) -> bool:
        return self.start - 1e-6 <= time < self.end - 1e-6

    def told(self, time: float) -> bool:
        return self.there(time) and (self.first is None or time >= self.first)


def person(id: int, start: float, end: float, box: Box | Callable[[float], Box] = SPOT) -> Thing:
    return Thing(id, start, end, box, "person")


def path(a: Box, b: Box, start: float, end: float) -> Callable[[float], Box]:
    """From a to b in a straight line."""

    def at(time: float) -> Box:
        share = min(1.0, max(0.0, (time - start) / (end - start)))
        return tuple(p + (q - p) * share for p, q in zip(a, b, strict=True))  # type: ignore[return-value]

    return at


@dataclass
class Script:
    """What happens on the source `east` up to `until` s."""

    things: Sequence[Thing] = ()
    until: float = 100.0
    fps: float = 5.0
    silent: Sequence[tuple[float, float]] = ()  # no frame arrives
    motion: float | Callable[[float], float] | None = None  # the same rate everywhere
    faults: Mapping[tuple[float, float], Fault] = field(default_factory=dict)
    objects: Sequence[Thing] = ()  # stationary foreground, told as late as its `first` says; a label: mistaken for it
    sounds: Callable[[float], Mapping[str, float]] | None = None
    postures: Callable[[float], Mapping[int, Mapping[str, float]]] | None = None
    slots: Callable[[float], Mapping[str, Mapping[str, float]]] | None = None
    infer_every: int = 1
    offset: float = 0.0
    jumps: Mapping[float, float] = field(default_factory=dict)  # time -> s by which the wall clock is set

    def times(self) -> list[float]:
        steps = [self.offset + i / self.fps for i in range(int((self.until - self.offset) * self.fps) + 1)]
        return [t for t in steps if not any(a <= t < b for a, b in self.silent)]

    def utc(self, time: float) -> float:
        return UTC + time + sum(by for at, by in self.jumps.items() if time >= at)

    def scenes(self) -> Iterable[Scene]:
        trails: dict[int, Point] = {}
        memory: dict[int, tuple[Box, float, float]] = {}  # box, first seen, moved at
        tracks: tuple[Track, ...] = ()
        for n, time in enumerate(self.times()):
            inferred = n % self.infer_every == 0
            if inferred:
                tracks = tuple(self._track(thing, time, memory, trails) for thing in self.things if thing.there(time))
            yield Scene(
                "east",
                time,
                self.utc(time),
                tracks=tracks if self.sounds is None else (),
                sounds=self._sounds(time),
                inferred=inferred,
                motion=self._motion(time),
                picture=frozenset(fault for (a, b), fault in self.faults.items() if a <= time < b),
                postures=self.postures(time) if self.postures else {},
                slots=self.slots(time) if self.slots else {},
                static=tuple(
                    Static(o.id, o.at(time), o.score, o.start, mistaken=o.label != "object")
                    for o in self.objects
                    if o.told(time)
                ),
                faulty_since={fault: a for (a, b), fault in self.faults.items() if a <= time < b},
            )

    def _track(
        self, thing: Thing, time: float, memory: dict[int, tuple[Box, float, float]], trails: dict[int, Point]
    ) -> Track:
        box = thing.at(time)
        old, first, moved = memory.get(thing.id, (box, time, time - STOOD))
        moved = time if box != old else moved
        memory[thing.id] = (box, first, moved)
        anchor = ((box[0] + box[2]) / 2, box[3])
        before, trails[thing.id] = trails.get(thing.id, anchor), anchor
        return Track(thing.id, thing.label, box, thing.score, first, time, moved, (before, anchor))

    def _motion(self, time: float) -> Motion | None:
        if self.motion is None:
            return None
        rate = self.motion(time) if callable(self.motion) else self.motion
        return Motion(np.full((9, 16), rate, np.float32))

    def _sounds(self, time: float) -> Sounds | None:
        if self.sounds is None:
            return None
        scores = self.sounds(time)
        return Sounds(np.array(list(scores.values()), np.float32), tuple(scores))


def runner(
    kind: str, /, fps: float = 5.0, zones: Mapping[str, Zone] = ZONES, ids: Iterator[int] | None = None, **settings: Any
) -> RuleRunner:
    """The rule on its usual zone."""
    cls = plugins.load("rules", kind)
    if cls.zone_kind is not None:
        settings.setdefault("zones", [{"polygon": "lane", "line": "line", "slots": "lot"}[cls.zone_kind]])
    rule = cls.model_validate(settings)
    numbers = count(1) if ids is None else ids
    places = [zones[zone] for zone in rule.zones]
    return RuleRunner("rule", kind, rule, "east", places, lambda: f"id-{next(numbers)}", fps)


def play(run: RuleRunner, script: Script) -> list[Event]:
    """All events; `idle` is called once a second while no frame arrives."""
    events: list[Event] = []
    last: float | None = None
    for scene in script.scenes():
        if last is not None:
            for second in range(1, int(scene.time - last) + 1):
                if last + second < scene.time - 1e-6:
                    events += run.idle(last + second, script.utc(last + second))
        events += run.step(scene)
        last = scene.time
    return events


def told(events: Sequence[Event], *phases: str) -> list[tuple[str, float]]:
    """(what, when) with the reason of an end, times to 0.1 s; begins and ends unless told otherwise."""
    wanted = phases or ("begin", "end")
    return [(e.end_reason or e.phase, round(e.monotonic, 1)) for e in events if e.phase in wanted]
