"""What the outbox keeps: its rows, their ranks and their bounds."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smartbox import cloudevent
from smartbox.types import Event, Evidence

# What is sent first.
SEND = {"alarm": 0, "system": 1, "notice": 2}
SEND_PICTURE = 3
EVENT_RANKS = range(3)
SEND_RANKS = range(4)

# What is dropped first (the highest): pictures, then updates, then begins and ends; notices before alarms.
KEEP = {"update": 60, "begin": 30, "end": 30}
KEEP_CLASS = {"alarm": 0, "system": 10, "notice": 20}
KEEP_PICTURE = 90
KEEP_LOSS = 0

OVERHEAD = 200  # bytes a row takes beside its body
PICTURE_TYPE = "image/jpeg"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what waits (events, bytes, age in s), of what stays as history, and of events kept in memory."""

    events: int = 100_000
    bytes: int = 512_000_000
    age: float = 30 * 86400.0
    history_rows: int = 50_000
    history_bytes: int = 128_000_000
    history_age: float = 30 * 86400.0
    memory: int = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """What `put_all` takes: an event, its files (already fsynced), and the JPEG (<= 48 KiB) to send with it."""

    event: Event
    evidence: tuple[Evidence, ...] = ()
    thumbnail: bytes | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One row to publish. n: its number in the outbox; topic: below the root."""

    n: int
    topic: str
    payload: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the file for people: state is waiting · sent · dead; stamp: epoch s of the put."""

    n: int
    state: str
    topic: str
    body: bytes
    stamp: float
    tries: int
    reason: str


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits: events, messages (events and pictures), bytes, age of the oldest event in s; dead letters.

    acked_through: every event up to this seq has reached the broker, or is accounted as lost or dead.
    """

    events: int
    messages: int
    bytes: int
    oldest_age: float
    acked_through: int
    dead: int
    last_n: int


@dataclass(frozen=True, slots=True)
class Row:
    """One message. n rises with every put; seq is None for a picture, which waits until row `after` is sent."""

    n: int
    seq: int | None
    topic: str
    send: int
    keep: int
    stamp: float
    body: bytes
    after: int | None = None

    @property
    def size(self) -> int:
        return len(self.body) + OVERHEAD

    @property
    def crc(self) -> int:
        """SQLite does not notice a flipped bit in a body; this does."""
        return zlib.crc32(self.body, zlib.crc32(f"{self.n} {self.seq} {self.topic}".encode()))

    def message(self, session: int, replayed: bool) -> Message:
        """As this connection sends it."""
        if self.seq is None:
            return Message(self.n, self.topic, self.body, PICTURE_TYPE)
        payload = cloudevent.deliver(self.body, session, replayed)
        return Message(self.n, self.topic, payload, cloudevent.CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class Loss:
    """What had to be dropped: events (or pictures, by row number) first..last, of which `count` are gone."""

    reason: str
    what: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Episodes:
    """Changes to the open episodes: opened or updated (begin row, document), and ended; or all there are."""

    open: dict[str, tuple[int, bytes]]
    ended: tuple[str, ...] = ()
    all: bool = False


def event_row(n: int, event: Event, stamp: float, site: str, box: str) -> Row:
    """The row of an event that has its seq."""
    keep = KEEP_LOSS if event.kind == "data_loss" else KEEP[event.phase] + KEEP_CLASS[event.cls]
    body = cloudevent.to_json(event, site, box)
    return Row(n, event.seq, cloudevent.suffix(event), SEND[event.cls], keep, stamp, body)


def picture_row(n: int, episode: str, stamp: float, jpeg: bytes, begin: int) -> Row:
    """The row of an episode's picture; `begin` is the row of its begin."""
    return Row(n, None, f"picture/{episode}", SEND_PICTURE, KEEP_PICTURE, stamp, jpeg, begin)


def opens(event: Event) -> bool:
    """Whether it keeps an episode open; what the box says of itself, and single occurrences, do not."""
    return bool(event.rule) and event.phase != "end" and event.ended_utc is None


def account(losses: list[Loss], reason: str, row: Row) -> list[Loss]:
    """`losses` with one more dropped row; neighbours join, and after 32 ranges the last one widens."""
    what, number = ("events", row.seq) if row.seq is not None else ("pictures", row.n)
    same = [i for i, loss in enumerate(losses) if (loss.reason, loss.what) == (reason, what)]
    if same:
        last = losses[same[-1]]
        if number == last.last + 1 or len(same) >= 32:
            wider = Loss(reason, what, min(last.first, number), max(last.last, number), last.count + 1)
            return [*losses[: same[-1]], wider, *losses[same[-1] + 1 :]]
    return [*losses, Loss(reason, what, number, number, 1)]


def report(losses: Sequence[Loss]) -> dict[str, Any]:
    """The detail of a `data_loss`: exact counts, and the ranges of event numbers."""
    groups: dict[tuple[str, str], list[Loss]] = {}
    for loss in losses:
        groups.setdefault((loss.reason, loss.what), []).append(loss)
    lost = []
    for (reason, what), group in groups.items():
        item: dict[str, Any] = {"reason": reason, "what": what, "count": sum(loss.count for loss in group)}
        if what == "events":
            item["ranges"] = [[loss.first, loss.last] for loss in group[-32:]]
        lost.append(item)
    totals = {what: sum(loss.count for loss in losses if loss.what == what) for what in ("events", "pictures")}
    return {**totals, "lost": lost}
