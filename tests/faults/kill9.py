"""A box that is killed again and again: `python -m tests.faults.kill9 STATE PORT REPEATS SEED LIFE`.

This process imports everything once and has no threads; each life of the box is a fork of it. A life opens the outbox,
runs a publisher against a real broker and puts events nearly as fast as the disk takes them, noting each id in a side
log that is fsynced after put returned. It is killed (-9) at a moment drawn uniformly from LIFE seconds; a shared page
then tells where it was. Afterwards one life is left alone until nothing waits. Prints one JSON document.
"""

import json
import mmap
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smartbox.clock import SystemClock
from smartbox.ids import Uuid7
from smartbox.mqtt import MqttSettings
from smartbox.outbox import Message, Outbox
from smartbox.publisher import Pace, Publisher
from tests.link.events import Events

PACE = Pace(spread=0.0, backlog_rate=1e5, first_wait=0.02, longest_wait=0.1)
JPEG = b"\xff\xd8" + bytes(2000) + b"\xff\xd9"

# Bytes of the shared page.
OPENED, IN_PUT, IN_FLIGHT, CONNECTED = range(4)


class Marked(Outbox):
    """An outbox that leaves marks of what it is doing."""

    page: mmap.mmap

    def put(self, *args: Any, **rest: Any) -> Any:
        self.page[IN_PUT] = 1
        try:
            return super().put(*args, **rest)
        finally:
            self.page[IN_PUT] = 0

    def take(self, *args: Any, **rest: Any) -> list[Message]:
        messages = super().take(*args, **rest)
        self.page[IN_FLIGHT] = min(255, self.page[IN_FLIGHT] + len(messages))
        return messages

    def ack(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        super().ack(numbers)
        self.page[IN_FLIGHT] = max(0, self.page[IN_FLIGHT] - len(numbers))
        self.page[CONNECTED] = 1


def live(state: Path, port: int, page: mmap.mmap, seed: int, last: bool) -> None:
    """One life; the last one only sends."""
    clock, dice = SystemClock(), random.Random(seed)
    new_id = Uuid7(clock.utc, dice)
    outbox = Marked(state, clock, new_id, "park-a", "box-017")
    outbox.page = page
    outbox.open()
    page[OPENED] = 1
    publisher = Publisher(
        outbox,
        MqttSettings(url=f"mqtt://127.0.0.1:{port}"),
        clock,
        "park-a",
        "box-017",
        new_id=new_id,
        random=dice,
        birth=dict,
        health=dict,
        pace=PACE,
    )
    stop = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stop,), daemon=True)
    thread.start()
    if not last:
        put_for_ever(state, outbox, Events(clock, seed), dice)
    while outbox.depth().messages:
        time.sleep(0.01)
    stop.set()
    thread.join(10)
    outbox.close()


def put_for_ever(state: Path, outbox: Outbox, events: Events, dice: random.Random) -> None:
    """Begins, updates and ends, those of earlier lives too; after each put its id is fsynced to the side log."""
    log = os.open(state.parent / "side.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    while True:
        known = outbox.open_episodes()
        if known and dice.random() < 0.6:
            begin = dice.choice(known)
            event = events.end(begin) if dice.random() < 0.6 else events.update(begin)
        else:
            event = events.begin(dice.choice(["alarm", "alarm", "notice"]))
        outbox.put(event, [], JPEG if event.phase == "begin" and dice.random() < 0.3 else None)
        os.write(log, f"{event.id} {event.phase} {event.episode}\n".encode())
        os.fsync(log)
        time.sleep(dice.uniform(0, 0.001))


def born(state: Path, port: int, page: mmap.mmap, seed: int, last: bool = False) -> int:
    """Fork one life; its process id."""
    page[0:4] = bytes(4)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            live(state, port, page, seed, last)
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def place(page: mmap.mmap) -> str:
    """Where a life was when it was killed."""
    if not page[OPENED]:
        return "opening"
    where = [name for name, at in (("in put", IN_PUT), ("in flight", IN_FLIGHT)) if page[at]]
    return " + ".join(where) or ("between" if page[CONNECTED] else "connecting")


def main(state: Path, port: int, repeats: int, seed: int, life: float) -> dict[str, Any]:
    dice = random.Random(seed)
    state.mkdir(parents=True, exist_ok=True)
    with (state.parent / "page").open("w+b") as file:
        file.truncate(4096)
        page = mmap.mmap(file.fileno(), 4096)
    places: Counter[str] = Counter()
    moments = []
    for i in range(repeats):
        pid = born(state, port, page, seed + i)
        moments.append(dice.uniform(0, life))
        time.sleep(moments[-1])
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WTERMSIG(status) != signal.SIGKILL:
            raise SystemExit(f"life {i} ended by itself: status {status}")
        places[place(page)] += 1
    _, status = os.waitpid(born(state, port, page, seed - 1, last=True), 0)
    if status:
        raise SystemExit(f"the last life failed: status {status}")
    tenths = Counter(min(9, int(m / life * 10)) for m in moments)
    return {
        "repeats": repeats,
        "life_s": life,
        "seed": seed,
        "places": dict(places),
        "in_put": sum(n for name, n in places.items() if "in put" in name),
        "in_flight": sum(n for name, n in places.items() if "in flight" in name),
        "moments": [tenths[i] for i in range(10)],
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))))
