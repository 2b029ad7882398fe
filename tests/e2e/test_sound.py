"""A real microphone to a real broker: what is played into a sound server's sink becomes an alarm."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.simulation.sound import sound, write_wav
from tests.conftest import ROOT
from tests.e2e.conftest import Box, documents
from tests.mosquitto import Consumer, wait_for
from tests.pulse import Pulse, running

EARS = f"{{bundle: {ROOT / 'models' / 'muffnet-sound'}, backends: [onnxruntime]}}"
MIC = "{hall: {type: microphone, device: street, model: eyes}}"
RULE = "{alarms: {type: sound, cameras: [hall], labels: [smoke_alarm, siren], cooldown: 0s}}"
Start = Callable[..., Box]


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    with running(tmp_path / "pulse", "street") as server:
        server.plug("street")
        yield server


def test_a_smoke_alarm_in_the_hall_reaches_the_broker(
    tmp_path: Path, start: Start, consumer: Consumer, pulse: Pulse
) -> None:
    start(MIC, RULE, model=EARS, **pulse.environment)
    wait_for(lambda: any(d["state"] == "online" for d in documents(consumer, "source/hall")), "the microphone", 60)
    write_wav(tmp_path / "t3.wav", sound("t3", 30, seed=3))
    with pulse.play("street", tmp_path / "t3.wav"):
        wait_for(lambda: documents(consumer, "event/alarm/sound"), "the alarm", 60)
    begin = documents(consumer, "event/alarm/sound")[0]["data"]
    assert (begin["phase"], begin["rule"], begin["severity"]) == ("begin", {"id": "alarms", "kind": "sound"}, "high")
    assert [thing["label"] for thing in begin["objects"]] == ["smoke_alarm"]
    assert begin["model"]["name"] == "muffnet-sound"
    assert begin["evidence"] == []  # nothing but label and score leaves the box
    said = json.dumps(begin)
    assert "samples" not in said and len(said) < 2000


def test_a_microphone_that_was_unplugged_is_bound_again(start: Start, consumer: Consumer, pulse: Pulse) -> None:
    def state() -> str:
        return str(documents(consumer, "source/hall")[-1]["state"]) if consumer.on("source/hall") else ""

    start(MIC, RULE, model=EARS, **pulse.environment)
    wait_for(lambda: state() == "online", "the microphone", 60)
    pulse.unplug("street")
    wait_for(lambda: state() == "offline", "that it is gone", 60)
    pulse.plug("street")
    wait_for(lambda: state() == "online", "that it is back", 60)
