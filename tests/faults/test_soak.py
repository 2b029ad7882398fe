"""Row 34: one box for SOAK_MINUTES (default 10) while its link, broker, camera and disk fail at random.

Whatever grows with every fault would show: memory, threads and descriptors are read in the calm after each of them, and
the first third of the readings (caches fill) is compared with nothing.
"""

import contextlib
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from smartbox.outbox import FILE_NAME, read_records
from tests.e2e.conftest import Box, documents, scripted_bundle, seen
from tests.e2e.test_faults import gate, record
from tests.faults.proxy import PUBACK, Proxy
from tests.mosquitto import Consumer, Mosquitto, wait_for

READY = "smartbox.daemon: ready"
MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
Tell = Callable[[str, object], None]


@dataclass(frozen=True)
class Reading:
    rss: int
    threads: int
    files: int


class Faults:
    """What may happen to a running box; each method does it and puts it right again."""

    def __init__(self, broker: Mosquitto, proxy: Proxy, clip: Path, dice: random.Random) -> None:
        self._broker, self._proxy, self._clip, self._dice = broker, proxy, clip, dice
        self.done: dict[str, int] = {}

    def one(self) -> None:
        fault = self._dice.choice(
            [self.broker_away, self.black_hole, self.slow, self.no_pubacks, self.cut, self.camera]
        )
        self.done[fault.__name__] = self.done.get(fault.__name__, 0) + 1
        fault()

    def _last(self) -> None:
        time.sleep(self._dice.uniform(1, 8))  # the fault's own length

    def broker_away(self) -> None:
        self._broker.stop()
        self._last()
        self._broker.start()

    def black_hole(self) -> None:
        self._proxy.hole = True
        self._last()
        self._proxy.hole = False
        self._proxy.cut()  # a line that swallowed packets is never whole again

    def slow(self) -> None:
        self._proxy.delay, self._proxy.loss = 0.6, 0.02
        self._last()
        self._proxy.delay = self._proxy.loss = 0.0

    def no_pubacks(self) -> None:
        self._proxy.eat = frozenset({PUBACK})
        self._last()
        self._proxy.eat = frozenset()

    def cut(self) -> None:
        for _ in range(3):
            self._proxy.cut()
            time.sleep(0.5)

    def camera(self) -> None:
        """The recording is gone, and back."""
        away = self._clip.rename(self._clip.with_suffix(".away"))
        self._last()
        away.rename(self._clip)


@pytest.mark.faults
@pytest.mark.row(34)
@pytest.mark.timeout(MINUTES * 60 + 900)
def test_row_34_soak(tmp_path: Path, mosquitto: Mosquitto, consumer: Consumer, record_property: Tell) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    proxy, clip = Proxy(mosquitto.port), record(tmp_path / "gate.mp4", gate(6.0), 5)
    faults = Faults(mosquitto, proxy, clip, random.Random(seed))
    box = Box(configuration(tmp_path, proxy.port, clip), tmp_path / "box.log").start()
    readings: list[Reading] = []
    try:
        wait_for(lambda: documents(consumer, "event/alarm"), "events flow", 60)
        process = psutil.Process(box._process.pid)  # type: ignore[union-attr]
        until = time.monotonic() + MINUTES * 60
        while time.monotonic() < until:
            faults.one()
            seen_before = len(documents(consumer, "event/alarm"))
            wait_for(
                lambda n=seen_before: len(documents(consumer, "event/alarm")) > n, f"events after {faults.done}", 200
            )  # type: ignore[misc]
            assert box.running, box.log[-3000:]
            readings.append(Reading(process.memory_info().rss, process.num_threads(), process.num_fds()))
        # At the product's pace the last back-off may be long; what is to be shown is that nothing is missing.
        assert box.stop() == 0
    finally:
        if box.running:
            box.kill()
    owed, starts = held(tmp_path), box.log.count(READY)
    with contextlib.closing(box.start()):
        wait_for(lambda: box.log.count(READY) > starts, "the box is back", 60)
        wait_for(lambda: owed <= received(consumer), "what was left when it stopped", 300)
        assert box.stop() == 0
    proxy.close()
    assert "Traceback" not in box.log
    told(readings, faults, consumer, owed, record_property)


def configuration(directory: Path, port: int, clip: Path) -> Path:
    bundle = scripted_bundle(directory / "eyes", *[seen("person")] * 6, *[seen()] * 12)
    config = directory / "smartbox.yaml"
    names = ["a", "b", "c"]
    sources = "".join(f"{n}: {{type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}, " for n in names)
    sources += f"clip: {{type: file, path: {clip}, loop: true, model: eyes, gate: false}}"
    names.append("clip")
    zones = ", ".join(f"z{n}: {{source: {n}, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}" for n in names)
    rules = ", ".join(f"r{n}: {{type: intrusion, zones: [z{n}], dwell: 0s, clear: 1s, cooldown: 0s}}" for n in names)
    config.write_text(
        f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {directory / 'state'}}}\n"
        f"mqtt: {{url: mqtt://127.0.0.1:{port}, connect_timeout: 2s}}\n"
        f"models: {{eyes: {{bundle: {bundle.path}, backends: [scripted]}}}}\n"
        f"sources: {{{sources}}}\nzones: {{{zones}}}\nrules: {{{rules}}}\n"
    )
    return config


def held(directory: Path) -> set[int]:
    """Numbers of all events that the box put."""
    return {json.loads(record.body)["seq"] for record in read_records(directory / "state" / FILE_NAME)}


def received(consumer: Consumer) -> set[int]:
    return {json.loads(m.payload)["seq"] for m in consumer.on("event/")}


def told(readings: list[Reading], faults: Faults, consumer: Consumer, owed: set[int], record_property: Tell) -> None:
    calm = readings[len(readings) // 3 :]
    half = len(calm) // 2
    early, late = (statistics.median(r.rss for r in part) for part in (calm[:half], calm[half:]))
    drift = late / early - 1
    threads = {r.threads for r in calm}
    files = statistics.median(r.files for r in calm[half:]) - statistics.median(r.files for r in calm[:half])
    record_property("repetitions", sum(faults.done.values()))
    record_property("minutes", f"{MINUTES:g}")
    record_property("faults", ", ".join(f"{name} {n}" for name, n in sorted(faults.done.items())))
    record_property("events", len(received(consumer)))
    record_property("lost", len(owed - received(consumer)))
    record_property("RSS drift", f"{drift:+.1%} of {early / 2**20:.0f} MiB")
    record_property("threads", f"{min(threads)} to {max(threads)}")
    record_property("descriptors", f"{files:+.0f}")
    record_property("held", drift < 0.05 and max(threads) - min(threads) <= 2 and files <= 2)
