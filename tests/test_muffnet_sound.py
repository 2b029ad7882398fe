"""The shipped ears hear the simulator's alarms over a quiet room, by the rule, and nothing in the room alone."""

from collections.abc import Iterator

import pytest

from smartbox.bundle import Bundle
from smartbox.lab.evaluate_sound import Listener, raised
from smartbox.simulation.sound import Sound, sound
from tests.conftest import ROOT

LABELS = ("smoke_alarm", "siren", "gunshot", "explosion")


@pytest.fixture(scope="module")
def ears() -> Iterator[Listener]:
    listener = Listener(Bundle.open(ROOT / "models" / "muffnet-sound"), "onnxruntime")
    yield listener
    listener.session.close()


@pytest.mark.parametrize("kind", ["t3", "t4"])
@pytest.mark.parametrize("seed", [21, 22, 23])
def test_alarms_are_heard(ears: Listener, kind: Sound, seed: int) -> None:
    heard = list(ears.stream(sound(kind, 12, seed)))
    assert raised(heard, ("smoke_alarm",)) == ["smoke_alarm"]


def test_a_quiet_room_raises_nothing(ears: Listener) -> None:
    assert raised(list(ears.stream(sound("background", 20, 24))), LABELS) == []
