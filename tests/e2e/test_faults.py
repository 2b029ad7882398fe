"""Fault rows 17, 18, 19 and 33 on the whole box: real RTSP servers, real recordings, a real broker."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from smartbox.simulation import Film, Shot
from tests.e2e.conftest import Box, documents, scripted_bundle, seen
from tests.mosquitto import Consumer, wait_for
from tests.rtsp import rtsp_server

__all__ = ["rtsp_server"]

Start = Callable[..., Box]
Picture = np.ndarray


def record(path: Path, pictures: Iterator[Picture], fps: int) -> Path:
    """An H.264 file with a key frame every second."""
    with av.open(str(path), "w") as out:
        stream = None
        for picture in pictures:
            if stream is None:
                stream = out.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": str(fps), "qp": "22"})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        assert stream is not None
        out.mux(stream.encode())
    return path


def gate(seconds: float, fps: int = 5) -> Iterator[Picture]:
    film = Film(Shot("gate", 3, False, 320, 180))
    for i in range(int(seconds * fps)):
        yield film.take(i / fps, i)[0]


def rules(zone: str = "yard") -> str:
    return f"{{closed: {{type: intrusion, zones: [{zone}], dwell: 0s}}}}"


def states(consumer: Consumer, source: str) -> list[tuple[str, str]]:
    return [(d["state"], d["reason"] or "") for d in documents(consumer, f"source/{source}")]


def test_a_camera_that_drops_is_said_and_the_others_go_on(
    tmp_path: Path, start: Start, consumer: Consumer, rtsp_server: Callable[..., object]
) -> None:
    """Row 17: offline in <= 10 s, and back by itself."""
    clip = record(tmp_path / "gate.mp4", gate(8.0), 5)
    first, second = rtsp_server({"/a": clip}), rtsp_server({"/b": clip})
    bundle = scripted_bundle(tmp_path / "eyes", seen("person"))
    sources = "".join(
        f"{name}: {{type: rtsp, url: '{url}', model: eyes, gate: false}}, "
        for name, url in (("a", first.url("/a")), ("b", second.url("/b")))  # type: ignore[attr-defined]
    )
    zones = "{yard: {source: a, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
    start(f"{{{sources}}}", rules(), zones, f"{{bundle: {bundle.path}, backends: [scripted]}}")
    for source in "ab":
        wait_for(lambda s=source: ("online", "") in states(consumer, s), f"{source} online", 30)  # type: ignore[misc]
    port = first.port  # type: ignore[attr-defined]
    first.kill()  # type: ignore[attr-defined]
    began = time.monotonic()
    wait_for(lambda: states(consumer, "a")[-1][0] == "offline", "a offline", 15)
    assert time.monotonic() - began <= 12, "the offline event comes within 10 s (and its way to us)"
    wait_for(lambda: documents(consumer, "event/system/source_offline"), "the event")
    rtsp_server({"/a": clip}, port=port)
    wait_for(lambda: states(consumer, "a")[-1][0] == "online", "a back", 60)
    assert states(consumer, "b") == [("online", "")]
    wait_for(
        lambda: "end" in [d["data"]["phase"] for d in documents(consumer, "event/system/source_offline")], "its end"
    )


def test_faulty_pictures_are_told_apart(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    """Row 18: degraded with the reason in <= 30 s."""
    good = list(gate(10.0))
    broken = {
        "dark": [np.full_like(good[0], 3)] * 150,
        "frozen": [good[-1]] * 150,
        "blurred": [cv2.GaussianBlur(p, (0, 0), 6) for p in good] * 3,
    }
    for fault, pictures in broken.items():
        record(tmp_path / f"{fault}.mp4", iter([*good, *pictures]), 5)
    bundle = scripted_bundle(tmp_path / "eyes", seen())
    sources = ", ".join(f"{f}: {{type: file, path: {tmp_path / f}.mp4, model: eyes}}" for f in broken)
    zones = "{yard: {source: dark, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
    start(f"{{{sources}}}", rules(), zones, f"{{bundle: {bundle.path}, backends: [scripted]}}")
    for fault in broken:
        wait_for(
            lambda f=fault: any(s == "degraded" and f in r for s, r in states(consumer, f)),  # type: ignore[misc]
            f"{fault} is degraded: {states(consumer, fault)}",
            45,
        )
        others = {r for s, r in states(consumer, fault) if s == "degraded"} - {fault}
        assert not others, f"{fault} was also called {others}"


def test_sigterm_under_load(tmp_path: Path, start: Start, consumer: Consumer) -> None:
    """Row 33: `stopped` sent, outbox closed, <= 5 s (and a margin for this machine)."""
    bundle = scripted_bundle(tmp_path / "eyes", *[seen("person")] * 2, *[seen()] * 12)
    names = [f"cam{i}" for i in range(4)]
    sources = ", ".join(f"{n}: {{type: simulator, scene: gate, fps: 10, model: eyes, gate: false}}" for n in names)
    zones = ", ".join(f"z{n}: {{source: {n}, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}" for n in names)
    watch = ", ".join(f"r{n}: {{type: intrusion, zones: [z{n}], dwell: 0s, clear: 0.5s, cooldown: 0s}}" for n in names)
    model = f"{{bundle: {bundle.path}, backends: [scripted]}}"
    box = start(f"{{{sources}}}", f"{{{watch}}}", f"{{{zones}}}", model)
    wait_for(lambda: len(documents(consumer, "event/alarm")) > 8, "events flow", 40)
    began = time.monotonic()
    assert box.stop() == 0
    assert time.monotonic() - began <= 10
    wait_for(lambda: documents(consumer, "state")[-1]["state"] == "stopped", "stopped")
    assert not (tmp_path / "state" / "outbox.db-wal").exists(), "the outbox was closed in order"
    assert "Traceback" not in box.log
