"""The outbox as others see it: numbers, open episodes, what is in flight, and memory when the disk refuses."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from smartbox import cloudevent
from smartbox.clock import Clock
from smartbox.counter import Counter
from smartbox.errors import StorageError
from smartbox.notices import Notices
from smartbox.outbox.file import FILE_NAME, CorruptError, FullError, OutboxFile
from smartbox.outbox.memory import Memory
from smartbox.outbox.plan import Opened, Plan, Planner
from smartbox.outbox.rows import SEND_RANKS, Depth, Entry, Limits, Loss, Message, Row, report
from smartbox.types import Event, Evidence

log = logging.getLogger(__name__)

_TRIES = 5
_RETRY_DISK = 1.0  # s between attempts while the disk refuses
_ALL = (1 << 63) - 1


class Outbox:
    """put -> take -> ack. One thread puts (inference), one sends (publisher); any may call at any time.

    The constructor only stores; `open()` reads or makes `state_dir/outbox.db`.
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
        retry_after: float = 5.0,
    ) -> None:
        """make_room: called when the disk is full, to free some (EvidenceStore.make_room); StorageError.
        retry_after: seconds until a refused message is tried again, doubling.
        """
        self._limits = limits or Limits()
        self._file = OutboxFile(state_dir / FILE_NAME, self._limits)
        self._memory = Memory(self._limits.memory)
        self._clock = clock
        self._planner = Planner(site, box, clock.utc)
        self._notices = Notices(new_id, clock)
        self._make_room = make_room
        self._retry_after = retry_after
        self._seq = Counter(state_dir / "outbox-seq", 10_000, clock.utc)
        self._sessions = Counter(state_dir / "outbox-session", 1, clock.utc)
        self._lock = threading.RLock()
        self._wakes: list[Callable[[], None]] = []
        self._open: dict[str, Opened] = {}  # by episode
        self._loaded = False
        self._pairs: set[tuple[str, str]] = set()
        self._held: set[int] = set()  # handed to the client
        self._due: dict[int, float] = {}  # refused: not before this monotonic second
        self._acked: set[int] = set()  # the broker has them, the file does not know it yet
        self._last_n = 0
        self._used = 0  # the event number given last
        self._version = 0
        self._degraded: str | None = None
        self._retry_at = 0.0

    # -- opening and closing --

    def open(self) -> None:
        """Open or create the file; a corrupt one is moved aside and `data_loss` put.

        A disk that refuses is no error here: events go to memory, `degraded` says why, and it is tried again.
        """
        with self._lock:
            self._sessions.open()
            self._seq.open()
            try:
                self._attach()
            except CorruptError as error:
                self._start_anew(error)
            except StorageError as error:
                self._refuse(error)

    def _attach(self) -> None:
        self._file.attach()
        self._last_n = max(self._last_n, self._file.last_n())
        if self._loaded:  # memory knows better than the file by now
            return
        known = self._file.last_seq()
        if known is not None and known > self._seq.last - 20_000:  # else it is an old copy: the counter knows better
            self._seq.open(max(known, self._used))
        self._used = self._seq.last
        self._remember(self._file.episodes())

    def _remember(self, episodes: Iterable[tuple[int, bytes]]) -> None:
        self._loaded = True
        for begin, body in episodes:
            try:
                event = cloudevent.from_json(body)
            except ValueError as error:
                log.error("%s: an open episode is damaged and forgotten: %s", self._file.path, error)
            else:
                self._open.setdefault(event.episode, (begin, event))
                self._pairs.add((event.rule, event.camera))

    def _start_anew(self, error: StorageError) -> None:
        """Move the broken file aside, keep what can be read of it, and say so."""
        rows, episodes = self._file.salvage()
        self._file.close()
        aside = self._file.path.with_name(f"outbox-corrupt-{int(self._clock.utc())}.db")
        log.error("%s; it is moved to %s and a new one begun", error, aside.name)
        self._last_n = max([self._last_n, *(row.n for row in rows)])
        if not self._loaded:
            self._remember(episodes)
        self._seq.open()
        self._seq.open(max(self._seq.last, self._used))
        through = self._used = self._seq.last
        try:
            for end in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._file.path.with_name(f"{self._file.path.name}{end}").rename(f"{aside}{end}")
            self._file.attach()
            self._file.insert(rows, self._planner.all_open(self._open), self._held)
        except OSError as failure:
            self._refuse(StorageError(f"{self._file.path}: {failure.strerror}"))
        except StorageError as failure:
            self._refuse(failure)
        if self._degraded is not None:
            self._memory.add(rows, self._held)
        report = {"reason": "corrupt", "file": aside.name, "through": through, "saved": len(rows)}
        entries = [Entry(self._notices.once("data_loss", "high", report))]
        self._to_disk(entries) or self._to_memory(entries)

    def close(self) -> None:
        """Write what memory holds, if the disk lets us, and close."""
        with self._lock:
            self._recover(now=True)
            self._file.close()

    # -- putting --

    def put(self, event: Event, evidence: Sequence[Evidence] = (), thumbnail: bytes | None = None) -> Event:
        """Commit one event (with seq and evidence) to the disk; returns it as it will be sent.

        Never raises for a full or read-only disk: the event is then kept in memory and `degraded` says why.
        A `begin` of a rule opens an episode, unless its ended_utc is set already (a single occurrence).
        """
        return self.put_all([Entry(event, tuple(evidence), thumbnail)])[0]

    def put_all(self, entries: Sequence[Entry]) -> list[Event]:
        """`put` for several in one transaction: all of them or none."""
        if not entries:
            return []
        with self._lock:
            self._recover()
            events = self._to_disk(entries) or self._to_memory(entries)
        for wake in self._wakes:
            wake()
        return events

    def _to_disk(self, entries: Sequence[Entry], told: bool = False) -> list[Event]:
        """Empty when the disk refuses."""
        for last_try in (False, True):
            if self._degraded is not None:
                break
            try:
                plan = self._plan(entries, self._seq.next)
                self._file.insert(plan.rows, plan.episodes, self._held, told=told)
            except CorruptError as error:
                self._start_anew(error)
            except FullError as error:
                if last_try or self._make_room is None:
                    self._refuse(error)
                else:
                    self._clear_disk(self._make_room)
            except StorageError as error:
                self._refuse(error)
            else:
                self._apply(plan)
                return plan.events
        return []

    def _clear_disk(self, make_room: Callable[[], None]) -> None:
        """A disk that gives no room either refuses: full and read-only at once, say."""
        try:
            make_room()
        except StorageError as error:
            self._refuse(error)

    def _to_memory(self, entries: Sequence[Entry]) -> list[Event]:
        """With numbers that no later start gives again, though it may know nothing of these."""
        used = self._used
        plan = self._plan(entries, self._seq.jump)
        self._memory.gap(used + 1, plan.events[0].seq - 1)
        self._memory.add(plan.rows, self._held)
        self._apply(plan)
        return plan.events

    def _plan(self, entries: Sequence[Entry], number: Callable[[], int]) -> Plan:
        return self._planner.plan(entries, self._open, self._last_n, number, self._sessions.last)

    def _apply(self, plan: Plan) -> None:
        self._last_n = plan.rows[-1].n
        self._used = plan.events[-1].seq
        self._pairs |= {(event.rule, event.camera) for event in plan.events if event.episode in plan.open}
        for episode in plan.ended:
            self._open.pop(episode, None)
        self._open |= plan.open
        self._version += 1

    def _refuse(self, error: StorageError) -> None:
        if self._degraded is None:
            log.error("%s; events are kept in memory, at most %d", error, self._limits.memory)
            self._degraded = str(error)
            self._retry_at = self._clock.monotonic() + _RETRY_DISK

    def _recover(self, now: bool = False) -> None:
        """Try the disk again, when it refused a while ago."""
        if self._degraded is None or (not now and self._clock.monotonic() < self._retry_at):
            return
        self._retry_at = self._clock.monotonic() + _RETRY_DISK
        try:
            if not self._file.is_open:
                self._attach()
            self._file.sent(self._acked, self._clock.utc())
            # Numbers that were sent from memory alone must lie below what the file knows to be used.
            beyond = self._seq.jump()
            self._memory.gap(self._used + 1, beyond)
            self._used = beyond
            rows = list(self._memory.rows.values())
            self._file.insert(rows, self._planner.all_open(self._open), self._held, losses=self._memory.losses)
        except CorruptError as error:
            self._degraded = None
            self._start_anew(error)
        except StorageError as error:
            self._degraded = str(error)
            if not isinstance(error, FullError):  # opened while read-only, it stays so
                self._file.close()
        else:
            log.warning("the disk takes events again; %d from memory are on it", len(rows))
            self._degraded = None
            self._acked.clear()
            self._memory.clear()

    # -- what is open, and how it goes --

    def open_episodes(self) -> list[Event]:
        """The last begin or update of every episode without an end, oldest first."""
        with self._lock:
            return [event for _, event in sorted(self._open.values(), key=lambda item: item[0])]

    def pairs(self) -> set[tuple[str, str]]:
        """Every (rule, source) that has or had an open episode since the start."""
        with self._lock:
            return set(self._pairs)

    @property
    def version(self) -> int:
        """Changes with every put."""
        return self._version

    @property
    def degraded(self) -> str | None:
        """Why events are in memory only, or None."""
        return self._degraded

    def listen(self, wake: Callable[[], None]) -> None:
        """`wake()` is called, by the putting thread, after every put."""
        self._wakes.append(wake)

    def next_session(self) -> int:
        """Raise the session counter on disk; called at every CONNECT."""
        with self._lock:
            try:
                return self._sessions.next()
            except StorageError:
                return self._sessions.jump()

    def depth(self) -> Depth:
        """What waits now."""
        with self._lock:
            seqs: list[int] = []
            stamps: list[float] = []
            dead = 0
            with self._guard():
                seqs, stamps = self._file.oldest()
                dead = self._file.dead()
            memory = self._memory.rows.values()
            seqs += [row.seq for row in memory if row.seq is not None]
            stamps += [row.stamp for row in memory]
            totals = self._file.totals
            return Depth(
                events=totals.events + sum(row.seq is not None for row in memory),
                messages=totals.waiting + len(memory),
                bytes=totals.waiting_bytes + sum(row.size for row in memory),
                oldest_age=max(0.0, self._clock.utc() - min(stamps)) if stamps else 0.0,
                acked_through=min(seqs) - 1 if seqs else self._used,
                dead=dead,
                last_n=self._last_n,
            )

    # -- sending --

    def take(self, limit: int, above: int = 0, through: int = _ALL, replayed: bool = False) -> list[Message]:
        """Up to `limit` messages with above < n <= through, alarms first; they are held until ack, fail or release."""
        with self._lock:
            rows: list[Row] = []
            for send in SEND_RANKS:
                if len(rows) < limit:
                    rows += self._next_rows(send, above, through, limit - len(rows))
            self._held |= {row.n for row in rows}
            return [row.message(self._sessions.last, replayed) for row in rows]

    def _next_rows(self, send: int, above: int, through: int, limit: int) -> list[Row]:
        now = self._clock.monotonic()
        self._due = {n: due for n, due in self._due.items() if due > now}
        skip = self._held | self._acked | self._due.keys()
        rows: list[Row] = []
        with self._guard():
            numbers = self._file.waiting(send, above, through, limit + len(skip))
            found = [self._file.read(n) for n in numbers if n not in skip]
            rows = [row for row in found if row is not None]
        rows += [r for r in self._memory.rows.values() if r.send == send and above < r.n <= through and r.n not in skip]
        return [row for row in rows if self._ready(row)][:limit]

    def _ready(self, row: Row) -> bool:
        """A picture waits for its begin, and goes when that is gone."""
        begin = row.after
        if begin is None or begin in self._acked:
            return True
        if begin in self._held or begin in self._memory.rows:
            return False
        state = "waiting"
        with self._guard():
            state = self._file.state(begin)
            if state == "gone" and self._memory.rows.pop(row.n, None) is None:
                self._file.drop(row.n, "begin lost")
        return state == "sent"

    def ack(self, numbers: Iterable[int]) -> None:
        """The broker has them; one transaction."""
        with self._lock:
            for n in numbers:
                self._held.discard(n)
                self._due.pop(n, None)
                if self._memory.rows.pop(n, None):
                    self._memory.begun(n)
                else:
                    self._acked.add(n)
            if self._degraded is None and self._acked:
                with self._guard():
                    self._file.sent(self._acked, self._clock.utc())
                    self._acked.clear()

    def fail(self, n: int, reason: str) -> bool:
        """The broker refuses it: tried again later, and after 5 times a dead letter (True)."""
        with self._lock:
            self._held.discard(n)
            tries = 1
            with self._guard():
                if n not in self._memory.rows:
                    tries = self._file.refused(n, _TRIES, reason, self._clock.utc())
            self._due[n] = self._clock.monotonic() + self._retry_after * 2 ** (tries - 1)
        if tries >= _TRIES:
            log.error("message %d is a dead letter after %d tries: %s", n, tries, reason)
        return tries >= _TRIES

    def release(self) -> None:
        """The connection is gone: whatever was handed out waits again."""
        with self._lock:
            self._held.clear()

    def tend(self, tell: bool = True) -> None:
        """Keep house; call every few seconds. tell: put a `data_loss` event for what had to be dropped."""
        with self._lock:
            self._recover()
            if self._degraded is not None:
                return
            losses: list[Loss] = []
            with self._guard():
                self._file.tidy(self._clock.utc(), self._held)
                losses = self._file.losses()
            if losses and tell:
                self._to_disk([Entry(self._notices.once("data_loss", "high", report(losses)))], told=True)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """The one reaction to a disk that refuses, or lies."""
        try:
            yield
        except CorruptError as error:
            self._start_anew(error)
        except StorageError as error:
            self._refuse(error)
