"""What a put would change: rows, and the open episodes. Made before the disk is asked, applied after it agreed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from smartbox import cloudevent
from smartbox.outbox.rows import Entry, Episodes, Row, event_row, opens, picture_row
from smartbox.types import Event

Opened = tuple[int, Event]  # row of the begin, last word


@dataclass(slots=True)
class Plan:
    """events: numbered, as they will be sent. open, ended: by episode."""

    events: list[Event] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    open: dict[str, Opened] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    _bodies: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def episodes(self) -> Episodes:
        return Episodes(self._bodies, tuple(self.ended))

    def add(self, event: Event, row: Row, begun: Mapping[str, Opened]) -> int:
        """Take in a numbered event; the row of its episode's begin. begun: what is open already."""
        known = self.open.get(event.episode) or begun.get(event.episode)
        begin = known[0] if known else row.n
        self.events.append(event)
        self.rows.append(row)
        if opens(event):
            self.open[event.episode] = (begin, event)
            self._bodies[event.episode] = (begin, row.body)
        elif known:
            self.ended.append(event.episode)
            self.open.pop(event.episode, None)
            self._bodies.pop(event.episode, None)
        return begin


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes plans for one box."""

    site: str
    box: str
    utc: Callable[[], float]

    def plan(
        self,
        entries: Sequence[Entry],
        begun: Mapping[str, Opened],
        last_n: int,
        number: Callable[[], int],
        session: int,
    ) -> Plan:
        """Nothing has changed yet, but numbers are used up."""
        plan, n, stamp = Plan(), last_n, self.utc()
        for entry in entries:
            event = replace(entry.event, seq=number(), session=session, evidence=tuple(entry.evidence))
            n += 1
            begin = plan.add(event, event_row(n, event, stamp, self.site, self.box), begun)
            if entry.thumbnail is not None:
                n += 1
                plan.rows.append(picture_row(n, event.episode, stamp, entry.thumbnail, begin))
        return plan

    def all_open(self, begun: Mapping[str, Opened]) -> Episodes:
        """Every open episode, to replace what the file says."""
        bodies = {key: (row, cloudevent.to_json(event, self.site, self.box)) for key, (row, event) in begun.items()}
        return Episodes(bodies, all=True)
