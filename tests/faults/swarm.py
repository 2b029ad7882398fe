"""Many boxes in one process: `python -m tests.faults.swarm STATE PORT FIRST COUNT`.

Each is a real outbox with a real publisher at the product's own pace. Commands come by standard input: `put N` puts N
events into each outbox, `stop` ends them. Prints a JSON line of ids for each `put`.
"""

import json
import logging
import random
import sys
import threading
from pathlib import Path

from smartbox.clock import SystemClock
from smartbox.ids import Uuid7
from smartbox.mqtt import MqttSettings
from smartbox.outbox import Entry, Outbox
from smartbox.publisher import Publisher
from tests.link.events import Events

STACK = 256 * 1024  # bytes; hundreds of threads


def box(state: Path, port: int, number: int, stop: threading.Event) -> tuple[Outbox, threading.Thread]:
    clock, dice, name = SystemClock(), random.Random(), f"box-{number:03}"
    new_id = Uuid7(clock.utc, dice)
    outbox = Outbox(state / name, clock, new_id, "park-a", name)
    outbox.open()
    settings = MqttSettings(url=f"mqtt://127.0.0.1:{port}")
    publisher = Publisher(outbox, settings, clock, "park-a", name, new_id=new_id, random=dice, birth=dict, health=dict)
    thread = threading.Thread(target=publisher.run, args=(stop,))
    thread.start()
    return outbox, thread


def main(state: Path, port: int, first: int, count: int) -> None:
    logging.disable(logging.CRITICAL)
    threading.stack_size(STACK)
    stop = threading.Event()
    events = Events(SystemClock(), first + 1)
    boxes = [box(state, port, first + i, stop) for i in range(count)]
    print(json.dumps([]), flush=True)
    for line in sys.stdin:
        word, _, number = line.strip().partition(" ")
        if word == "stop":
            break
        waiting = [(outbox, [Entry(events.begin()) for _ in range(int(number))]) for outbox, _ in boxes]
        put = [event.id for outbox, entries in waiting for event in outbox.put_all(entries)]
        print(json.dumps(put), flush=True)
    stop.set()
    for outbox, thread in boxes:
        thread.join(20)
        outbox.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
