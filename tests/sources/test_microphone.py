"""Microphones: a real sound server's monitor, found by name, lost and found again; and PortAudio's names."""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.simulation.sound import RATE, write_wav
from smartbox.sources.microphone import Plugin
from smartbox.types import AudioChunk, Floats
from tests.pulse import Pulse, running
from tests.sources.media import BootClock

SINKS = ("alley", "street")


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    with running(tmp_path / "pulse", *SINKS) as server:
        for key, value in server.environment.items():
            monkeypatch.setenv(key, value)
        server.plug("street")
        yield server


def tone(seconds: float, pitch: float) -> Floats:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(0.4 * np.sin(2 * np.pi * pitch * t), np.float32)


def listen(count: int, stop: threading.Event, device: str = "street") -> list[AudioChunk]:
    return list(islice(Plugin(device=device).read("mic", SystemClock(), stop), count))


def test_what_is_played_is_heard(pulse: Pulse, tmp_path: Path) -> None:
    write_wav(tmp_path / "tone.wav", tone(20, 1000))
    with pulse.play("street", tmp_path / "tone.wav"):
        chunks = listen(6, threading.Event())
    assert {(c.source, c.rate, len(c.samples)) for c in chunks} == {("mic", RATE, RATE // 2)}
    apart = np.diff([c.time for c in chunks])
    assert np.median(apart) == pytest.approx(0.5, abs=0.05)
    assert apart.min() > 0.45  # a machine that stands still leaves gaps, never sound twice
    spectrum = np.abs(np.fft.rfft(chunks[-1].samples))
    assert abs(int(spectrum.argmax()) * 2 - 1000) <= 4
    assert np.abs(chunks[-1].samples).max() == pytest.approx(0.4, abs=0.05)


def test_sound_follows_a_clock_that_is_set(pulse: Pulse) -> None:
    clock = BootClock()
    reader = Plugin(device="street").read("mic", clock, threading.Event())
    assert next(reader).utc < 1e9
    clock.set()
    late = next(chunk for chunk in islice(reader, 6) if chunk.utc > 1e9)  # some wait to be taken
    assert abs(late.utc - time.time()) < 30


def test_unplugged_and_back_under_another_index(pulse: Pulse) -> None:
    stop = threading.Event()
    reader = Plugin(device="street").read("mic", SystemClock(), stop)
    next(reader)
    pulse.unplug("street")
    with pytest.raises(SourceError, match=r"^mic: street "):
        for _ in reader:
            pass
    pulse.plug("alley")  # takes its number in the sound server
    with pytest.raises(SourceError, match=r"^mic: street cannot be opened: .*; is it in use\?"):
        listen(1, stop)
    pulse.plug("street")
    assert len(listen(2, stop)) == 2


def test_two_microphones_at_once(pulse: Pulse, tmp_path: Path) -> None:
    pulse.plug("alley")
    stop = threading.Event()
    street = Plugin(device="street").read("a", SystemClock(), stop)
    assert next(street).source == "a"
    write_wav(tmp_path / "tone.wav", tone(20, 500))
    with pulse.play("alley", tmp_path / "tone.wav"):
        loud = listen(5, stop, "alley")[-1]
    assert np.abs(loud.samples).max() > 0.3
    assert np.abs(next(street).samples).max() < 0.01
