"""Row 31: two hundred boxes lose their broker for a minute, and do not fall upon it when it is back."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from smartbox.clock import ManualClock
from smartbox.cloudevent import from_json
from smartbox.pace import Backlog, Pace
from tests.mosquitto import Consumer, Mosquitto, wait_for

ROOT = Path(__file__).resolve().parents[2]
BOXES, PROCESSES = 200, 4
AWAY = 60.0  # s
Tell = Callable[[str, object], None]


def busiest_second(times: Sequence[float]) -> int:
    """The most of these moments that lie within any one second."""
    moments = np.sort(np.asarray(times))
    return int(max(np.searchsorted(moments, moments + 1.0) - np.arange(len(moments)), default=0))


def spread(times: Sequence[float]) -> float:
    """p5 to p95."""
    low, high = np.percentile(np.asarray(times), [5, 95])
    return float(high - low)


@pytest.mark.parametrize("seed", range(5))
def test_row_31_by_the_pace_alone(seed: int) -> None:
    """The same by calculation: each box finds the broker away at once and tries until it is back."""
    pace = Pace()
    back, first = [], []
    for i in range(BOXES):
        dice, clock, failures = random.Random(f"{seed} {i}"), ManualClock(0.0), 0
        while clock.monotonic() < AWAY:
            failures += 1
            clock.advance(pace.reconnect_wait(failures, dice))
        back.append(clock.monotonic())
        first.append(clock.monotonic() + Backlog(1, clock, pace, dice).wait())
    assert busiest_second(back) <= 40
    assert spread(np.subtract(first, back).tolist()) >= 8


class Swarm:
    """The boxes, in a few processes."""

    def __init__(self, state: Path, port: int) -> None:
        each = BOXES // PROCESSES
        command = [sys.executable, "-m", "tests.faults.swarm", str(state), str(port)]
        self._processes = [
            subprocess.Popen(
                [*command, str(i * each), str(each)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for i in range(PROCESSES)
        ]
        self._answers()

    def _answers(self) -> list[str]:
        found: list[str] = []
        for process in self._processes:
            assert process.stdout is not None
            found += json.loads(process.stdout.readline())
        return found

    def put(self, each: int) -> list[str]:
        """Ids of the events, in every outbox so many."""
        self._tell(f"put {each}")
        return self._answers()

    def _tell(self, line: str) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def close(self) -> None:
        self._tell("stop")
        for process in self._processes:
            with process:  # closes its pipes
                process.wait(60)


@pytest.fixture
def swarm(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path / "boxes", mosquitto.port)
    yield swarm
    swarm.close()


@pytest.mark.faults
@pytest.mark.row(31)
@pytest.mark.timeout(900)
def test_row_31_two_hundred_boxes(
    mosquitto: Mosquitto, consumer: Consumer, swarm: Swarm, record_property: Tell
) -> None:
    def boxes_seen() -> dict[str, float]:
        """When each box said first that it is there, since the messages were cleared."""
        seen: dict[str, float] = {}
        for message in consumer.on("birth"):
            if not message.retain:  # what the broker kept says nothing about now
                seen.setdefault(message.topic.split("/")[3], message.timestamp)
        return seen

    wait_for(lambda: len(boxes_seen()) == BOXES, "all boxes connected", 120)
    early = set(swarm.put(1))
    wait_for(lambda: early <= ids(consumer), "the first events", 60)
    mosquitto.stop()
    sent = set(swarm.put(10))
    time.sleep(AWAY)  # the fault itself
    consumer.messages.clear()
    mosquitto.start()
    wait_for(lambda: len(boxes_seen()) == BOXES, "all boxes back", 200)
    wait_for(lambda: sent <= ids(consumer), "everything", 120)
    connects = [m.timestamp for m in consumer.on("birth") if not m.retain]
    first: dict[str, float] = {}
    for message in consumer.on("event/"):
        if from_json(message.payload).replayed:
            first.setdefault(message.topic.split("/")[3], message.timestamp)
    after = [at - boxes_seen()[name] for name, at in first.items()]
    record_property("repetitions", 1)
    record_property("boxes", len(boxes_seen()))
    record_property("CONNECTs in the busiest second", busiest_second(connects))
    record_property("all back after", f"{max(boxes_seen().values()) - min(connects):.0f} s")
    record_property("first backlog publish p5-p95", f"{spread(list(first.values())):.1f} s")
    record_property("the same after each box' own CONNECT", f"{spread(after):.1f} s")
    record_property("events", len(sent))
    record_property("lost", len(sent - ids(consumer)))
    record_property("held", busiest_second(connects) <= 40 and spread(after) >= 8)


def ids(consumer: Consumer) -> set[str]:
    return {from_json(m.payload).id for m in consumer.on("event/")}
