"""USB cameras, through a device tree and a capture of our own: no camera is plugged into a build machine."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from smartbox.clock import SystemClock
from smartbox.errors import SourceError
from smartbox.sources.v4l2 import Plugin
from smartbox.types import Frame

STABLE = "usb-046d_C920_8A3F-video-index0"


class Tree:
    """A /dev with cameras that are plugged in and pulled out."""

    def __init__(self, root: Path) -> None:
        self.root, self.by_id = root, root / "v4l" / "by-id"
        self.by_id.mkdir(parents=True)
        self.pulled: dict[str, threading.Event] = {}

    def plug(self, node: str, stable: str = "") -> None:
        (self.root / node).touch()
        self.pulled[node] = threading.Event()
        if stable:
            (self.by_id / stable).symlink_to(f"../../{node}")

    def pull(self, node: str) -> None:
        self.pulled[node].set()
        (self.root / node).unlink()
        for link in self.by_id.iterdir():
            if not link.exists():
                link.unlink()


class UsbCamera:
    """A capture of 25 frames a second that ends when its node is pulled; the node's number is in the pixels."""

    opened: list["UsbCamera"]

    def __init__(self, tree: Tree, node: str, silent: bool = False, busy: bool = False) -> None:
        self.node, self.pulled = Path(node), tree.pulled[Path(node).name]
        self.silent, self.busy = silent, busy
        self.settings: list[tuple[int, float]] = []
        self.released = threading.Event()
        self.retrieved = 0

    def isOpened(self) -> bool:  # noqa: N802
        return not self.busy

    def set(self, prop: int, value: float) -> bool:
        self.settings.append((prop, value))
        return True

    def grab(self) -> bool:
        if self.silent:
            self.released.wait(8)
            return False
        return not self.pulled.wait(0.04)

    def retrieve(self) -> tuple[bool, np.ndarray]:
        self.retrieved += 1
        return True, np.full((48, 64, 3), int(self.node.name.removeprefix("video")), np.uint8)

    def release(self) -> None:
        self.released.set()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "dev")


class Bench:
    """Reads a plugin on a tree; keeps the captures that were opened."""

    def __init__(self, tree: Tree, **faults: bool) -> None:
        self.tree, self.faults = tree, faults
        self.captures: list[UsbCamera] = []
        self.stop = threading.Event()

    def open(self, node: str) -> UsbCamera:
        self.captures.append(UsbCamera(self.tree, node, **self.faults))
        return self.captures[-1]

    def read(self, plugin: Plugin) -> Iterator[Frame]:
        return plugin.read("gate", SystemClock(), self.stop, opener=self.open, dev=self.tree.root)  # type: ignore[return-value]


@pytest.mark.parametrize("device", [f"/dev/v4l/by-id/{STABLE}", STABLE, "/dev/video2", 2, "2"])
def test_every_way_to_name_a_camera(tree: Tree, device: str | int) -> None:
    tree.plug("video0")
    tree.plug("video2", STABLE)
    frame = next(Bench(tree).read(Plugin(device=device)))
    assert frame.image.shape == (48, 64, 3)
    assert frame.image[0, 0, 0] == 2


def test_frames_have_times_and_only_wanted_ones_are_decoded(tree: Tree) -> None:
    tree.plug("video0")
    bench = Bench(tree)
    reader = bench.read(Plugin(device=0, fps=5))
    frames = [next(reader) for _ in range(4)]
    assert np.diff([f.time for f in frames]).min() > 0.1
    assert [f.seq for f in frames] == [0, 1, 2, 3]
    assert abs(frames[0].utc - time.time()) < 60
    assert bench.captures[0].retrieved <= 5
    reader.close()  # type: ignore[attr-defined]
    assert bench.captures[0].released.wait(5)


def test_format_before_size(tree: Tree) -> None:
    tree.plug("video0")
    bench = Bench(tree)
    next(bench.read(Plugin(device=0, format="MJPG", width=1280, height=720)))
    assert bench.captures[0].settings == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
    ]


def test_unplugged_and_back_under_another_name(tree: Tree) -> None:
    tree.plug("video0", STABLE)
    bench, plugin = Bench(tree), Plugin(device=STABLE)
    reader = bench.read(plugin)
    assert next(reader).image[0, 0, 0] == 0
    tree.pull("video0")
    with pytest.raises(SourceError, match=r"gate: usb-046d.* \(video0\) stopped; was it unplugged\?"):
        list(reader)
    with pytest.raises(SourceError, match="there is no camera"):
        next(bench.read(plugin))
    tree.plug("video1")  # another one took a name
    tree.plug("video4", STABLE)
    assert next(bench.read(plugin)).image[0, 0, 0] == 4


def test_an_absent_camera_is_told_with_those_present(tree: Tree) -> None:
    with pytest.raises(SourceError, match="gate: there is no camera 3; found: none at all"):
        next(Bench(tree).read(Plugin(device=3)))
    tree.plug("video0", STABLE)
    tree.plug("video1")
    with pytest.raises(SourceError) as caught:
        next(Bench(tree).read(Plugin(device="usb-other")))
    assert str(caught.value).endswith(f"usb-other; found: /dev/v4l/by-id/{STABLE} (video0), /dev/video1")


def test_a_camera_in_use(tree: Tree) -> None:
    tree.plug("video0")
    bench = Bench(tree, busy=True)
    with pytest.raises(SourceError, match=r"gate: 0 \(video0\) cannot be opened"):
        next(bench.read(Plugin(device=0)))
    assert bench.captures[0].released.wait(5)


def test_a_camera_that_sends_nothing(tree: Tree) -> None:
    tree.plug("video0")
    bench = Bench(tree, silent=True)
    with pytest.raises(SourceError, match="sends no picture"):
        next(bench.read(Plugin(device=0, timeout=1)))
    bench.captures[0].released.set()


def test_stop_while_the_camera_is_silent(tree: Tree) -> None:
    tree.plug("video0")
    bench = Bench(tree, silent=True)
    threading.Timer(0.2, bench.stop.set).start()
    assert list(bench.read(Plugin(device=0, timeout=9))) == []
    bench.captures[0].released.set()


@pytest.mark.parametrize(
    "settings",
    [{}, {"device": "/etc/passwd"}, {"device": "/dev/../etc/passwd"}, {"device": 0, "format": "MJPEG"}],
)
def test_bad_settings(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Plugin.model_validate(settings)


def test_a_mistake_in_the_thread_is_raised_where_frames_are_read(tree: Tree) -> None:
    tree.plug("video0")

    def opener(node: str) -> UsbCamera:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(Plugin(device=0).read("gate", SystemClock(), threading.Event(), opener=opener, dev=tree.root))
