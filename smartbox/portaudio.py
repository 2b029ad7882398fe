"""PortAudio, by PyAudio (extra `mic`): this machine's sound devices by their names, to be listened to or played on.

Only this file imports it. Its exceptions, and devices that are not there, are PortAudioError.
"""

import ctypes
import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from smartbox.errors import SmartboxError

CARDS = Path("/proc/asound/cards")  # changes when a sound card comes or goes
INT16 = 8  # paInt16
_PLACE = re.compile(r"\s*\(hw:\d+,\d+\)$")  # ` (hw:1,0)`: where it is plugged in, which is not its name
What = Literal["microphone", "speaker"]


class PortAudioError(SmartboxError):
    """The sound library is absent, or a device is: the caller says for whom."""


@dataclass(frozen=True, slots=True)
class Device:
    """One entry of PortAudio's list, which is good until the list is made anew. rate: Hz, the device's own."""

    index: int
    name: str
    rate: int
    channels: int


class Library:
    """The list of devices is made when the first user comes: when it is out of date, all must leave."""

    def __init__(self, cards: Path = CARDS) -> None:
        self._cards = cards
        self._lock = threading.Lock()
        self._api: Any = None
        self._users = 0
        self._listed = ""

    def enter(self) -> Any:
        """The API, for `devices` and the streams below; `leave` it again."""
        with self._lock:
            if self._users == 0:
                self._listed = self._present()
                self._api = _pyaudio().PyAudio()
            self._users += 1
            return self._api

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._api.terminate()
                self._api = None

    @property
    def stale(self) -> bool:
        """A sound card came or went since the devices were listed."""
        return self._present() != self._listed

    def _present(self) -> str:
        try:
            return self._cards.read_text()
        except OSError:  # no ALSA: a sound server's devices only
            return ""


LIBRARY = Library()


def devices(api: Any, what: What) -> list[Device]:
    """Everything that can be listened to, or played on."""
    key = "maxInputChannels" if what == "microphone" else "maxOutputChannels"
    listed = [api.get_device_info_by_index(i) for i in range(api.get_device_count())]
    return [Device(d["index"], str(d["name"]), round(d["defaultSampleRate"]), d[key]) for d in listed if d[key] > 0]


def find(wanted: str, known: Sequence[Device], what: What) -> Device:
    """The device of that name: exactly, else without its place, else by how it begins. PortAudioError lists them."""
    place = _PLACE.sub("", wanted)
    bare = {device: _PLACE.sub("", device.name) for device in known}
    for fits in (
        [d for d in known if d.name == wanted],
        [d for d in known if place and bare[d] == place],
        [d for d in known if place and bare[d].lower().startswith(place.lower())],
    ):
        if fits:
            return fits[0]
    found = ", ".join(dict.fromkeys(bare.values())) or "none at all"
    raise PortAudioError(f"there is no {what} {wanted!r}; found: {found}")


class Recorder:
    """An open microphone: int16, one or two channels interleaved."""

    def __init__(self, api: Any, device: Device, block: int) -> None:
        """block: samples of each channel that one `read` gives."""
        self.channels, self._device, self._block = min(2, device.channels), device, block
        self._stream = _open(api, device, rate=device.rate, channels=self.channels, block=block, input=True)

    def read(self) -> bytes:
        """Waits for the next block."""
        try:
            data: bytes = self._stream.read(self._block, exception_on_overflow=False)
        except OSError as error:
            raise PortAudioError(f"{self._device.name} stopped: {_why(error)}; was it unplugged?") from error
        return data

    def close(self) -> None:
        _close(self._stream)


class Player:
    """An open speaker: takes int16, interleaved."""

    def __init__(self, api: Any, device: Device, rate: int, channels: int) -> None:
        self._device = device
        self._stream = _open(api, device, rate=rate, channels=channels, block=rate // 10, output=True)

    def write(self, data: bytes) -> None:
        """Waits until there is room for it."""
        try:
            self._stream.write(data)
        except OSError as error:
            raise PortAudioError(f"{self._device.name} stopped: {_why(error)}; was it unplugged?") from error

    def close(self) -> None:
        """After what was written has been heard."""
        _close(self._stream)


def _open(api: Any, device: Device, *, rate: int, channels: int, block: int, **way: bool) -> Any:
    key = "input_device_index" if "input" in way else "output_device_index"
    try:
        return api.open(
            rate=rate, channels=channels, format=INT16, frames_per_buffer=block, **way, **{key: device.index}
        )
    except (OSError, ValueError) as error:
        raise PortAudioError(f"{device.name} cannot be opened: {_why(error)}; is it in use?") from error


def _close(stream: Any) -> None:
    try:
        stream.stop_stream()
        stream.close()
    except OSError:  # of a device that is gone
        return


def _why(error: Exception) -> str:
    """PortAudio's exceptions hold a number and a text, in either order."""
    return next((part for part in error.args if isinstance(part, str)), str(error))


def _pyaudio() -> Any:
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    try:
        import pyaudio
    except ImportError as error:
        raise PortAudioError(f"{error}; apt install portaudio19-dev, then pip install 'smartbox[mic]'") from error
    _hush()
    return pyaudio


# PortAudio, ALSA and JACK tell stderr of everything that they try in vain; what matters comes as an exception.
_alsa_said = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p)(
    lambda *_said: None
)
_text = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _said: None)


def _hush() -> None:
    for library, setter, said in (
        ("libasound.so.2", "snd_lib_error_set_handler", _alsa_said),
        ("libportaudio.so.2", "PaUtil_SetDebugPrintFunction", _text),
        ("libjack.so.0", "jack_set_error_function", _text),
        ("libjack.so.0", "jack_set_info_function", _text),
    ):
        with suppress(OSError, AttributeError):  # a machine without it has nothing to hush
            getattr(ctypes.CDLL(library), setter)(said)
