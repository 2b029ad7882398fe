"""Commands against a whole daemon and a real mosquitto. Fault row 26: refused with an ack, run at most once."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.cloud.command import Command
from smartbox.cloud.ledger import Ledger
from smartbox.errors import StorageError
from tests.link.box import Box, Cloud, soon
from tests.mosquitto import Mosquitto, wait_for

GATE = """
sources: {gate: {type: simulator, scene: gate, fps: 5}}
"""
Boxes = Callable[..., Box]


@pytest.fixture
def boxes(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Boxes]:
    made: list[Box] = []

    def make(more: str = "", **rest: str) -> Box:
        made.append(Box(tmp_path / "box", mosquitto.url, more, **rest))
        return made[-1].start()

    yield make
    for box in made:
        box.stop()


def test_a_command_is_accepted_done_and_not_done_twice(boxes: Boxes, cloud: Cloud) -> None:
    boxes().connected()
    cloud.command("resync", "c-1")
    cloud.answer("c-1", "done")
    assert [ack["status"] for ack in cloud.acks("c-1")] == ["accepted", "done"]
    cloud.command("resync", "c-1")
    again = cloud.answer("c-1", "duplicate")
    assert again["detail"]["reason"] == "came before and is done"


@pytest.mark.parametrize(
    ("name", "payload", "status", "said"),
    [
        ("resync", {"id": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expired", "expired at 2020"),
        ("resync", {"id": "x", "expires_at": "2020-01-01T00:00:00"}, "refused", "is no time"),
        ("resync", {"id": "x", "expires_at": "2999-01-01T00:00:00Z"}, "refused", "more than 7 days"),
        ("resync", {"id": "x"}, "refused", "write it as 2026"),
        ("resync", {"id": "x", "expires_at": soon(), "args": [1]}, "refused", "must be an object"),
        ("resync", {"id": "x", "expires_at": soon(), "extra": 1}, "refused", "'extra'"),
        ("reboot", {"id": "x", "expires_at": soon()}, "refused", "known are snapshot"),
        ("resync", {"id": "x", "expires_at": soon(), "args": {"a": "b" * 16384}}, "refused", "oversize: 16"),
        ("resync", {"id": "no blanks", "expires_at": soon()}, "refused", "1 to 64 of"),
        ("resync", [], "refused", "must be an object"),
    ],
)
def test_what_is_refused_and_why(
    boxes: Boxes, cloud: Cloud, name: str, payload: object, status: str, said: str
) -> None:
    boxes().connected()
    cloud.publish(f"cmd/{name}", json.dumps(payload))
    has_id = isinstance(payload, dict) and payload["id"] == "x"
    ack = cloud.answer("x" if has_id else None, status)
    assert said in ack["detail"]["reason"]
    cloud.command("resync", "after")
    cloud.answer("after", "done")
    assert cloud.acks("x" if has_id else None) == [ack], "and nothing else"


def test_bytes_that_are_no_json_are_refused(boxes: Boxes, cloud: Cloud) -> None:
    boxes().connected()
    for n, payload in enumerate((b"\xff\xfe", b"{", b"", b"[" * 16000, b'{"id": NaN}', b"9" * 10000), 1):
        cloud.publish("cmd/resync", payload)
        wait_for(lambda n=n: len(cloud.acks(None)) == n, f"an answer to {payload[:20]!r}")  # type: ignore[misc]
    assert all("malformed" in ack["detail"]["reason"] for ack in cloud.acks(None))


def test_a_retained_command_is_refused_at_once_and_at_every_connect(
    boxes: Boxes, cloud: Cloud, mosquitto: Mosquitto
) -> None:
    box = boxes()
    box.connected()
    cloud.command("test-alarm", "stuck", retain=True)
    assert "retained" in cloud.answer("stuck", "refused")["detail"]["reason"]
    mosquitto.stop()
    mosquitto.start()
    wait_for(lambda: len(cloud.acks("stuck")) > 1, "refused again")
    cloud.publish("cmd/test-alarm", b"", retain=True)
    assert {ack["status"] for ack in cloud.acks("stuck")} == {"refused"}
    assert not cloud.on("event/alarm/test")


def test_a_command_that_waited_at_the_broker_is_run_once_and_an_old_one_not(
    boxes: Boxes, cloud: Cloud, tmp_path: Path
) -> None:
    """The broker keeps commands for a box that is away; a restart in between does not run them twice."""
    box = boxes()
    box.connected()
    box.stop()
    cloud.command("test-alarm", "kept")
    cloud.command("test-alarm", "short", seconds=0.01)
    box.start()
    cloud.answer("kept", "done")
    cloud.answer("short", "expired")
    cloud.command("restart", "again")
    cloud.answer("again", "done")
    assert box.starts == 3
    cloud.command("test-alarm", "kept")
    cloud.answer("kept", "duplicate")
    cloud.command("resync", "after")
    cloud.answer("after", "done")
    alarms = [json.loads(m.payload) for m in cloud.on("event/alarm/test")]
    assert len({alarm["id"] for alarm in alarms}) == 1


def test_a_command_that_a_power_cut_interrupted_is_not_run_again(boxes: Boxes, cloud: Cloud, tmp_path: Path) -> None:
    box = Box(tmp_path / "box", "mqtt://127.0.0.1:1")
    box.state.mkdir(parents=True)
    begun = {"id": "cut", "name": "test-alarm", "expires": 4e9, "status": "accepted", "detail": {}, "told": False}
    (box.state / "commands.jsonl").write_text(json.dumps(begun) + '\n{"id": "torn", "na')
    boxes().connected()
    assert "interrupted" in cloud.answer("cut", "failed")["detail"]["reason"]
    cloud.command("test-alarm", "cut")
    assert cloud.answer("cut", "duplicate")["detail"]["reason"].startswith("came before and is failed")
    cloud.command("resync", "torn")
    cloud.answer("torn", "done")
    assert not cloud.on("event/alarm/test")


def test_nothing_is_acknowledged_that_could_not_be_stored(boxes: Boxes, cloud: Cloud, mosquitto: Mosquitto) -> None:
    """The list of commands cannot be written: the broker keeps the command, and it runs when it can be."""
    box = boxes()
    box.connected()
    blocked = box.state / "commands.jsonl"
    blocked.unlink(missing_ok=True)
    blocked.mkdir()
    cloud.command("test-alarm", "later")
    wait_for(lambda: box.daemon and box.daemon.publisher._unsafe, "the command held back")
    assert not cloud.acks("later")
    mosquitto.stop()
    blocked.rmdir()
    mosquitto.start()
    cloud.answer("later", "done")
    assert [ack["status"] for ack in cloud.acks("later")] == ["accepted", "done"]


def test_a_test_alarm_goes_the_way_of_all_alarms_and_has_a_picture(boxes: Boxes, cloud: Cloud) -> None:
    box = boxes(GATE)
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
    cloud.command("test-alarm", "t", note="hello")
    done = cloud.answer("t", "done")
    wait_for(lambda: cloud.on("event/alarm/test") and cloud.on("picture/"), "the event and its picture")
    event = json.loads(cloud.on("event/alarm/test")[-1].payload)
    assert event["id"] == done["detail"]["event"] and event["data"]["detail"]["test"] is True
    assert event["data"]["detail"]["note"] == "hello" and event["data"]["ended_at"]
    (file,) = event["data"]["evidence"]
    content = (box.state / "evidence" / file["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == file["sha256"]


def test_a_snapshot_is_kept_announced_and_shown(boxes: Boxes, cloud: Cloud) -> None:
    box = boxes(GATE)
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
    cloud.command("snapshot", "s", source="gate")
    detail = cloud.answer("s", "done")["detail"]
    wait_for(lambda: cloud.on("media/") and cloud.on("picture/"), "the announcement")
    assert cloud.last(f"media/{detail['event']}") == detail
    content = (box.state / "evidence" / detail["name"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == detail["sha256"] and len(content) == detail["bytes"]
    cloud.command("snapshot", "s2", source="nowhere")
    assert "known are gate" in cloud.answer("s2", "failed")["detail"]["reason"]


def test_what_cannot_be_done_says_so(boxes: Boxes, cloud: Cloud) -> None:
    boxes().connected()
    cases = {
        "clip": ({}, "known are none"),
        "silence": ({"rule": "x", "for": "5min"}, "known are none"),
        "snapshot": ({}, "known are none"),
        "upload": ({"name": "../smartbox.yaml", "url": "https://a.example/"}, "no such file"),
        "rotate-key": ({}, "not encrypted"),
        "factory-reset": ({"box": "park-a/box-2"}, "must be 'park-a/box-1'"),
        "resync": ({"now": True}, "takes none"),
        "test-alarm": ({"note": 5}, "must be text"),
    }
    for name, (args, said) in cases.items():
        cloud.command(name, f"no-{name}", **args)
        assert said in cloud.answer(f"no-{name}", "failed")["detail"]["reason"]


def test_reload_takes_a_good_file_and_refuses_a_bad_one(boxes: Boxes, cloud: Cloud) -> None:
    box = boxes()
    box.connected()
    good = box.config.read_text()
    box.config.write_text(good + "rules: {a: {type: fire_lan}}\n")
    cloud.command("reload", "bad")
    errors = cloud.answer("bad", "failed")["detail"]["errors"]
    assert errors[0]["path"] == "rules.a.type" and box.starts == 1
    box.config.write_text(good + GATE)
    cloud.command("reload", "good")
    cloud.answer("good", "done")
    wait_for(lambda: cloud.last("source/gate"), "the new camera")


def test_silence_keeps_a_rule_quiet_until_it_ends(boxes: Boxes, cloud: Cloud) -> None:
    zone = "zones: {yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
    rule = "rules: {quiet: {type: tamper, cameras: [gate]}}"
    box = boxes(f"{GATE}{zone}\n{rule}\n")
    box.connected()
    cloud.command("silence", "q", rule="quiet", **{"for": "10min"})
    detail = cloud.answer("q", "done")["detail"]
    assert detail["rule"] == "quiet" and detail["sources"] == ["gate"]
    cloud.command("silence", "q2", rule="quiet", **{"for": "a while"})
    assert "write it as" in cloud.answer("q2", "failed")["detail"]["reason"]


def test_a_factory_reset_forgets_events_and_pictures_but_not_numbers(boxes: Boxes, cloud: Cloud) -> None:
    box = boxes(GATE)
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
    cloud.command("test-alarm", "t")
    seq = cloud.answer("t", "done")["detail"]["seq"]
    kept = list((box.state / "evidence").iterdir())
    assert kept
    cloud.command("factory-reset", "f", box="park-a/box-1")
    cloud.answer("f", "done")
    assert not any(path.exists() for path in kept)
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
    cloud.command("test-alarm", "t2")
    assert cloud.answer("t2", "done")["detail"]["seq"] > seq
    cloud.command("test-alarm", "t")
    cloud.answer("t", "duplicate")


def test_birth_says_what_can_be_told(boxes: Boxes, cloud: Cloud) -> None:
    boxes(GATE).connected()
    wait_for(lambda: cloud.last("birth"), "the birth")
    abilities = cloud.last("birth")["capabilities"]
    assert {"snapshot", "silence", "factory-reset"} <= set(abilities["commands"])
    vehicle = abilities["settings"]["rules"]["fire_lane"]["vehicle"]
    assert vehicle == {"type": "duration", "min": 10, "max": 3600, "default": 60.0}
    assert abilities["settings"]["sources"]["simulator"]["fps"]["default"] == 5.0


def test_the_list_of_commands_forgets_what_has_expired_and_only_that(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "commands.jsonl", bound=3)
    ledger.open()
    for n, expires in enumerate((100.0, 1e6, 1e6)):
        ledger.told(ledger.accept(Command("resync", f"c{n}", expires), 50.0))
    with pytest.raises(StorageError, match="none has expired"):
        ledger.accept(Command("resync", "c3", 1e6), 60.0)
    ledger.accept(Command("resync", "c3", 1e6), 100.0 + 2 * 86400)
    assert ledger.find("c0") is None and ledger.find("c1") is not None
    ledger.close()
    again = Ledger(tmp_path / "commands.jsonl", bound=3)
    again.open()
    assert again.find("c3") is not None and again.find("c0") is None
