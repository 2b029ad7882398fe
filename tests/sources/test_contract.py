"""What every source promises; finds each member by itself."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox import plugins
from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.sources import v4l2
from smartbox.sources._base import SourceSettings
from smartbox.types import AudioChunk, Frame, Sample
from tests.pulse import running

from .camera import HttpCamera, serving
from .test_v4l2 import STABLE, Tree, UsbCamera

NAMES = plugins.names("sources")
Read = Callable[[threading.Event], Iterator[Sample]]
every = pytest.mark.parametrize("name", NAMES)

# Settings that any machine accepts, and a device, host or file that none has (None: nothing can be missing).
SETTINGS: dict[str, dict[str, Any]] = {
    "file": {"path": "clip.mp4"},
    "http": {"url": "http://127.0.0.1/"},
    "microphone": {},
    "rtsp": {"url": "rtsp://127.0.0.1/"},
    "simulator": {"scene": "gate", "width": 160, "height": 90},
    "v4l2": {"device": 0},
}
MISSING: dict[str, dict[str, Any] | None] = {
    "file": {"path": "/nowhere/clip.mp4"},
    "http": {"url": "http://127.0.0.1:9/"},
    "microphone": {"device": "nobody's microphone"},
    "rtsp": {"url": "rtsp://127.0.0.1:9/"},
    "simulator": None,
    "v4l2": {"device": "/dev/v4l/by-id/usb-nobody-video-index0"},
}


def plugin(name: str, **more: Any) -> SourceSettings:
    assert name in SETTINGS and name in MISSING, f"give source {name!r} its settings in test_contract.py"
    loaded: SourceSettings = plugins.load("sources", name)(**{**SETTINGS[name], **more})
    return loaded


class Park:
    """A real, working input for every member; `silence` makes it deliver nothing more, where it can."""

    def __init__(self, request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> None:
        self.request, self.tmp_path, self.stack = request, tmp_path, stack
        self.silence: Callable[[], object] = lambda: None

    def reader(self, name: str) -> Read:
        prepare = getattr(self, f"_{name}", lambda: plugin(name))
        made = prepare()
        if callable(made):
            return made
        return lambda stop: made.read("cam", SystemClock(), stop)

    def _file(self) -> SourceSettings:
        return plugin("file", path=self.request.getfixturevalue("clip"), loop=True)

    def _http(self) -> SourceSettings:
        camera = self.stack.enter_context(serving(HttpCamera()))
        self.silence = camera.silent.set
        return plugin("http", url=camera.url(), timeout=9)

    def _microphone(self) -> SourceSettings:
        pulse = self.stack.enter_context(running(self.tmp_path / "pulse", "street"))
        for key, value in pulse.environment.items():
            self.request.getfixturevalue("monkeypatch").setenv(key, value)
        pulse.plug("street")
        self.silence = pulse.freeze
        self.stack.callback(pulse.thaw)
        return plugin("microphone", device="street", timeout=9)

    def _rtsp(self) -> SourceSettings:
        server = self.request.getfixturevalue("rtsp_server")({"/a": self.request.getfixturevalue("clip")})
        self.silence = server.freeze
        return plugin("rtsp", url=server.url("/a"), timeout=9)

    def _v4l2(self) -> Read:
        tree = Tree(self.tmp_path / "dev")
        tree.plug("video0", STABLE)
        camera = v4l2.Plugin(device=STABLE, timeout=9)
        opened: list[UsbCamera] = []

        def opener(node: str) -> UsbCamera:
            opened.append(UsbCamera(tree, node))
            return opened[-1]

        def silence() -> None:
            opened[-1].silent = True
            self.stack.callback(opened[-1].released.set)

        self.silence = silence
        return lambda stop: camera.read("cam", SystemClock(), stop, opener=opener, dev=tree.root)


@pytest.fixture
def park(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Park]:
    with ExitStack() as stack:
        yield Park(request, tmp_path, stack)


@every
def test_a_frozen_settings_model(name: str) -> None:
    settings = plugin(name)
    assert isinstance(settings, SourceSettings)
    with pytest.raises(ValidationError):
        settings.fps = 7.0  # type: ignore[misc]
    assert (settings.fps, settings.min_interval, settings.gate, settings.model) == (5.0, 1.5, True, None)


@every
@pytest.mark.parametrize(
    "bad",
    [{"no_such_key": 1}, {"fps": 0}, {"fps": "fast"}, {"min_interval": "soon"}, {"min_interval": 0}, {"gate": []}],
)
def test_bad_settings_are_refused(name: str, bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        plugin(name, **bad)
    assert [error["loc"][0] for error in caught.value.errors()] == list(bad)


@every
def test_every_field_is_described(name: str) -> None:
    schema = plugins.load("sources", name).model_json_schema()
    bare = [key for key, field in schema["properties"].items() if not field.get("description")]
    assert not bare


@pytest.mark.parametrize("name", [name for name in NAMES if MISSING.get(name, {}) is not None])
def test_what_is_missing_is_a_source_error_with_the_sources_name(name: str) -> None:
    missing = MISSING.get(name) or {}
    for _ in range(2):  # and again on the next try
        with pytest.raises(SourceError, match=r"^cam: "):
            list(plugin(name, **missing).read("cam", SystemClock(), threading.Event()))


@every
def test_frames_increase_in_time_and_have_their_shapes(name: str, park: Park) -> None:
    stop = threading.Event()
    reader = park.reader(name)(stop)
    samples = [next(reader) for _ in range(6)]
    stop.set()
    frames = [s for s in samples if isinstance(s, Frame)]
    if not frames:
        assert all(isinstance(s, AudioChunk) for s in samples)
        assert np.diff([s.time for s in samples]) == pytest.approx(0.5, abs=0.1)
        return
    for frame in frames:
        assert frame.source == "cam"
        assert frame.image.shape == (frame.height, frame.width, 3) and frame.image.dtype == np.uint8
        assert frame.luma.shape == (frame.height, frame.width) and frame.luma.dtype == np.uint8
        assert abs(frame.luma.mean(dtype=float) - frame.image.mean(dtype=float)) < 40
    assert np.diff([f.time for f in frames]).min() > 0
    assert np.diff([f.seq for f in frames]).min() > 0
    assert np.diff([f.utc - f.time for f in frames]).max() < 0.5
    assert len(samples) / 6 * 4 <= 5 * (samples[-1].time - samples[0].time) + 1.01  # no more than fps
    assert abs(samples[-1].utc - time.time()) < 60


@every
def test_stop_before_the_first_frame(name: str, park: Park) -> None:
    stop = threading.Event()
    stop.set()
    assert list(park.reader(name)(stop)) == []


@every
@pytest.mark.parametrize("silent", [False, True])
def test_stops_soon_even_while_nothing_comes(name: str, park: Park, silent: bool) -> None:
    stop = threading.Event()
    reader = park.reader(name)(stop)
    next(reader)
    if silent:
        park.silence()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    for _ in reader:
        pass
    assert time.monotonic() - began < 5  # the promise is 1 s; the device's own time-out is 9 s


@every
def test_closing_the_reader_ends_its_threads(name: str, park: Park) -> None:
    reader = park.reader(name)(threading.Event())
    next(reader)
    own = [thread for thread in threading.enumerate() if thread.name == "camera cam"]
    reader.close()  # type: ignore[attr-defined]
    for thread in own:
        thread.join(10)
        assert not thread.is_alive()
