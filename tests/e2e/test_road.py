"""The whole road: a source, a model, a rule, the outbox, a real broker; and what breaks along it."""

import hashlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.e2e.conftest import Box, documents, scripted_bundle, seen
from tests.mosquitto import Consumer, Mosquitto, wait_for

GATE = "{gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}"
YARD = "{yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
INTRUSION = "{yard-closed: {type: intrusion, zones: [yard], dwell: 0s, clear: 1s, cooldown: 0s}}"
Start = Callable[..., Box]


def model(bundle: Path) -> str:
    return f"{{bundle: {bundle}, backends: [scripted]}}"


def test_an_alarm_with_its_picture_reaches_the_broker(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", *[seen("person")] * 20, *[seen()] * 500)
    start(GATE, INTRUSION, YARD, model(bundle.path))
    wait_for(lambda: len(documents(consumer, "event/alarm/intrusion")) >= 2, "begin and end", 40)
    begin, end = documents(consumer, "event/alarm/intrusion")[:2]
    assert (begin["data"]["phase"], end["data"]["phase"]) == ("begin", "end")
    assert begin["data"]["episode"] == end["data"]["episode"] == begin["id"]
    assert begin["data"]["rule"] == {"id": "yard-closed", "kind": "intrusion"}
    assert begin["data"]["model"]["backend"] == "scripted"
    evidence, clean = begin["data"]["evidence"]
    assert clean["name"] == f"{begin['id']}-clean.jpg"
    picture = (tmp_path / "state" / "evidence" / evidence["name"]).read_bytes()
    assert hashlib.sha256(picture).hexdigest() == evidence["sha256"]
    assert len(picture) == evidence["bytes"]
    wait_for(lambda: consumer.on("picture/"), "the thumbnail")
    (thumbnail,) = consumer.on("picture/")
    assert thumbnail.topic.endswith(begin["data"]["episode"])
    assert len(thumbnail.payload) <= 48 * 1024
    image = cv2.imdecode(np.frombuffer(thumbnail.payload, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[0] >= 180
    order = [m.topic for m in consumer.messages]
    assert order.index(thumbnail.topic) > next(i for i, t in enumerate(order) if "event/alarm" in t)


def test_a_stranger_sees_what_the_box_is_and_a_clean_stop(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    box = start(GATE, INTRUSION, YARD, model(bundle.path))
    wait_for(lambda: any(d["state"] == "ready" for d in documents(consumer, "state")), "ready")
    wait_for(lambda: any(d["state"] == "online" for d in documents(consumer, "source/gate")), "the source online")
    wait_for(lambda: documents(consumer, "active/yard-closed/gate"), "the open episode")
    wait_for(lambda: documents(consumer, "birth")[-1]["models"]["eyes"]["backend"] == "scripted", "the backend")
    assert documents(consumer, "birth")[-1]["rules"]["yard-closed"] == {"kind": "intrusion", "sources": ["gate"]}
    assert box.stop() == 0
    wait_for(lambda: documents(consumer, "state")[-1]["state"] == "stopped", "stopped")


def test_kill_9_keeps_the_open_episode(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    box = start(GATE, INTRUSION, YARD, model(bundle.path))
    wait_for(lambda: documents(consumer, "event/alarm/intrusion"), "begin")
    known = documents(consumer, "event/alarm/intrusion")[0]["id"]
    box.kill()
    consumer.messages.clear()
    box.start()
    crash = '"after":"crash"'
    wait_for(lambda: crash in str([m.payload for m in consumer.on("event/system/start")]), "start after a crash")
    wait_for(lambda: documents(consumer, "active/yard-closed/gate"), "the episode is still open")
    box.wait_log("ready")
    assert box.stop() == 0
    begins = [d for d in documents(consumer, "event/alarm/intrusion") if d["data"]["phase"] == "begin"]
    again = [d for d in begins if d["id"] != known]  # the known one may come twice: its PUBACK was on the way
    assert not again, "the same person must not be a new alarm after a restart"


def test_nothing_there_is_no_reason_not_to_start(tmp_path: Path, start: Start, mosquitto: Mosquitto) -> None:
    """Fault row 32: no broker, no camera, no model; each comes back by itself."""
    mosquitto.stop()
    bundle = scripted_bundle(tmp_path / "eyes", {"error": "no device"}, *[seen("person")] * 500)
    clip = tmp_path / "later.mp4"
    sources = f"{{gate: {{type: file, path: {clip}, model: eyes}}}}"
    box = start(sources, INTRUSION, YARD, model(bundle.path))
    box.wait_log("ready: ")
    box.wait_log("source gate is offline")
    mosquitto.start()
    consumer = Consumer(mosquitto.port, "late")
    wait_for(lambda: documents(consumer, "event/system/source_offline"), "the offline event", 40)
    (offline,) = documents(consumer, "event/system/source_offline")
    assert "later.mp4" in offline["data"]["detail"]["reason"]
    assert any(d["state"] == "degraded" for d in documents(consumer, "state"))
    assert box.running
    consumer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a read-only disk needs root")
def test_a_read_only_disk_is_no_reason_not_to_watch(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    """Fault row 13, at start: degraded, alarms from memory."""
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(state)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
        box = start(GATE, INTRUSION, YARD, model(bundle.path))
        wait_for(lambda: documents(consumer, "event/alarm/intrusion"), "the alarm", 40)
        wait_for(lambda: documents(consumer, "state")[-1]["state"] == "degraded", "degraded")
        assert "Traceback" not in box.log
        assert box.stop() == 0
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


def test_a_failing_model_is_said_and_the_next_backend_takes_over(
    tmp_path: Path, start: Start, consumer: Consumer
) -> None:
    """Fault row 22."""
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"error": "the accelerator is gone"}')
    backends = f"[{{type: scripted, file: {broken}}}, scripted]"
    start(GATE, INTRUSION, YARD, f"{{bundle: {bundle.path}, backends: {backends}}}")
    wait_for(lambda: documents(consumer, "event/system/backend_fallback"), "the fallback event", 40)
    assert "the accelerator is gone" in str(documents(consumer, "event/system/backend_fallback")[0]["data"])
    wait_for(lambda: documents(consumer, "event/alarm/intrusion"), "the alarm all the same", 40)


def test_reload_keeps_a_good_configuration_and_takes_a_better_one(
    tmp_path: Path, start: Start, consumer: Consumer
) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    box = start(GATE, INTRUSION, YARD, model(bundle.path))
    wait_for(lambda: documents(consumer, "event/alarm/intrusion"), "begin")
    config = tmp_path / "smartbox.yaml"
    good = config.read_text()
    config.write_text(good.replace("intrusion", "intrusoin"))
    box.signal(signal.SIGHUP)
    box.wait_log("reload refused")
    config.write_text(good.replace("yard-closed", "yard-shut"))
    box.signal(signal.SIGHUP)
    wait_for(lambda: documents(consumer, "active/yard-shut/gate"), "the renamed rule", 40)
    wait_for(lambda: '"end_reason":"config"' in str([m.payload for m in consumer.on("event/alarm")]), "the end", 40)
    assert box.stop() == 0


@pytest.mark.parametrize(
    ("change", "code", "hint"),
    [
        (("type: intrusion", "type: intrusoin"), 78, "did you mean 'intrusion'"),
        (("scene: gate", "scene: moon"), 78, "sources.gate.scene"),
        (("bundle: ", "bundle: /nowhere"), 78, "models.eyes.bundle"),
    ],
)
def test_a_bad_configuration_ends_with_78(
    tmp_path: Path, start: Start, change: tuple[str, str], code: int, hint: str
) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    arguments = [text.replace(*change) for text in (GATE, INTRUSION, YARD, model(bundle.path))]
    box = start(*arguments)
    assert box.wait() == code
    assert hint in box.log
    assert "Traceback" not in box.log
