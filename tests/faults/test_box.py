"""Rows 15, 24 and 32 on the whole box: the clock jumps, the processor is taken away, nothing is there at the start."""

import itertools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Box, documents, scripted_bundle, seen, start
from tests.e2e.test_faults import gate, record
from tests.faults.starve import Stress
from tests.mosquitto import Consumer, Mosquitto, wait_for

__all__ = ["start"]

Start = Callable[..., Box]
Tell = Callable[[str, object], None]

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
PLACES = 4
YARD = "{yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
INTRUSION = "{yard-closed: {type: intrusion, zones: [yard], dwell: 0s, clear: 0.5s, cooldown: 0s}}"
GATE = "{gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}"
SLOWLY = "{gate: {type: simulator, scene: gate, fps: 2, model: eyes, gate: false}}"


class FakeTime:
    """The wall clock of a process under libfaketime; its monotonic clock stays the machine's."""

    def __init__(self, directory: Path) -> None:
        if FAKETIME is None:
            pytest.skip("libfaketime is not installed: `make test` installs it")
        self._file = directory / "faketime"
        self.environment = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, text: str) -> None:
        """As faketime writes it: `+1d`, `-1h`, `@1970-01-01 00:00:10`."""
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.replace(self._file)


@pytest.fixture
def faketime(tmp_path: Path) -> FakeTime:
    return FakeTime(tmp_path)


def alarms(consumer: Consumer, phase: str) -> list[dict[str, Any]]:
    found = [d for d in documents(consumer, "event/alarm/intrusion") if d["data"]["phase"] == phase]
    return list({d["id"]: d for d in found}.values())


def standing_at(place: int) -> dict[str, Any]:
    left = place / PLACES + 0.02
    return {"detections": [{"label": "person", "score": 0.9, "xyxy": [left, 0.3, left + 0.15, 0.8]}]}


@pytest.mark.faults
@pytest.mark.row(15)
@pytest.mark.timeout(300)
def test_row_15_the_clock_jumps(
    tmp_path: Path, start: Start, consumer: Consumer, faketime: FakeTime, record_property: Tell
) -> None:
    """Somebody comes and goes at four places in turn; a jump makes nobody and hides nobody."""
    faketime.set("@1970-01-01 00:00:10")
    visits = [[standing_at(place)] * 8 + [seen()] * 8 for place in range(PLACES)]
    bundle = scripted_bundle(tmp_path / "eyes", *itertools.chain(*visits))
    model = f"{{bundle: {bundle.path}, backends: [scripted]}}"
    rule = "{yard-closed: {type: intrusion, zones: [yard], dwell: 0s, clear: 2s, cooldown: 0s}}"
    box = start(SLOWLY, rule, YARD, model, **faketime.environment)
    jumps = ["@1970-01-01 00:00:10", "+0", "+1d", "-1h", "+0"]
    for i, jump in enumerate(jumps):
        faketime.set(jump)
        wait_for(lambda i=i: len(alarms(consumer, "end")) >= 3 * (i + 1), f"three visits after {jump}", 100)  # type: ignore[misc]
    wait_for(lambda: len(alarms(consumer, "end")) == len(alarms(consumer, "begin")), "the last end")
    begins = sorted(alarms(consumer, "begin"), key=lambda d: d["data"]["clock"]["monotonic_s"])
    years = sorted({int(d["time"][:4]) for d in begins})
    assert years[0] == 1970 and years[-1] >= 2025, "the clock of the box did not jump"
    assert len({d["seq"] for d in begins}) == len(begins)
    came = [round(d["data"]["objects"][0]["xyxy"][0] * PLACES) for d in begins]
    steps = [(later - earlier) % PLACES for earlier, later in itertools.pairwise(came)]
    record_property("jumps", len(jumps))
    record_property("alarms", len(begins))
    record_property("false", steps.count(0))
    record_property("missed", sum(step - 1 for step in steps if step > 1))
    assert set(steps) == {1}, f"they came to {came}"
    assert box.stop() == 0


VISIT, PAUSE = 200, 80  # pictures, of all cameras together


def judged(first: dict[str, Any], last: dict[str, Any]) -> list[float]:
    """Pictures a second of each camera that were looked at between two health reports."""
    began, ended = (datetime.fromisoformat(report["ts"]).timestamp() for report in (first, last))
    counts = [{n: s["received"] - s["replaced"] for n, s in r["sources"].items()} for r in (first, last)]
    return [(counts[1][name] - counts[0][name]) / (ended - began) for name in counts[1]]


@pytest.mark.faults
@pytest.mark.row(24)
@pytest.mark.timeout(600)
def test_row_24_the_processor_is_taken_away(
    tmp_path: Path, start: Start, mosquitto: Mosquitto, consumer: Consumer, stress: Stress, record_property: Tell
) -> None:
    """Four large cameras, somebody before all of them again and again, and endless loops: more than the box can do.

    Delays count from the first picture that shows somebody to the arrival at a consumer.
    """
    dwell, names, size = 2.0, ["a", "b", "c", "d"], "fps: 10, width: 1280, height: 720"
    bundle = scripted_bundle(tmp_path / "eyes", *[seen("person")] * VISIT, *[seen()] * PAUSE)
    sources = ", ".join(f"{n}: {{type: simulator, scene: gate, {size}, model: eyes, gate: false}}" for n in names)
    zones = ", ".join(f"z{n}: {{source: {n}, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}" for n in names)
    rule = f"type: intrusion, dwell: {dwell}s, clear: 0.5s, cooldown: 0s"
    watch = ", ".join(f"r{n}: {{{rule}, zones: [z{n}]}}" for n in names)
    model = f"{{bundle: {bundle.path}, backends: [scripted]}}"
    box = start(f"{{{sources}}}", f"{{{watch}}}", f"{{{zones}}}", model)
    stress.begin(box.pid, [os.getpid(), mosquitto.pid])
    wait_for(lambda: len(alarms(consumer, "begin")) >= len(names), "an alarm of each camera", 120)
    health = documents(consumer, "tele/health")[:1]
    consumer.messages.clear()
    wait_for(lambda: len(alarms(consumer, "begin")) >= 5 * len(names), "five alarms of each camera", 400)
    share = stress.share(box.pid)
    wait_for(lambda: documents(consumer, "tele/health"), "a health report under load", 130)
    health += documents(consumer, "tele/health")[-1:]
    arrived: dict[str, float] = {}
    for message in consumer.on("event/alarm/intrusion"):
        arrived.setdefault(json.loads(message.payload)["id"], message.timestamp)
    offset = time.time() - time.monotonic()
    delays = [
        arrived[d["id"]] + offset - datetime.fromisoformat(d["data"]["started_at"]).timestamp()
        for d in alarms(consumer, "begin")
    ]
    fps = judged(health[0], health[-1])
    record_property("conditions", stress.conditions)
    record_property("the box got of a processor", f"{share:.0%}")
    record_property("alarms", len(delays))
    record_property(f"worst delay with a dwell of {dwell:g} s", f"{max(delays):.1f} s")
    record_property("judged pictures/s of the four cameras, 10 wanted", " ".join(f"{f:.1f}" for f in fps))
    record_property("held", max(delays) < dwell + 5 and max(fps) <= 1.5 * min(fps))
    assert min(fps) > 0


@pytest.fixture
def stress() -> Iterator[Stress]:
    stress = Stress()
    yield stress
    stress.end()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of NOTIFY_SOCKET that systemd holds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(20)
        yield receiver


@pytest.mark.row(32)
def test_row_32_nothing_is_there_at_the_start(
    tmp_path: Path,
    start: Start,
    mosquitto: Mosquitto,
    systemd: socket.socket,
    faketime: FakeTime,
    record_property: Tell,
) -> None:
    """No broker, no camera, no time: ready all the same, and whole again when they come."""
    mosquitto.stop()
    faketime.set("@1970-01-01 00:00:10")
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    clip = tmp_path / "later.mp4"
    sources = f"{{gate: {{type: file, path: {clip}, model: eyes, loop: true, gate: false}}}}"
    environment = faketime.environment | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    began = time.monotonic()
    box = start(sources, INTRUSION, YARD, f"{{bundle: {bundle.path}, backends: [scripted]}}", **environment)
    while not systemd.recv(4096).startswith(b"READY=1"):
        pass
    took = time.monotonic() - began
    record_property("READY after", f"{took:.1f} s")
    record_property("held", took <= 10)
    box.wait_log("source gate is offline")
    faketime.set("+0")
    mosquitto.start()
    consumer = Consumer(mosquitto.port, "late")
    wait_for(lambda: any(d["state"] == "degraded" for d in documents(consumer, "state")), "degraded", 60)
    record(clip, gate(4.0), 5)
    wait_for(lambda: alarms(consumer, "begin"), "an alarm", 60)
    wait_for(lambda: documents(consumer, "state")[-1]["state"] == "ready", "ready", 30)
    assert "Traceback" not in box.log
    consumer.close()
    assert box.stop() == 0
