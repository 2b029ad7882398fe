"""Kill -9 at any moment loses nothing that put has returned. (It proves nothing about power cuts.)"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartbox.clock import SystemClock
from smartbox.cloudevent import from_json
from smartbox.ids import Uuid7
from smartbox.outbox import Outbox
from smartbox.types import Event
from tests.mosquitto import Consumer, Mosquitto, wait_for

ROOT = Path(__file__).resolve().parents[2]
TOLD = {
    "repetitions": "repeats",
    "inside put": "in_put",
    "before the PUBACK": "in_flight",
    "events noted": "noted",
    "lost": "lost",
    "duplicates": "duplicates",
}


def kill(directory: Path, repeats: int, life: float) -> dict[str, Any]:
    """Kill a box `repeats` times; compares the side log with what a consumer received, and returns the figures."""
    broker = Mosquitto(directory / "mosquitto")
    broker.start()
    consumer = Consumer(broker.port)
    try:
        seed = random.SystemRandom().randrange(1 << 30)
        command = [
            sys.executable,
            "-m",
            "tests.faults.kill9",
            directory / "box" / "state",
            broker.port,
            repeats,
            seed,
            life,
        ]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        began = time.monotonic()
        done = subprocess.run(
            [*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
        figures: dict[str, Any] = json.loads(done.stdout)
        noted = [line.split() for line in (directory / "box" / "side.log").read_text().splitlines()]
        ids = {new_id for new_id, *_ in noted}
        wait_for(lambda: ids <= received(consumer).keys(), "every noted event at the consumer", 60.0)
        figures["seconds"] = round(time.monotonic() - began, 1)
        check_episodes(directory / "box" / "state", received(consumer))
        check_order(consumer)
    finally:
        consumer.close()
        broker.stop()
    got = received(consumer)
    seqs = [event.seq for event in got.values()]
    assert len(seqs) == len(set(seqs)), "a number was used twice"
    figures |= {
        "noted": len(ids),
        "received": len(got),
        "duplicates": len(consumer.on("event/")) - len(got),
        "lost": len(ids - got.keys()),
        "pictures": len(consumer.on("picture/")),
    }
    return figures


def received(consumer: Consumer) -> dict[str, Event]:
    """By id; each message is read once."""
    seen: dict[str, Event] = consumer.__dict__.setdefault("seen", {})
    messages = consumer.messages
    for message in messages[consumer.__dict__.get("read", 0) :]:
        if "/event/" in message.topic:
            event = from_json(message.payload)
            seen.setdefault(event.id, event)
        consumer.__dict__["read"] = consumer.__dict__.get("read", 0) + 1
    return seen


def check_episodes(state: Path, got: dict[str, Event]) -> None:
    """Every begin that anyone was told of is still open, or has its end."""
    outbox = Outbox(state, SystemClock(), Uuid7(time.time, random.Random()), "park-a", "box-017")
    outbox.open()
    still = {event.episode for event in outbox.open_episodes()}
    outbox.close()
    begun = {event.episode for event in got.values() if event.phase == "begin"}
    ended = {event.episode for event in got.values() if event.phase == "end"}
    assert begun - ended == still and ended <= begun


def check_order(consumer: Consumer) -> None:
    """No picture before its begin."""
    begun = set()
    for message in consumer.messages:
        if "/event/" in message.topic:
            begun.add(from_json(message.payload).episode)
        elif "/picture/" in message.topic:
            assert message.topic.rpartition("/")[2] in begun


def table(figures: dict[str, Any]) -> str:
    moments = " ".join(map(str, figures["moments"]))
    lines = [f"kill -9, {figures['repeats']} times, uniform in {figures['life_s']} s (by tenths: {moments})"]
    lines += [f"  {name:20} {count:5}" for name, count in sorted(figures["places"].items())]
    lines += [f"  {key:20} {figures[key]:5}" for key in ("in_put", "in_flight", "noted", "duplicates", "lost")]
    return "\n".join(lines)


def test_fifty_times(tmp_path: Path) -> None:
    figures = kill(tmp_path, 50, 0.4)
    print(table(figures))
    assert figures["lost"] == 0
    assert figures["in_put"] >= 5 and figures["in_flight"] >= 5, table(figures)


def long_enough(directory: Path) -> float:
    """A life three times as long as it takes to open the outbox on this machine, so that most die at work."""
    life = 0.7
    for i in range(4):
        figures = kill(directory / str(i), 20, life)
        opening = figures["places"].get("opening", 0) / 20
        if opening <= 0.4:
            break
        life *= max(1.2, 3 * opening)
    return life


@pytest.mark.faults
@pytest.mark.row(8)
@pytest.mark.timeout(3600)
def test_a_thousand_times(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    figures = kill(tmp_path / "thousand", 1000, long_enough(tmp_path / "pilot"))
    for name, key in TOLD.items():
        record_property(name, figures[key])
    print(table(figures))
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "kill9.json").write_text(json.dumps(figures, indent=2) + "\n")
    assert figures["lost"] == 0
    assert figures["in_put"] >= 200 and figures["in_flight"] >= 200, table(figures)
