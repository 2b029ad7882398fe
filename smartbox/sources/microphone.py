"""A microphone of this machine, found by its name wherever it is plugged in (extra `mic`)."""

import threading
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from av.audio.frame import AudioFrame
from pydantic import Field

from smartbox import portaudio
from smartbox.clock import Clock
from smartbox.errors import SourceError
from smartbox.portaudio import LIBRARY, PortAudioError, Recorder
from smartbox.settings import Duration
from smartbox.sources._av import Ear, wall_time
from smartbox.sources._base import SourceSettings
from smartbox.sources._pump import Pump
from smartbox.sources._timeline import LiveTimeline
from smartbox.types import AudioChunk

BLOCK_S = 0.1  # read at once
_OTHERS_S = 0.02  # between looks whether the other users of an outdated list have left it


class Plugin(SourceSettings):
    """Listens to a microphone; its sound is 16 kHz mono whatever the device gives."""

    retry_most: ClassVar[float] = 5.0

    device: str = Field("default", min_length=1)
    """Name of the device, or the beginning of it, such as `USB PnP Sound Device`; a name that is wrong is answered by
    those that are there. The `(hw:1,0)` behind a name says where it is plugged in, and is not looked at.
    `default`: the system's."""

    timeout: Duration = Field(5.0, ge=1, le=9)
    """The microphone counts as lost when it delivers nothing for so long (s)."""

    @property
    def sees(self) -> bool:
        return False

    def read(self, source_id: str, clock: Clock, stop: threading.Event) -> Iterator[AudioChunk]:
        """Chunks of 0.5 s; SourceError when there is no such device, it is in use, or it was unplugged.

        The name is looked up anew on each call.
        """
        pump: Pump[AudioChunk] = Pump(
            f"microphone {source_id}", clock, lambda pump: _listen(self, source_id, clock, pump)
        )
        try:
            yield from pump.items(stop, first=2 * self.timeout, then=self.timeout)
        except TimeoutError:
            raise SourceError(f"{source_id}: {self.device} delivers no sound") from None
        except PortAudioError as error:
            raise SourceError(f"{source_id}: {error}") from error.__cause__


def _listen(settings: Plugin, source_id: str, clock: Clock, pump: Pump[AudioChunk]) -> Iterator[AudioChunk]:
    """In the pump's thread: open and read; when a card came or went, leave the library with all others and come back.

    Only so does it list its devices anew, and another microphone that was plugged in is found.
    """
    ear = Ear(source_id, wall_time(clock))
    while not pump.left:
        api = LIBRARY.enter()
        try:
            if not LIBRARY.stale:
                device = portaudio.find(settings.device, portaudio.devices(api, "microphone"), "microphone")
                recorder = Recorder(api, device, round(BLOCK_S * device.rate))
                try:
                    yield from _record(recorder, device.rate, clock, pump, ear)
                finally:
                    recorder.close()
        finally:
            LIBRARY.leave()
        threading.Event().wait(_OTHERS_S)


def _record(recorder: Recorder, rate: int, clock: Clock, pump: Pump[AudioChunk], ear: Ear) -> Iterator[AudioChunk]:
    timeline, position = LiveTimeline(), 0.0
    while not pump.left and not LIBRARY.stale:
        data = recorder.read()
        pump.beat()
        frame = _frame(data, rate, recorder.channels)
        length = frame.samples / rate
        began = timeline.at(clock.monotonic() - length, position)
        position += length
        yield from ear.hear(frame, began)


def _frame(data: bytes, rate: int, channels: int) -> AudioFrame:
    samples = np.frombuffer(data, np.int16).reshape(1, -1)
    frame = AudioFrame.from_ndarray(samples, "s16", "mono" if channels == 1 else "stereo")
    frame.sample_rate = rate
    return frame
