"""What it costs that nothing is lost: the outbox beside the bare disk, bursts, a recovery, and the pictures of alarms.

    python benchmarks/bench_outbox.py [--puts 1000] [--seconds 10] [--backlog 10000] [--alarms 50] [--dir /tmp]

Puts and bare fdatasyncs take turns, so that both see the same disk and the same machine: the ratio counts, the
milliseconds are this disk's. Bursts are put, handed out and acknowledged. Then an outbox full of events that waited is
opened as after a crash, up to its first message. Last, the pictures of alarms, one after the other and together.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _box import machine

from smartbox.clock import SystemClock
from smartbox.evidence import EvidenceLimits, EvidenceStore, Ready
from smartbox.ids import Uuid7
from smartbox.outbox import Entry, Outbox
from tests.link.events import Events

BURST = 50
PICTURES, PICTURE = 4, 60_000  # of an alarm, and the bytes of one


def outbox_at(state: Path) -> Outbox:
    clock = SystemClock()
    outbox = Outbox(state, clock, Uuid7(clock.utc, random.Random(1)), "park-a", "box-017")
    outbox.open()
    return outbox


def took(work: Callable[[], object]) -> float:
    """s."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def puts(outbox: Outbox, bare: Path, count: int, events: Events) -> tuple[list[float], list[float]]:
    """s of each put, and of each 4 KiB written and synced."""
    mine, disk, body = [], [], os.urandom(4096)
    with bare.open("wb", buffering=0) as file:

        def write() -> None:
            file.write(body)
            os.fdatasync(file.fileno())

        for _ in range(count):
            disk.append(took(write))
            event = events.begin()
            mine.append(took(lambda event=event: outbox.put(event)))  # type: ignore[misc]
    return mine, disk


def bursts(outbox: Outbox, seconds: float, events: Events) -> float:
    """Events a second, BURST in one commit."""
    committed, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        committed += len(outbox.put_all([Entry(events.begin()) for _ in range(BURST)]))
        outbox.ack(message.n for message in outbox.take(BURST))
    return committed / (time.perf_counter() - began)


def fill(state: Path, count: int, events: Events) -> None:
    """An outbox of so many events that was left as a power cut leaves it: not closed."""
    outbox = outbox_at(state)
    for _ in range(count // (2 * BURST)):
        begun = [events.begin() for _ in range(BURST)]
        outbox.put_all([Entry(event) for begin in begun for event in (begin, events.end(begin))])
    crashed = state.with_name("crashed")
    shutil.copytree(state, crashed)  # with its write-ahead log
    outbox.close()


def recovered(state: Path) -> None:
    outbox = outbox_at(state)
    assert outbox.take(1)
    outbox.close()


def pictures(store: EvidenceStore, alarms: int) -> tuple[list[float], list[float]]:
    """s of an alarm's pictures, each by itself and all together."""
    content, alone, together = os.urandom(PICTURE), [], []
    for i in range(alarms):
        one, all_ = ([Ready(f"{way}{i}-{n}", content, 1.8e9 + i) for n in range(PICTURES)] for way in "ab")
        alone.append(took(lambda one=one: [store.save_all([file]) for file in one]))  # type: ignore[misc]
        together.append(took(lambda all_=all_: store.save_all(all_)))  # type: ignore[misc]
    return alone, together


def line(name: str, times: list[float]) -> str:
    p50, p99 = np.percentile(np.array(times) * 1e3, (50, 99))
    return f"{name:44} {p50:9.2f} {p99:9.2f}"


def ratio(name: str, mine: list[float], other: list[float], limit: float | None = None) -> str:
    p50, p99 = np.percentile(mine, (50, 99)) / np.percentile(other, (50, 99))
    told = "" if limit is None else f"   target {limit:g}x: {'held' if p99 <= limit else 'MISSED'} at p99"
    return f"{name:44} {p50:8.2f}x {p99:8.2f}x{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--backlog", type=int, default=10_000)
    parser.add_argument("--alarms", type=int, default=50)
    parser.add_argument("--dir", type=Path, help="where on the disk that is to be measured; default: the temporary one")
    args = parser.parse_args()
    events = Events(SystemClock())
    print(machine())
    with tempfile.TemporaryDirectory(prefix="smartbox-bench-", dir=args.dir) as name:
        place = Path(name)
        outbox = outbox_at(place / "state")
        mine, disk = puts(outbox, place / "bare", args.puts, events)
        print(f"{'ms':44} {'p50':>9} {'p99':>9}")
        print(line("an event, committed", mine))
        print(line("4 KiB and a bare fdatasync", disk))
        print(ratio("committed / bare", mine, disk, 5.0))
        rate = bursts(outbox, args.seconds, events)
        outbox.close()
        told = "held" if rate >= 1000 else "MISSED"
        print(f"{f'bursts of {BURST}: put, handed out, acknowledged':44} {rate:9.0f} events/s   target 1000: {told}")
        fill(place / "full", args.backlog, events)
        opened = took(lambda: recovered(place / "crashed"))
        copy = place / "crashed-bytes"
        shutil.copytree(place / "full", copy)
        size = sum(path.stat().st_size for path in copy.iterdir())
        read = took(lambda: [path.read_bytes() for path in copy.iterdir()])
        what = f"{args.backlog} events that waited, to the first message"
        print(f"{what:44} {opened * 1e3:9.0f} ms ({size / 2**20:.0f} MiB; reading its bytes {read * 1e3:.0f} ms)")
        store = EvidenceStore(place / "evidence", EvidenceLimits(free=0))
        alone, together = pictures(store, args.alarms)
        print(line(f"{PICTURES} pictures of an alarm, one by one", alone))
        print(line("the same together", together))
        print(ratio("together / one by one", together, alone))


if __name__ == "__main__":
    main()
