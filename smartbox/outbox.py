"""The outbox: events that are committed to disk before anyone is told, until the broker has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smartbox.clock import Clock
from smartbox.types import Event, Evidence


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what waits (events, bytes, age) and of what stays as history."""

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


class Outbox:
    """put -> pending -> ack. One thread puts (inference), one sends (publisher); both may call at any time.

    `Outbox(state_dir, clock, new_id, site, box)` only stores; `open()` reads or makes `state_dir/outbox.db`.
    """

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        new_id: Callable[[], str],
        site: str,
        box: str,
        limits: Limits | None = None,
        make_room: Callable[[], None] | None = None,
    ) -> None:
        """make_room: called when the disk is full, to free some (EvidenceStore.make_room)."""
        raise NotImplementedError

    def open(self) -> None:
        """Open or create the file; a corrupt one is moved aside and `data_loss` put. StorageError when impossible."""
        raise NotImplementedError

    def close(self) -> None:
        """Flush what memory holds, if it can be, and close."""
        raise NotImplementedError

    def put(self, event: Event, evidence: Sequence[Evidence] = (), thumbnail: bytes | None = None) -> Event:
        """Commit one event (with seq and evidence) to the disk; returns it as it will be sent.

        Never raises for a full or read-only disk: the event is then kept in memory and `degraded` says why.
        A `begin` of a rule opens an episode, unless its ended_utc is set already (a one-shot event).
        """
        raise NotImplementedError

    def put_all(self, entries: Sequence[Entry]) -> list[Event]:
        """`put` for several in one transaction: all of them or none."""
        raise NotImplementedError

    def open_episodes(self) -> list[Event]:
        """The last begin or update of every episode without an end, oldest first."""
        raise NotImplementedError

    @property
    def degraded(self) -> str | None:
        """Why durability is gone now, or None."""
        raise NotImplementedError

    def listen(self, wake: Callable[[], None]) -> None:
        """`wake()` is called, by the putting thread, after every put."""
        raise NotImplementedError

    def next_session(self) -> int:
        """Raise the session counter on disk; called at every CONNECT."""
        raise NotImplementedError
