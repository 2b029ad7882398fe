"""Rows 11–14: the database is damaged, the disk is full or read-only, the outbox is full."""

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from smartbox.clock import ManualClock
from smartbox.cloudevent import from_json
from smartbox.errors import StorageError
from smartbox.evidence import EvidenceLimits, EvidenceStore, Overlay
from smartbox.ids import Uuid7
from smartbox.outbox import Entry, Limits, Outbox
from tests.link.events import Events

PICTURE = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)


def outbox_at(state: Path, clock: ManualClock, make_room: Callable[[], None] | None = None, **limits: int) -> Outbox:
    new_id = Uuid7(clock.utc, random.Random(3))
    outbox = Outbox(state, clock, new_id, "park-a", "box-017", Limits(**limits), make_room)
    outbox.open()
    return outbox


def ids(outbox: Outbox) -> set[str]:
    taken = outbox.take(1_000_000)
    outbox.release()
    return {from_json(m.payload).id for m in taken if m.topic.startswith("event/")}


@pytest.mark.row(11)
@pytest.mark.parametrize("seed", range(12))
def test_row_11_flipped_bytes_never_stop_the_start(tmp_path: Path, seed: int) -> None:
    clock, dice = ManualClock(), random.Random(seed)
    outbox = outbox_at(tmp_path, clock)
    events = Events(clock)
    outbox.put_all([Entry(events.begin()) for _ in range(300)])
    outbox.close()
    path = tmp_path / "outbox.db"
    content = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 5, 50, 500])):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    again = outbox_at(tmp_path, clock)
    ids_before = ids(again)
    put = again.put(events.begin())
    assert again.degraded is None
    assert put.id in ids(again) and len(ids_before) >= 1
    again.tend()
    again.close()
    moved = list(tmp_path.glob("outbox-corrupt-*.db"))
    told = [e for e in _kinds(outbox_at(tmp_path, clock)) if e == "data_loss"]
    assert len(told) >= len(moved)


def _kinds(outbox: Outbox) -> list[str]:
    kinds = [m.topic.rpartition("/")[2] for m in outbox.take(1_000_000)]
    outbox.close()
    return kinds


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def recovers(outbox: Outbox, small_disk: Path, clock: ManualClock, kept: set[str]) -> None:
    """Once there is room again: the next try succeeds, and after a restart every event is there."""
    (small_disk / "rubbish").unlink()
    clock.advance(5)
    outbox.tend(tell=False)
    assert outbox.degraded is None
    outbox.close()
    again = outbox_at(small_disk, clock)
    assert kept == ids(again)
    again.close()


@pytest.mark.row(12)
def test_row_12_on_a_full_disk_pictures_go_alarms_stay_and_it_recovers(small_disk: Path) -> None:
    clock = ManualClock()
    evidence = EvidenceStore(small_disk / "evidence", EvidenceLimits(free=0))
    outbox = outbox_at(small_disk, clock, evidence.make_room, events=100_000)
    events = Events(clock)
    (small_disk / "rubbish").write_bytes(bytes(1_000_000))
    pictures = 0
    try:
        while pictures < 1000:
            evidence.save_picture(PICTURE, Overlay(), f"{pictures:04}", clock.utc())
            pictures += 1
    except StorageError:
        pass
    assert pictures > 10
    kept = set()
    for _ in range(4000):  # about 5 MB: more than the disk
        kept.add(outbox.put(events.begin()).id)
        if outbox.degraded:
            break
    assert len(list((small_disk / "evidence").iterdir())) < pictures / 10, "pictures went before events"
    assert outbox.degraded and "full" in outbox.degraded
    kept |= {outbox.put(events.begin()).id for _ in range(50)}
    assert kept == ids(outbox)
    recovers(outbox, small_disk, clock, kept)


@pytest.mark.row(12)
def test_row_12_a_full_disk_that_gives_no_room_costs_no_event(small_disk: Path) -> None:
    """As when the system makes a damaged disk read-only: the outbox cannot grow, and no picture can be deleted."""
    clock, asked = ManualClock(), []

    def refuse() -> None:
        asked.append(1)
        raise StorageError("evidence/0.jpg: Read-only file system")

    outbox = outbox_at(small_disk, clock, refuse)
    events = Events(clock)
    kept = {outbox.put(events.begin()).id}
    with suppress(OSError), (small_disk / "rubbish").open("wb", buffering=0) as rubbish:
        while True:
            rubbish.write(bytes(4096))
    for _ in range(1000):
        kept.add(outbox.put(events.begin()).id)
        if outbox.degraded:
            break
    assert asked and outbox.degraded and "Read-only" in outbox.degraded
    kept.add(outbox.put(events.begin()).id)
    assert kept == ids(outbox)
    recovers(outbox, small_disk, clock, kept)


@pytest.mark.row(13)
def test_row_13_read_only_is_degraded_with_a_thousand_events_in_memory(small_disk: Path) -> None:
    clock = ManualClock()
    outbox = outbox_at(small_disk, clock)
    events = Events(clock)
    first = outbox.put(events.begin()).id
    outbox.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    outbox = outbox_at(small_disk, clock)
    put = [outbox.put(events.begin()) for _ in range(1500)]
    assert outbox.degraded
    assert len(ids(outbox) - {first}) == 1000
    assert len({e.seq for e in put}) == 1500
    assert outbox.next_session() > 0
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    clock.advance(5)
    outbox.tend()
    assert outbox.degraded is None
    (loss,) = [json.loads(m.payload) for m in outbox.take(1_000_000) if m.topic.endswith("data_loss")]
    assert {item["reason"]: item["count"] for item in loss["data"]["detail"]["lost"]}["memory"] == 500
    outbox.close()


@pytest.mark.row(14)
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_row_14_a_hundred_thousand_and_one(tmp_path: Path) -> None:
    clock = ManualClock()
    outbox = outbox_at(tmp_path, clock)
    events = Events(clock)
    for _ in range(1000):
        outbox.put_all([Entry(events.begin()) for _ in range(100)])
    outbox.put(events.begin())
    outbox.tend()
    (loss,) = [json.loads(m.payload) for m in outbox.take(1_000_000) if m.topic.endswith("data_loss")]
    assert loss["data"]["detail"]["lost"] == [{"reason": "full", "what": "events", "count": 1, "ranges": [[1, 1]]}]
    outbox.close()
