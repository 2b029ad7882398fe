"""A loudspeaker of this machine plays a sound (extra `mic`)."""

import threading
import wave
from collections import defaultdict
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from smartbox import portaudio
from smartbox.errors import OutputError
from smartbox.outputs._base import OutputSettings
from smartbox.portaudio import LIBRARY, Player, PortAudioError
from smartbox.types import Event

BLOCK_S = 0.1  # written at once: `stop` is noticed after so long
_TURNS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)  # many a device takes one player at a time


class Plugin(OutputSettings):
    """Plays a WAV file when an alarm begins."""

    sound: Path
    """The file: WAV, 16 bit, one or two channels, a minute at most. Relative paths start at the working directory."""
    device: str = Field("default", min_length=1)
    """Name of the device, or the beginning of it; `default`: the system's."""
    repeat: int = Field(1, ge=1, le=20)
    """How often it is played, one after the other."""

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        _read(self.sound)  # an alarm is no time to find out
        return self

    def play(self, output_id: str, event: Event, stop: threading.Event) -> None:  # noqa: ARG002  all sound alike
        try:
            rate, channels, data = _read(self.sound)
        except ValueError as error:
            raise OutputError(f"{output_id}: {error}") from error.__cause__
        try:
            self._play(data * self.repeat, rate, channels, stop)
        except PortAudioError as error:
            raise OutputError(f"{output_id}: {error}") from error.__cause__

    def _play(self, data: bytes, rate: int, channels: int, stop: threading.Event) -> None:
        api = LIBRARY.enter()
        try:
            device = portaudio.find(self.device, portaudio.devices(api, "speaker"), "speaker")
            turn = _TURNS[device.name]
            while not turn.acquire(timeout=BLOCK_S):
                if stop.is_set():
                    return
            try:
                _write(Player(api, device, rate, channels), data, round(BLOCK_S * rate) * 2 * channels, stop)
            finally:
                turn.release()
        finally:
            LIBRARY.leave()


def _write(player: Player, data: bytes, block: int, stop: threading.Event) -> None:
    try:
        for start in range(0, len(data), block):
            if stop.is_set():
                return
            player.write(data[start : start + block])
    finally:
        player.close()


def _read(path: Path) -> tuple[int, int, bytes]:
    """(rate, channels, int16 samples) of a WAV file; ValueError says what is wrong with it."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            count = file.getnframes()
            if width != 2 or channels > 2 or count > 60 * rate:
                what = f"{8 * width} bit, {channels} channels, {count} samples at {rate} Hz"
                raise ValueError(f"{path} is {what}; it must be 16 bit, one or two channels, a minute at most")
            data = file.readframes(count)
            if not data:
                raise ValueError(f"{path} holds no sound; it must be a WAV file with at least one sample")
            return rate, channels, data
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {str(error) or 'it ends too early'}") from error
