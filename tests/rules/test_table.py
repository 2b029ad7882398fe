"""Every rule x every behaviour of the contract: what table.txt expects is what is told."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smartbox import plugins
from smartbox.episodes import RuleRunner
from smartbox.geometry import Zone
from smartbox.types import Box, Event
from tests.rules.script import ELSEWHERE, LANE, LOT, OUTSIDE, SPOT, ZONES, Script, Thing, path, runner

TABLE = Path(__file__).with_name("table.txt").read_text().splitlines()
MOVES = 0.2
SLOTS: Sequence[Box] = tuple((x, 0.49, x + 0.09, 0.71) for x in (0.1, 0.3))
REASONS = {"cleared": "", "schedule": "s", "source_lost": "l", "restart": "r", "config": "c", "max_duration": "m"}
ALWAYS = 1e9


class Span(NamedTuple):
    """It is there in [start, end). who: its track; place: 0 the usual one, 1 another one in the zone."""

    start: float
    end: float
    who: int = 1
    place: int = 0


@dataclass(frozen=True)
class Row:
    """One behaviour. guards: persons at the post, where they are not simply there whenever the rest is not."""

    spans: Sequence[Span] = (Span(30, 100),)
    until: float = 130.0
    fps: float = 5.0
    guards: Sequence[Span] | None = None
    schedule: tuple[str, str] | None = None
    silent: Sequence[tuple[float, float]] = ()
    jumps: Mapping[float, float] | None = None
    restart: float | None = None
    zone_moved: float | None = None
    lorry: tuple[float, float] | None = None
    frozen: tuple[float, float] | None = None
    aside: tuple[float, float] | None = None
    glare: bool = False


ROWS: dict[str, Row] = {
    "it comes, stays 70 s and goes": Row(),
    "no detection at all": Row((), guards=()),
    "one missing frame, twice": Row((Span(30, 36), Span(36.2, 60), Span(60.2, 100))),
    "a false box every 10 s, always new": Row(tuple(Span(t, t + 0.2, t) for t in range(30, 120, 10))),
    "a false box every 10 s, of one track": Row(tuple(Span(t, t + 0.2) for t in range(30, 120, 10))),
    "one leaves at 42, another comes at 44": Row(
        (Span(30, 42), Span(44, 100, 2, 1)), guards=(Span(0, 42), Span(44, ALWAYS, 2, 1))
    ),
    "two are there, one leaves at 60": Row(
        (Span(30, 60), Span(30, 100, 2, 1)), guards=(Span(0, 60), Span(0, ALWAYS, 2, 1))
    ),
    "the schedule ends at 100": Row((Span(30, 160),), until=190, schedule=("14:00", "14:15")),
    "the schedule begins at 40": Row(schedule=("14:14", "15:00")),
    "no pictures from 40 to 60": Row(silent=((40, 60),)),
    "no pictures from 80 to 200, it stays": Row((Span(30, ALWAYS),), until=225, silent=((80, 200),)),
    "restart at 40, before it begins": Row(restart=40),
    "restart at 70, while it is open": Row(restart=70),
    "its track changes the id at 45": Row((Span(30, 45), Span(45, 100, 2))),
    "headlights sweep over it, nobody there": Row((), guards=(Span(0, ALWAYS),), glare=True),
    "a lorry stands in front from 42 to 57": Row(lorry=(42, 57), guards=(Span(0, 42), Span(57, ALWAYS))),
    "the picture is frozen meanwhile": Row(frozen=(30, 100)),
    "the clock jumps a day ahead at 40": Row(jumps={40: 86400.0}),
    "the clock jumps an hour back at 70": Row(jumps={70: -3600.0}),
    "the zone is moved away at 70": Row(zone_moved=70),
    "three visits of 12 s, 13 s apart": Row((Span(30, 42), Span(55, 67), Span(80, 92))),
    "it steps aside from 40 to 48, in sight": Row((Span(30, 40), Span(48, 100)), aside=(40, 48)),
}


# How the condition comes true, per rule ------------------------------------------------------------------------------

Places = Sequence[Box]
Build = Callable[[Row], Script]


def holds(spans: Sequence[Span], time: float) -> bool:
    return any(s.start - 1e-6 <= time < s.end - 1e-6 for s in spans)


def cut(span: Span, hole: tuple[float, float] | None) -> list[Span]:
    """A span without the time behind the lorry."""
    if hole is None or not span.start < hole[0] < span.end:
        return [span]
    return [span._replace(end=hole[0]), span._replace(start=hole[1])]


def things(spans: Sequence[Span], label: str, places: Places, row: Row) -> list[Thing]:
    found = [Thing(s.who, s.start, s.end, places[s.place], label) for span in spans for s in cut(span, row.lorry)]
    if row.aside and spans:
        found.append(Thing(spans[0].who, *row.aside, OUTSIDE, label))
    return found


def scenery(row: Row, place: Box) -> list[Thing]:
    """The lorry that hides `place`, the glare of passing cars."""
    extra = []
    if row.lorry:
        front = (place[0] - 0.05, place[1] - 0.08, place[2] + 0.05, place[3] + 0.1)
        comes, goes = row.lorry
        extra.append(Thing(90, comes - 3, goes, path(OUTSIDE, front, comes - 3, comes), "bus"))
    if row.glare:
        extra += [Thing(50 + i, t, t + 3, path(OUTSIDE, place, t, t + 3)) for i, t in enumerate(range(12, 130, 9))]
    return extra


def script(row: Row, **parts: Any) -> Script:
    faults = {row.frozen: "frozen"} if row.frozen else {}
    return Script(
        until=row.until,
        fps=row.fps,
        silent=row.silent,
        jumps=row.jumps or {},
        **{"motion": 0.0, **parts, "faults": {**faults, **parts.get("faults", {})}},
    )


def tracks(label: str, places: Places = (SPOT, ELSEWHERE)) -> Build:
    return lambda row: script(row, things=[*things(row.spans, label, places, row), *scenery(row, places[0])])


def people(count: int) -> Build:
    """So many persons for one, side by side; of two who come together the one who leaves first is only one."""

    def build(row: Row) -> Script:
        found: list[Thing] = []
        together = len({s.start for s in row.spans}) < len(row.spans)
        for span in row.spans:
            for i in range(1 if together and span.who == 1 else count):
                x = 0.22 + 0.13 * i
                places = ((x, 0.5, x + 0.08, 0.8), (x, 0.45, x + 0.08, 0.75))
                found += things([span._replace(who=10 * span.who + i)], "person", places, row)
        return script(row, things=[*found, *scenery(row, (0.22, 0.5, 0.7, 0.8))])

    return build


def guarded(row: Row) -> Script:
    """Somebody is at the post whenever the condition does not hold."""
    if row.guards is not None:
        return script(row, things=[*things(row.guards, "person", (SPOT, ELSEWHERE), Row()), *scenery(row, SPOT)])
    edges = [0.0, *(t for s in row.spans for t in (s.start, s.end)), row.until + 1]
    guards = [Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return script(row, things=things(guards, "person", (SPOT, ELSEWHERE), Row()))


def sleeper(row: Row) -> Script:
    """One who is there all the time and keeps still in the spans; of several each comes to sleep and leaves."""
    single = len({s.who for s in row.spans}) == 1
    there = [Span(0, ALWAYS)] if single else row.spans
    still = row.spans
    moves = (lambda t: MOVES if int(t) % 9 < 3 else 0.0) if row.glare else (lambda t: 0.0 if holds(still, t) else MOVES)
    found = things(there, "person", (SPOT, ELSEWHERE), replace(row, aside=None))
    return script(row, things=[*found, *scenery(row, SPOT)], motion=moves)


def put_down(row: Row) -> Script:
    """Objects; a box that is started anew takes what lies there for the place. They have no tracks to change."""
    known = row.restart or ALWAYS
    spans = [s._replace(end=min(s.end, known), who=s.place + 1) for s in row.spans if s.start < known]
    objects = [replace(o, label="object") for o in things(spans, "", (SPOT, ELSEWHERE), replace(row, aside=None))]
    if row.glare:
        objects += [Thing(t, t, t + 3, SPOT) for t in range(12, 130, 9)]
    return script(row, objects=objects, things=scenery(replace(row, glare=False), SPOT))


def walkers(row: Row) -> Script:
    """Each crosses the line at the start of his span."""
    goes_on = [s for s in row.spans for o in row.spans if 0 <= s.start - o.end <= (10 if row.aside else 0.5)]
    starts = [s for s in row.spans if s not in goes_on and s.end - s.start > 1]
    walks = [
        Thing(s.who + 7 * i, s.start - 2, s.start + 2, path(a, b, s.start - 2, s.start + 2), "person")
        for i, s in enumerate(starts)
        for y in [0.2 * s.place]
        for a, b in [((0.25, y, 0.35, y + 0.3), (0.65, y, 0.75, y + 0.3))]
    ]
    stray = [Thing(s.who, s.start, s.end, (0.2, 0.2, 0.3, 0.5), "person") for s in row.spans if s.end - s.start < 1]
    return script(row, things=[*walks, *stray, *scenery(replace(row, lorry=None), SPOT)])


def faulty(row: Row) -> Script:
    faults = {(s.start, s.end): ("dark", "blurred")[s.place] for s in row.spans if not row.frozen}
    if row.glare:
        faults = {(float(t), t + 3.0): "bright" for t in range(12, 130, 9)}
    return script(row, faults=faults)


def noisy(row: Row) -> Script:
    def heard(time: float) -> dict[str, float]:
        bang = row.glare and int(time) % 9 < 1
        return {
            name: 0.95 if bang or holds([s for s in row.spans if s.place == place], time) else 0.05
            for place, name in enumerate(("siren", "explosion"))
        }

    return script(row, sounds=heard)


COLUMNS: dict[str, tuple[str, dict[str, Any], Build]] = {
    "absence": ("absence", {"leave": 20, "return": 10, "arm_unmanned": 120}, guarded),
    "sleep": ("sleep", {"sleep": 20, "wake": 10}, sleeper),
    "lane": ("fire_lane", {"vehicle": 20, "clear": 10}, tracks("car")),
    "lane obj": ("fire_lane", {"object": 20, "clear": 10}, put_down),
    "illegal": ("illegal_parking", {"confirm": 5, "grace": 15, "clear": 10}, tracks("car")),
    "overstay": ("parking", {"overstay": 20, "hold": 10}, tracks("car", SLOTS)),
    "intrus.": ("intrusion", {"dwell": 20, "clear": 10}, tracks("person")),
    "loiter": ("loitering", {"loiter": 20, "clear": 10}, tracks("person")),
    "line": ("line_crossing", {"labels": ["person"]}, walkers),
    "crowd": ("crowd", {"n": 3, "dwell": 20, "clear": 10}, people(3)),
    "left obj": ("left_object", {"left": 20, "clear": 10}, put_down),
    "tamper": ("tamper", {"dwell": 20, "clear": 10}, faulty),
    "sound": ("sound", {"labels": ["siren", "explosion"], "dwell": 20, "silence": 10}, noisy),
}


# Playing and reading -------------------------------------------------------------------------------------------------


def events_of(column: str, row: Row) -> list[Event]:
    kind, settings, build = COLUMNS[column]
    if row.schedule:
        window = dict(zip(("from", "to"), row.schedule, strict=True))
        settings = settings | {"schedule": {"timezone": "UTC", "windows": [window]}}
    again, reason = (row.restart, "restart") if row.restart else (row.zone_moved, "config")
    events: list[Event] = []

    def make(zones: Mapping[str, Zone]) -> RuleRunner:
        seldom = {} if kind == "line_crossing" else {"update": 86400}
        return runner(kind, row.fps, zones=zones, cooldown=0, **seldom, **settings)

    play, run, last = build(row), make(ZONES), None
    for scene in play.scenes():
        if again and scene.time >= again:
            after = make(MOVED if row.zone_moved else ZONES)
            after.restore(run.open, scene.time - 0.2, scene.utc - 0.2, reason)  # type: ignore[arg-type]
            run, again = after, None
        if last is not None:
            for second in range(1, int(scene.time - last - 0.2) + 1):
                events += run.idle(last + second + 0.1, play.utc(last + second + 0.1))
        events += run.step(scene)
        last = scene.time
    return events


CORNER = ((0.9, 0.0), (1.0, 0.0), (1.0, 0.1))
MOVED = ZONES | {
    "lane": replace(LANE, polygon=CORNER),
    "lot": replace(LOT, slots=dict.fromkeys(LOT.slots, CORNER)),
}


def as_cell(events: Sequence[Event]) -> str:
    """As table.txt writes it. An instant is a begin with its end at the same moment."""
    out, instants = [], {e.episode for e in events if e.phase == "end" and e.monotonic == begins(events)[e.episode]}
    for event in sorted(events, key=lambda e: (round(e.monotonic, 1), e.phase)):
        at = f"{event.monotonic:.1f}".removesuffix(".0")
        if event.phase == "begin":
            out.append(f"x{at}" if event.episode in instants else f"+{at}")
        elif event.phase == "end" and event.episode not in instants:
            out.append(f"-{at}{REASONS[event.end_reason or '']}")
    return "".join(out) or "."


def begins(events: Sequence[Event]) -> dict[str, float]:
    return {e.episode: e.monotonic for e in events if e.phase == "begin"}


def cells(line: str) -> list[str]:
    return [re.sub(r"\s", "", cell) if i else cell.strip() for i, cell in enumerate(line.split("|"))]


HEAD, *LINES = [line for line in TABLE if "|" in line]
NAMES = [name.strip() for name in HEAD.split("|")][1:]
EXPECTED = {row: dict(zip(NAMES, told, strict=True)) for row, *told in map(cells, LINES)}
PLAIN = next(iter(EXPECTED.values()))


def test_the_table_has_every_rule_and_every_behaviour() -> None:
    assert {kind for kind, *_ in COLUMNS.values()} == set(plugins.names("rules"))
    assert list(COLUMNS) == NAMES
    assert list(EXPECTED) == list(ROWS)


@pytest.mark.parametrize("behaviour", ROWS)
def test_behaviour(behaviour: str) -> None:
    expected = {name: PLAIN[name] if cell == "=" else cell for name, cell in EXPECTED[behaviour].items()}
    assert {name: as_cell(events_of(name, ROWS[behaviour])) for name in NAMES} == expected
