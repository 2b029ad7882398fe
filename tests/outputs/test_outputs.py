"""What the box does on site: which alarms are answered, how often, and what comes out of a real sound server."""

import threading
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox.announcer import WAITING, Announcer
from smartbox.clock import ManualClock, SystemClock
from smartbox.errors import OutputError
from smartbox.outputs._base import OutputSettings
from smartbox.outputs.speaker import Plugin
from smartbox.simulation.sound import RATE, write_wav
from smartbox.sources import microphone
from smartbox.types import Event
from tests.pulse import running

ALARM = Event(
    id="1", cls="alarm", kind="sound", phase="begin", time_utc=1_767_268_800.0, monotonic=0.0, severity="high",
    rule="smoke", camera="hall", zone=None, episode="1", started_utc=1_767_268_800.0, dwell_s=1.0,
)  # fmt: skip


class Bell(OutputSettings):
    """An output that only remembers."""

    def play(self, output_id: str, event: Event, stop: threading.Event) -> None:
        RUNG.append(f"{output_id} {event.rule}")


RUNG: list[str] = []


def wav(path: Path, seconds: float = 1.0, pitch: float = 800.0) -> Path:
    t = np.arange(round(seconds * RATE)) / RATE
    write_wav(path, np.asarray(0.5 * np.sin(2 * np.pi * pitch * t), np.float32))
    return path


def rung(announcer: Announcer, count: int) -> list[str]:
    RUNG.clear()
    stop = threading.Event()
    thread = threading.Thread(target=announcer.run, args=(stop,))
    thread.start()
    deadline = threading.Event()
    for _ in range(100):
        if len(RUNG) >= count:
            break
        deadline.wait(0.05)
    stop.set()
    thread.join(5)
    return list(RUNG)


@pytest.mark.parametrize(
    ("settings", "changes", "answered"),
    [
        ({}, {}, True),
        ({"rules": ["smoke", "fire"]}, {}, True),
        ({"rules": ["fire"]}, {}, False),
        ({}, {"phase": "end"}, False),
        ({}, {"cls": "notice"}, False),
        ({"schedule": {"timezone": "UTC", "windows": [{"days": "daily", "from": "11:00", "to": "13:00"}]}}, {}, True),
        ({"schedule": {"timezone": "UTC", "windows": [{"days": "daily", "from": "20:00", "to": "06:00"}]}}, {}, False),
    ],
)
def test_which_alarms_are_answered(settings: dict[str, Any], changes: dict[str, Any], answered: bool) -> None:
    assert Bell.model_validate(settings).answers(replace(ALARM, **changes)) is answered


def test_an_output_rests_for_its_cooldown_and_others_do_not_wait_for_it() -> None:
    clock = ManualClock()
    announcer = Announcer({"bell": Bell(cooldown=30), "horn": Bell(cooldown=0, rules=("fire",))}, clock)
    announcer.tell([ALARM, ALARM, replace(ALARM, rule="fire")])
    clock.advance(29)
    announcer.tell([ALARM])
    clock.advance(2)
    announcer.tell([ALARM])
    assert sorted(rung(announcer, 3)) == ["bell smoke", "bell smoke", "horn fire"]


def test_alarms_do_not_pile_up() -> None:
    announcer = Announcer({"bell": Bell(cooldown=0)}, ManualClock())
    announcer.tell([ALARM] * 20)
    assert len(rung(announcer, WAITING)) == WAITING


class Siren(Bell):
    """Does not end by itself."""

    def play(self, output_id: str, event: Event, stop: threading.Event) -> None:
        super().play(output_id, event, stop)
        stop.wait()


class Missing(Bell):
    """Is not there."""

    def play(self, output_id: str, event: Event, stop: threading.Event) -> None:
        raise OutputError(f"{output_id}: there is no speaker")


def test_outputs_do_not_wait_for_one_another(caplog: pytest.LogCaptureFixture) -> None:
    bells = {f"bell-{i}": Bell(cooldown=0) for i in range(WAITING + 2)}
    announcer = Announcer({"away": Missing(cooldown=0), "long": Siren(cooldown=0), **bells}, ManualClock())
    announcer.tell([ALARM, ALARM])
    expected = sorted(["long smoke", *(f"{name} smoke" for name in bells for _ in range(2))])
    assert sorted(rung(announcer, len(expected))) == expected  # the second alarm finds the siren at it
    assert caplog.text.count("output away: there is no speaker") == 2


def test_a_file_that_is_no_sound_is_refused_when_it_is_configured(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("la la")
    (tmp_path / "song.wav").write_text("la la la la la")
    (tmp_path / "empty.wav").touch()
    silent = bytearray(wav(tmp_path / "silent.wav", 0).read_bytes())
    silent[24:28] = bytes(4)  # Hz
    (tmp_path / "timeless.wav").write_bytes(silent[:40] + (2).to_bytes(4, "little") + bytes(2))
    for name, says in (
        ("none", "No such file"),
        ("text", "is no WAV file: it ends too early"),
        ("song", "is no WAV file: file does not start with RIFF id"),
        ("empty", "is no WAV file: it ends too early"),
        ("silent", "holds no sound"),
        ("timeless", "1 samples at 0 Hz"),
    ):
        with pytest.raises(ValidationError, match=says):
            Plugin(sound=tmp_path / f"{name}.wav")
    with pytest.raises(ValidationError, match="a minute at most"):
        Plugin(sound=wav(tmp_path / "long.wav", 61))


def test_what_it_plays_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path / "pulse", "street") as pulse:
        for key, value in pulse.environment.items():
            monkeypatch.setenv(key, value)
        pulse.plug("street")
        stop = threading.Event()
        speaker = Plugin(sound=wav(tmp_path / "bell.wav", 2.0), device="street-out", repeat=10)
        player = threading.Thread(target=speaker.play, args=("bell", ALARM, stop))
        player.start()
        reader = microphone.Plugin(device="street").read("mic", SystemClock(), threading.Event())
        heard = next((c for c in islice(reader, 40) if np.abs(c.samples).max() > 0.3), None)
        stop.set()
        player.join(20)
        assert not player.is_alive()
    assert heard is not None
    assert abs(int(np.abs(np.fft.rfft(heard.samples)).argmax()) * 2 - 800) <= 10


def test_a_speaker_that_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("pyaudio")
    speaker = Plugin(sound=wav(tmp_path / "bell.wav"), device="nobody's speaker")
    with pytest.raises(OutputError, match="bell: there is no speaker"):
        speaker.play("bell", ALARM, threading.Event())
