"""The outbox against a model, in any order of what may happen to it, power cuts at any write of any call included.

The model knows of every event what may have become of it: waiting, sent, dead, dropped. What the box does not sync
(that something was sent, refused, too old) may be undone by a power cut, back to its last sync; nothing else may.
"""

import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smartbox.clock import ManualClock
from smartbox.ids import Uuid7
from smartbox.outbox import FILE_NAME, Entry, Limits, Outbox, read_records
from smartbox.types import Event
from tests.faults.disk import Name, Record, Step, Sync, SyncDirectory, Write, lay
from tests.faults.vfs import inode_of, listening
from tests.link.events import Events

LIMITS = Limits(events=12, history_rows=8)
JPEG = b"\xff\xd8picture\xff\xd9"
COUNTERS = ("outbox-seq", "outbox-session")
PHASES = st.lists(st.sampled_from(["alarm", "notice", "update", "end", "picture"]), min_size=1, max_size=4)
SOME = st.integers(1, 6)


@dataclass
class Known:
    """One event that was committed: where it is now, and everywhere it was since all was synced last."""

    seq: int
    state: str
    since: set[str] = field(default_factory=set)


class OutboxMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self._root = Path(tempfile.mkdtemp(prefix="smartbox-", dir=memory if os.access(memory, os.W_OK) else None))
        self._clock = ManualClock()
        self._steps: list[Step] = []
        self._lives = 0
        self.known: dict[str, Known] = {}
        self.told: dict[str, int] = {}  # data_loss -> how many events it reports
        self.held: dict[int, str] = {}  # row -> event, or nothing for a picture

    @initialize(seed=st.integers(0, 1 << 30))
    def begin(self, seed: int) -> None:
        self._events = Events(self._clock, seed)
        self._new_id = Uuid7(self._clock.utc, random.Random(seed + 1))
        self._state = self._root / "0"
        self._open()

    def teardown(self) -> None:
        with listening([]):
            self._outbox.close()
        shutil.rmtree(self._root)

    def _open(self) -> None:
        self._outbox = Outbox(self._state, self._clock, self._new_id, "park-a", "box-017", LIMITS, retry_after=0.0)
        with listening(self._steps):
            self._outbox.open()
        assert self._outbox.degraded is None
        assert not list(self._state.glob("outbox-corrupt-*"))
        self.held.clear()

    # -- what may happen --

    @rule(phases=PHASES)
    def put(self, phases: list[str]) -> None:
        self._do(lambda: self._put(phases), syncs=True)

    def _put(self, phases: list[str]) -> list[Event]:
        entries = []
        for phase in phases:
            known = self._outbox.open_episodes()
            if phase in ("update", "end") and known:
                make = self._events.update if phase == "update" else self._events.end
                entries.append(Entry(make(known[len(entries) % len(known)])))
            else:
                cls = "notice" if phase == "notice" else "alarm"
                entries.append(Entry(self._events.begin(cls), (), JPEG if phase == "picture" else None))
        return self._outbox.put_all(entries)

    @rule(count=SOME)
    def publish(self, count: int) -> None:
        with listening(self._steps):
            messages = self._outbox.take(count)
        for message in messages:
            new_id = json.loads(message.payload)["id"] if message.topic.startswith("event/") else ""
            assert message.n not in self.held, "handed out twice"
            assert not new_id or self.known[new_id].state == "waiting", "handed out though nobody waits for it"
            self.held[message.n] = new_id

    @precondition(lambda self: self.held)
    @rule(count=SOME)
    def ack(self, count: int) -> None:
        rows = [self.held.popitem()[0] for _ in range(min(count, len(self.held)))]
        self._do(lambda: self._outbox.ack(rows))

    @precondition(lambda self: self.held)
    @rule()
    def error(self) -> None:
        n, _ = self.held.popitem()
        self._do(lambda: self._outbox.fail(n, "0x97 quota exceeded"))

    @rule()
    def disconnect(self) -> None:
        self._outbox.release()
        self.held.clear()

    @rule(days=st.sampled_from([0, 0, 0, 1, 31]))
    def tend(self, days: int) -> None:
        self._clock.advance(days * 86400.0 + 1)
        self._do(self._outbox.tend)

    @rule()
    def reopen(self) -> None:
        with listening(self._steps):
            self._outbox.close()
        self._open()
        self._settled()

    @rule(phases=PHASES, what=st.sampled_from(["put", "ack", "error", "tend"]), where=st.floats(0, 1), seed=SOME)
    def crash(self, phases: list[str], what: str, where: float, seed: int) -> None:
        """The power goes while a call is at work, anywhere between its writes and syncs."""
        before, asked = len(self._steps), set(self.known)
        if what == "put":
            new = self._put_heard(phases)
        else:
            new = []
            {"ack": self.ack_all, "error": self.error_one, "tend": lambda: self._heard(self._outbox.tend)}[what]()
        self._look()
        cut = before + round(where * (len(self._steps) - before))
        image = Record(self._steps).image(cut, random.Random(seed))
        finished = cut == len(self._steps)
        self._move_to(image)
        there = self._there()
        counted = self._counted()
        kept = {new_id for new_id, known in self.known.items() if new_id in there or known.seq in counted}
        ours = {event.id for event in new}
        assert ours <= kept or not (finished or ours & kept), "half a put"
        for new_id in self.known.keys() - asked - kept:  # a put, or a data_loss, that the power came before
            self.known.pop(new_id)
            self.told.pop(new_id, None)
        for new_id, known in self.known.items():
            now = there.get(new_id, "gone")
            assert now in known.since, f"event {known.seq} is {now}, was {known.since}"
            known.state = now if now != "gone" else known.state if known.state != "waiting" else "gone"
        self._settled()

    def _counted(self) -> set[int]:
        """Numbers of the events whose loss the file knows and has not yet reported."""
        losses = [loss for loss in self._outbox._file.losses() if loss.what == "events"]
        return {seq for loss in losses for seq in range(loss.first, loss.last + 1)}

    def _put_heard(self, phases: list[str]) -> list[Event]:
        with listening(self._steps):
            new = self._put(phases)
        self._learn(new)
        return new

    def ack_all(self) -> None:
        self._heard(lambda: self._outbox.ack(list(self.held)))

    def error_one(self) -> None:
        for n in list(self.held)[:1]:
            self._heard(lambda n=n: self._outbox.fail(n, "0x97"))  # type: ignore[misc]

    # -- the model --

    def _heard(self, act: Callable[[], object]) -> None:
        with listening(self._steps):
            act()

    def _do(self, act: Callable[[], object], syncs: bool = False) -> None:
        with listening(self._steps):
            done = act()
        if syncs:
            assert isinstance(done, list)
            self._learn(done)
        self._look()
        if syncs:
            self._settled()

    def _learn(self, events: list[Event]) -> None:
        for event in events:
            assert event.id not in self.known and event.seq not in {k.seq for k in self.known.values()}
            self.known[event.id] = Known(event.seq, "waiting")

    def _there(self) -> dict[str, str]:
        """What the file says: event -> waiting, sent or dead."""
        found: dict[str, str] = {}
        for dead in (False, True):
            for record in read_records(self._state / FILE_NAME, dead=dead):
                document = json.loads(record.body)
                assert document["id"] not in found, "one event twice"
                found[document["id"]] = record.state
                if document["id"] not in self.known:
                    assert record.topic == "event/system/data_loss", "an event that nobody put"
                    self.known[document["id"]] = Known(document["seq"], record.state, {"gone", record.state})
                    self.told[document["id"]] = document["data"]["detail"]["events"]
        return found

    def _look(self) -> None:
        """Take in what the last call changed; only some changes are possible."""
        there = self._there()
        for new_id, known in self.known.items():
            now = there.get(new_id)
            if now is None:
                now = "sent" if known.state == "sent" else "gone"
            assert (known.state, now) in CHANGES, f"event {known.seq}: {known.state} -> {now}"
            known.state = now
            known.since |= {now, "gone"} if new_id not in there else {now}

    def _settled(self) -> None:
        """All that went before is synced."""
        there = self._there()
        for new_id, known in self.known.items():
            known.since = {known.state if new_id in there else "gone"}

    def _move_to(self, image: dict[str, bytes]) -> None:
        """Another machine with what the disk held; the counters sync whatever they write (row 10)."""
        self._lives += 1
        old, self._state = self._state, self._root / str(self._lives)
        self._state.mkdir()
        lay({path: data for path, data in image.items() if not path.endswith("-shm")}, str(old), self._state)
        for name in COUNTERS:
            if (old / name).exists():
                shutil.copy(old / name, self._state / name)
        self._outbox.close()
        self._steps.clear()
        for path in sorted(self._state.glob(f"{FILE_NAME}*")):
            inode = inode_of(str(path))
            base = [Name(inode, new=str(path)), Write(inode, 0, path.read_bytes()), Sync(inode)]
            self._steps += [*base, SyncDirectory(str(self._state))]
        self._open()

    @invariant()
    def counts_are_exact(self) -> None:
        depth = self._outbox.depth()
        states = [known.state for known in self.known.values()]
        assert depth.events == states.count("waiting")
        assert depth.dead == states.count("dead")
        unreported = sum(loss.count for loss in self._outbox._file.losses() if loss.what == "events")
        assert states.count("gone") == unreported + sum(self.told.values()), "not every loss is told, or too many"


CHANGES = {
    *((state, state) for state in ("waiting", "sent", "dead", "gone")),
    ("waiting", "sent"),
    ("waiting", "dead"),
    ("waiting", "gone"),
}

TestOutbox = pytest.mark.machine(OutboxMachine.TestCase)
TestOutbox.settings = settings(
    max_examples=12,
    stateful_step_count=25,
    phases=(Phase.explicit, Phase.generate),  # a failure is shown as it was found: `make faults` takes its time over it
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.faults
@pytest.mark.row(9)
@pytest.mark.timeout(3600)
def test_many_machines(record_property: Callable[[str, object], None]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        OutboxMachine,
        settings=settings(
            max_examples=100, stateful_step_count=40, suppress_health_check=list(HealthCheck), derandomize=False
        ),
    )
    record_property("random histories with power cuts against a model", 100)
