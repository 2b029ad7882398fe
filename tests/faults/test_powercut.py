"""Rows 9 and 10: whatever a disk that keeps its promises holds after a power cut, no committed event is lost.

A real storage at work is recorded with strace: every write, truncation, rename, removal and sync, and when it promised
what. From the record images are made of what the disk may hold at and after each sync (tests/faults/disk.py), and a
real box starts on each of them.
"""

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.clock import ManualClock
from smartbox.counter import Counter
from smartbox.ids import Uuid7
from smartbox.outbox import FILE_NAME, Outbox, read_records
from tests.faults.disk import Record, Sync, SyncDirectory, lay
from tests.faults.powercut import content
from tests.faults.trace import recorded
from tests.link.events import Events

Tell = Callable[[str, object], None]
_EVERY = float(os.environ.get("POWER_CUTS", "1"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where images are laid: in memory where there is some, since each start syncs."""
    memory = Path("/dev/shm")
    where = Path(tempfile.mkdtemp(prefix="smartbox-", dir=memory if os.access(memory, os.W_OK) else tmp_path))
    yield where
    shutil.rmtree(where)


def at_work(tmp_path: Path, rounds: int) -> tuple[Path, Record]:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    state = tmp_path / "box" / "state"
    state.parent.mkdir()
    return state, recorded(state, "tests.faults.powercut", state, seed, rounds)


def wrong_with(record: Record, cut: int, state: Path, dice: random.Random, disk: Path) -> list[str]:
    """Start a box on one image; what it does not hold of what was promised before the cut."""
    shutil.rmtree(disk)
    disk.mkdir()
    lay(record.image(cut, dice), str(state), disk)
    if dice.random() < 0.3 and (disk / FILE_NAME).exists():
        (disk / f"{FILE_NAME}-shm").write_bytes(dice.randbytes(32768))  # nobody promised anything about it
    clock = ManualClock()
    outbox = Outbox(disk, clock, Uuid7(clock.utc, random.Random(1)), "park-a", "box-017")
    outbox.open()
    said = [line.split() for line in record.said(cut)]
    wrong = list(compared(outbox, disk, said, Events(clock)))
    outbox.close()
    return wrong


def compared(outbox: Outbox, disk: Path, said: list[list[str]], events: Events) -> Iterator[str]:
    if outbox.degraded:
        yield f"degraded: {outbox.degraded}"
    if moved := list(disk.glob("outbox-corrupt-*")):
        yield f"taken for corrupt: {moved[0].name}"
    records = [json.loads(r.body) for dead in (False, True) for r in read_records(disk / FILE_NAME, dead=dead)]
    there = {record["id"] for record in records}
    if len(there) != len(records) or len({record["seq"] for record in records}) != len(records):
        yield "an event or a number twice"
    committed = {words[1]: words for words in said if words[0] == "put"}
    sent = {words[1] for words in said if words[0] == "sent"}  # these may be pruned
    if lost := [words for new_id, words in committed.items() if new_id not in there | sent]:
        yield f"{len(lost)} committed events lost, the first: {lost[0]}"
    ended = {record["data"]["episode"] for record in records if record["data"]["phase"] == "end"}
    ended |= {words[4] for words in committed.values() if words[3] == "end"}
    begun = {words[4] for words in committed.values() if words[3] == "begin"}
    still = {event.episode for event in outbox.open_episodes()}
    if begun - ended - still or still & ended:
        yield f"open episodes: {len(begun - ended - still)} forgotten, {len(still & ended)} that had ended"
    for record in records:
        for file in record["data"]["evidence"]:
            path = disk / "evidence" / file["name"]
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                yield f"picture {file['name']} of event {record['seq']} is not whole"
    if outbox.put(events.begin()).seq <= max((int(words[2]) for words in committed.values()), default=0):
        yield "an event number was given again"
    if outbox.next_session() <= max((int(words[1]) for words in said if words[0] == "session"), default=0):
        yield "a session number was given again"


def broken(record: Record, state: Path, disk: Path, count: int) -> list[str]:
    """What is wrong with `count` images: one at every sync point in turn, and up to the next one."""
    dice = random.Random(9)
    points = [0, *record.syncs(), len(record.steps)]
    found = []
    for i in range(count):
        here = i % (len(points) - 1)
        first_round = i < len(points)
        cut = points[here] if first_round else dice.randint(points[here], points[here + 1])
        found += [f"after step {cut}: {text}" for text in wrong_with(record, cut, state, dice, disk)]
    return found


@pytest.mark.row(9)
@pytest.mark.parametrize(("rounds", "images"), [(60, 150), pytest.param(400, 1500, marks=pytest.mark.faults)])
@pytest.mark.timeout(1800)
def test_row_9_no_committed_event_is_lost(
    tmp_path: Path, disk: Path, rounds: int, images: int, record_property: Tell
) -> None:
    state, record = at_work(tmp_path, rounds)
    images = max(int(images * _EVERY), len(record.syncs()) + 1)
    assert not broken(record, state, disk, images)
    record_property("repetitions", images)
    record_property("sync points", len(record.syncs()))
    record_property("committed events", sum(text.startswith("put") for text in record.said(len(record.steps))))
    record_property("lost", 0)


def test_a_disk_that_lies_is_found_out(tmp_path: Path, disk: Path) -> None:
    """The check itself: without its syncs the same record must lose events."""
    state, record = at_work(tmp_path, 40)
    lying = record.without(lambda step: isinstance(step, Sync | SyncDirectory))
    dice = random.Random(5)
    cuts = [dice.randrange(len(lying.steps)) for _ in range(20)]
    assert any("lost" in text for cut in cuts for text in wrong_with(lying, cut, state, dice, disk))


@pytest.mark.row(10)
@pytest.mark.parametrize(("rounds", "images"), [(10, 200), pytest.param(50, 2000, marks=pytest.mark.faults)])
def test_row_10_a_saved_file_is_the_old_one_or_the_new_one(
    tmp_path: Path, rounds: int, images: int, record_property: Tell
) -> None:
    folder = tmp_path / "box" / "state"
    folder.mkdir(parents=True)
    record = recorded(folder, "tests.faults.powercut", folder, -1, rounds)
    dice = random.Random(10)
    for i in range(images):
        cut = i if i <= len(record.steps) else dice.randrange(len(record.steps) + 1)
        found = record.image(cut, dice).get(str(folder / "file"))
        saved = sum(1 for _ in record.said(cut))
        assert found in ([None] if saved == 0 else []) + [content(i) for i in (saved - 1, saved) if i >= 0]
    record_property("repetitions", images)


@pytest.mark.row(10)
@pytest.mark.parametrize("length", range(7))
def test_row_10_a_torn_counter_never_leads_back(tmp_path: Path, length: int) -> None:
    clock = ManualClock()
    counter = Counter(tmp_path / "n", 10_000, clock.utc)
    counter.open()
    last = [counter.next() for _ in range(5)][-1]
    whole = (tmp_path / "n").read_bytes()
    (tmp_path / "n").write_bytes(whole[: min(length, len(whole) - 1)])
    again = Counter(tmp_path / "n", 10_000, clock.utc)
    again.open()
    assert again.next() > last
