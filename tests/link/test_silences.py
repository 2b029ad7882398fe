"""A silence from above lasts over restarts, kill -9 included, and ends by the clock; its file may be damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartbox.clock import ManualClock
from smartbox.errors import StorageError
from smartbox.silences import FILE_NAME, Silences
from tests.e2e.conftest import Box, scripted_bundle, seen, start
from tests.link.box import Cloud
from tests.mosquitto import wait_for

__all__ = ["start"]

# Somebody comes and goes, again and again.
VISITS = [*[seen("person")] * 5, *[seen()] * 10]
RULE = "{type: intrusion, zones: [yard], dwell: 0s, clear: 0.5s, cooldown: 0s}"


class Rules:
    """Those of one source: until when each was told to be silent."""

    def __init__(self) -> None:
        self.until: dict[str, float] = {}

    def silence(self, rule: str, until: float) -> bool:
        self.until[rule] = until
        return True


def opened(state: Path, clock: ManualClock) -> tuple[Silences, Rules]:
    rules = Rules()
    silences = Silences(state, clock, {"gate": rules})
    silences.open()
    return silences, rules


def begins(cloud: Cloud, rule: str) -> int:
    found: list[dict[str, Any]] = [json.loads(m.payload)["data"] for m in cloud.on("event/alarm/intrusion")]
    return sum(data["phase"] == "begin" and data["rule"]["id"] == rule for data in found)


@pytest.mark.timeout(240)
def test_over_kill_9_and_a_restart(tmp_path: Path, start: Callable[..., Box], cloud: Cloud) -> None:
    bundle = scripted_bundle(tmp_path / "eyes", *VISITS)
    box = start(
        "{gate: {type: simulator, scene: gate, fps: 10, model: eyes, gate: false}}",
        f"{{quiet: {RULE}, brief: {RULE}, loud: {RULE}}}",
        "{yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}",
        f"{{bundle: {bundle.path}, backends: [scripted]}}",
    )

    def loud(times: int) -> None:
        wanted = begins(cloud, "loud") + times
        wait_for(lambda: begins(cloud, "loud") >= wanted, "alarms of the rule that is not silent", 60)

    box.wait_log("connected to")
    wait_for(lambda: begins(cloud, "quiet") and begins(cloud, "brief"), "alarms of both", 60)
    cloud.command("silence", "q", rule="quiet", **{"for": "1h"})
    until = cloud.answer("q", "done")["detail"]["until"]
    loud(1)
    before = begins(cloud, "quiet")
    cloud.command("silence", "b", rule="brief", **{"for": "1s"})
    cloud.answer("b", "done")
    box.kill()
    box.start()
    loud(2)
    assert begins(cloud, "quiet") == before
    cloud.command("resync", "r")
    cloud.answer("r", "done")
    wait_for(lambda: (cloud.last("tele/health") or {}).get("silences"), "the health report")
    assert {"rule": "quiet", "source": "gate", "until": until} in cloud.last("tele/health")["silences"]
    ran_out = begins(cloud, "brief")
    wait_for(lambda: begins(cloud, "brief") > ran_out, "the rule whose silence is over")
    assert begins(cloud, "quiet") == before
    cloud.command("silence", "end", rule="quiet", **{"for": "0s"})
    cloud.answer("end", "done")
    wait_for(lambda: begins(cloud, "quiet") > before, "an alarm after the silence")


def test_what_is_left_is_told_by_the_wall_clock(tmp_path: Path) -> None:
    clock = ManualClock()
    opened(tmp_path, clock)[0].order("lane", ["gate"], 600.0)
    later = ManualClock(monotonic=5.0, utc=clock.utc() + 200.0)
    silences, rules = opened(tmp_path, later)
    assert rules.until == {"lane": pytest.approx(405.0)}
    assert [(s.rule, s.source, s.until) for s in silences.told()] == [("lane", "gate", clock.utc() + 600.0)]
    _, over = opened(tmp_path, ManualClock(monotonic=5.0, utc=clock.utc() + 601.0))
    assert over.until["lane"] < 5.0


def test_a_clock_that_is_set_later_is_believed_then(tmp_path: Path) -> None:
    """Not set at all: nothing is silent. Behind by an hour: no longer silent than was ever wanted."""
    clock = ManualClock()
    opened(tmp_path, clock)[0].order("lane", ["gate"], 600.0)
    boot = ManualClock(monotonic=5.0, utc=10.0)
    silences, rules = opened(tmp_path, boot)
    assert rules.until == {}
    boot.jump(clock.utc() - 3600.0 - boot.utc())
    silences.tend()
    assert rules.until == {"lane": 605.0}
    boot.jump(3900.0)
    silences.tend()
    assert rules.until == {"lane": pytest.approx(305.0, abs=1)}


def test_one_of_this_run_lasts_its_seconds_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = ManualClock()
    silences, rules = opened(tmp_path, clock)
    silences.order("lane", ["gate"], 600.0)
    clock.jump(86400.0)
    silences.tend()
    assert rules.until == {"lane": 1600.0}
    clock.advance(100.0)
    _, after = opened(tmp_path, ManualClock(monotonic=0.0, utc=clock.utc()))
    assert after.until == {"lane": pytest.approx(500.0)}


def test_a_file_cut_at_any_byte_is_the_one_before_and_never_a_reason_not_to_start(tmp_path: Path) -> None:
    clock = ManualClock()
    silences, _ = opened(tmp_path, clock)
    silences.order("lane", ["gate"], 600.0)
    silences.order("yard", ["gate"], 600.0)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert set(opened(tmp_path, clock)[1].until) == {"lane"}
    path.write_bytes(whole)
    assert set(opened(tmp_path, clock)[1].until) == {"lane", "yard"}
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    silences, rules = opened(tmp_path, clock)
    assert rules.until == {} and silences.told() == []
    silences.order("yard", ["gate"], 60.0)
    assert set(opened(tmp_path, clock)[1].until) == {"yard"}


def test_what_cannot_be_remembered_has_not_been_done(tmp_path: Path) -> None:
    clock = ManualClock()
    silences, rules = opened(tmp_path, clock)
    (tmp_path / f".{FILE_NAME}.new").mkdir()
    with pytest.raises(StorageError):
        silences.order("lane", ["gate"], 600.0)
    assert rules.until == {} and silences.told() == []


def test_what_is_over_is_forgotten_and_what_is_no_silence_left_out(tmp_path: Path) -> None:
    clock = ManualClock()
    silences, _ = opened(tmp_path, clock)
    silences.order("lane", ["gate"], 10.0)
    silences.order("porch", ["gate"], 600.0)
    silences.order("porch", ["gate"], 0.0)
    clock.advance(11.0)
    silences.order("yard", ["gate", "gate"], 10.0)
    assert {s.rule for s in opened(tmp_path, clock)[0].told()} == {"yard"}
    silences._file.save({"silences": [{"rule": 5}, "x"]})
    assert opened(tmp_path, clock)[1].until == {}
