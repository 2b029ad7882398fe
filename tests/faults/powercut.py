"""A box's storage at work, to be traced: `python -m tests.faults.powercut STATE SEED ROUNDS`.

Puts, sends, refuses, prunes, restarts and takes pictures, in random order; after each call that promised something it
says so in a file beside STATE, so that the trace knows what had been promised when.
"""

import json
import os
import random
import sys
from pathlib import Path

import numpy as np

from smartbox.clock import ManualClock
from smartbox.durable import write_durably
from smartbox.evidence import EvidenceLimits, EvidenceStore, Overlay, picture
from smartbox.ids import Uuid7
from smartbox.outbox import Entry, Limits, Outbox
from smartbox.types import Event
from tests.faults.trace import MARKS
from tests.link.events import Events

LIMITS = Limits(history_rows=40)


class Worker:
    """One life of the storage after another, in one process."""

    def __init__(self, state: Path, seed: int) -> None:
        self._state = state
        self._dice = random.Random(seed)
        self._clock = ManualClock()
        self._new_id = Uuid7(self._clock.utc, self._dice)
        self._events = Events(self._clock, seed)
        self._evidence = EvidenceStore(state / "evidence", EvidenceLimits(free=0))
        self._said = os.open(state.with_name(MARKS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._open()

    def _open(self) -> None:
        self._outbox = Outbox(self._state, self._clock, self._new_id, "park-a", "box-017", LIMITS)
        self._outbox.open()

    def _say(self, *words: object) -> None:
        os.write(self._said, (" ".join(map(str, words)) + "\n").encode())

    def work(self, rounds: int) -> None:
        acts = [self.put, self.put, self.picture, self.many, self.send, self.send, self.refuse, self.tend]
        for i in range(rounds):
            self._clock.advance(1)
            if i % 60 == 59:
                self.restart()
            self._dice.choice(acts)()

    def _next(self) -> Event:
        known = self._outbox.open_episodes()
        if known and self._dice.random() < 0.6:
            begin = self._dice.choice(known)
            return self._events.end(begin) if self._dice.random() < 0.5 else self._events.update(begin)
        return self._events.begin(self._dice.choice(["alarm", "notice"]))

    def _committed(self, events: list[Event]) -> None:
        for event in events:
            self._say("put", event.id, event.seq, event.phase, event.episode)

    def put(self) -> None:
        self._committed([self._outbox.put(self._next())])

    def picture(self) -> None:
        """Files first, then the row."""
        event = self._events.begin()
        image = self._dice.randbytes(32 * 32 * 3)
        shot = np.frombuffer(image, np.uint8).reshape(32, 32, 3)
        moments = ("", "clean", "start")[: self._dice.randrange(1, 4)]
        files = [picture(shot, Overlay(), event.id, self._clock.utc(), moment) for moment in moments]
        references = self._evidence.save_all(files)
        self._committed([self._outbox.put(event, references, b"small")])

    def many(self) -> None:
        entries = [Entry(self._events.begin()) for _ in range(self._dice.randrange(2, 40))]
        self._committed(self._outbox.put_all(entries))

    def send(self) -> None:
        self._say("session", self._outbox.next_session())
        messages = [m for m in self._outbox.take(self._dice.randrange(1, 20)) if self._dice.random() < 0.8]
        for message in messages:
            if message.topic.startswith("event/"):
                self._say("sent", json.loads(message.payload)["id"])
        self._outbox.ack(m.n for m in messages)
        self._outbox.release()

    def refuse(self) -> None:
        for message in self._outbox.take(1):
            for _ in range(self._dice.choice((1, 5))):
                self._outbox.fail(message.n, "0x97 quota exceeded")

    def tend(self) -> None:
        self._outbox.tend()

    def restart(self) -> None:
        self._outbox.close()
        self._open()


def save_a_file(path: Path, rounds: int) -> None:
    """Row 10: the same file again and again, each time with another length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = os.open(path.parent.with_name(MARKS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for i in range(rounds):
        write_durably(path, content(i))
        os.write(said, f"saved {i}\n".encode())


def content(i: int) -> bytes:
    return b"%d\n" % i * (1 + i * 701 % 3000)


if __name__ == "__main__":
    where, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if seed < 0:
        save_a_file(where / "file", count)
    else:
        Worker(where, seed).work(count)
