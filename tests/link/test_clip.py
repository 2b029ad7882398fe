"""The command `clip`: seconds of a real RTSP camera, by a real mosquitto, kept, announced, and sent on by `upload`."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest

from tests.link.box import Box, Cloud
from tests.link.certificates import Authority
from tests.link.https import Storage
from tests.mosquitto import Mosquitto, wait_for
from tests.rtsp import RtspServer, rtsp_server
from tests.sources.media import picture, write_video

__all__ = ["rtsp_server"]

CORNER = "[[[0, 0], [0.2, 0], [0.2, 0.2]]]"


@pytest.fixture
def camera(rtsp_server: Callable[..., RtspServer], tmp_path: Path) -> RtspServer:
    """25 fps, a key frame every 0.4 s, in a loop of 4 s."""
    clip = write_video(tmp_path / "camera.mp4", range(0, 4000, 40), options={"g": "10", "bf": "0"})
    return rtsp_server({"/a": clip})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def storage(authority: Authority) -> Iterator[Storage]:
    storage = Storage(*authority.server("localhost"))
    yield storage
    storage.close()


@pytest.fixture
def box(
    tmp_path: Path, mosquitto: Mosquitto, camera: RtspServer, authority: Authority, storage: Storage
) -> Iterator[Box]:
    """A recorded camera, the same one with a mask, and a source that sends no packets."""
    more = f"""
cloud: {{upload_hosts: ['localhost:{storage.port}'], https_ca: {authority.ca}}}
evidence: {{clips: true, before: 1s, after: 1s}}
sources:
  gate: {{type: rtsp, url: {camera.url("/a")}, fps: 5}}
  private: {{type: rtsp, url: {camera.url("/a")}, fps: 1, masks: {CORNER}}}
  drawn: {{type: simulator, scene: gate, fps: 1}}
  off: {{type: rtsp, url: {camera.url("/a")}, enabled: false}}
"""
    box = Box(tmp_path / "box", mosquitto.url, more).start()
    yield box
    box.stop()


def recorded(box: Box, seconds: float = 0.0) -> None:
    """Wait until so much of the camera is on the tape, and commands reach the box."""

    def there() -> bool:
        span = box.daemon.clips.span("gate") if box.daemon else None
        return span is not None and span[1] - span[0] >= seconds

    wait_for(there, f"{seconds:g} s of the camera", 60)
    box.connected()


def stamp(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).isoformat()


def greys(content: bytes) -> list[float]:
    """Of each picture in a clip, the lower half's grey: it tells which of the camera's pictures it is."""
    with av.open(io.BytesIO(content)) as container:
        return [float(frame.to_ndarray(format="bgr24")[60:].mean()) for frame in container.decode(video=0)]


def test_a_clip_is_cut_kept_announced_and_uploaded(box: Box, cloud: Cloud, storage: Storage) -> None:
    recorded(box, 2.0)
    cloud.command("clip", "c", source="gate")
    detail: dict[str, Any] = cloud.answer("c", "done")["detail"]
    wait_for(lambda: cloud.on("media/"), "the announcement")
    assert cloud.last(f"media/{detail['event']}") == detail
    assert (detail["kind"], detail["source"]) == ("mp4", "gate")
    content = (box.state / "evidence" / detail["name"]).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (detail["sha256"], detail["bytes"])
    assert detail["late_s"] == 0 and -2.0 < detail["starts_s"] <= -1.0
    assert detail["starts_s"] + detail["duration_s"] > 0.5, "and it goes on after the command"
    known, shown = [picture(i)[60:].mean() for i in range(100)], greys(content)
    assert len(shown) > 25 and all(min(abs(grey - own) for own in known) < 5 for grey in shown), "the camera's pictures"
    cloud.command("upload", "u", name=detail["name"], url=storage.url("/clip"), sha256=detail["sha256"])
    cloud.answer("u", "done")
    assert storage.stored["/clip"] == content


def test_a_clip_of_a_moment_before_the_command(box: Box, cloud: Cloud) -> None:
    """It waits for nothing then; what the tape has lost already it says by `late_s`."""
    recorded(box, 3.0)
    assert box.daemon
    first, last = box.daemon.clips.span("gate") or (0.0, 0.0)
    at = time.time() - time.monotonic() + last - 1.0
    cloud.command("clip", "c", source="gate", at=stamp(at), before="1s", after="0.5s")
    detail = cloud.answer("c", "done")["detail"]
    assert detail["late_s"] == 0 and detail["duration_s"] == pytest.approx(1.5, abs=0.7)
    cloud.command("clip", "long", source="gate", at=stamp(at), before="30s", after="0s")
    late = cloud.answer("long", "done")["detail"]["late_s"]
    assert late == pytest.approx(30 - (last - 1.0 - first), abs=1.0)


def test_what_cannot_be_cut_and_why(box: Box, cloud: Cloud) -> None:
    recorded(box)
    ago, ahead = stamp(time.time() - 3600), stamp(time.time() + 3600)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "known are gate, private, drawn, off"),
        ({"source": "nowhere"}, "'nowhere' is none; known are gate"),
        ({"source": ["gate"]}, "args.source"),
        ({"source": "private"}, "sources.private.masks: packets cannot be masked"),
        ({"source": "drawn"}, "sources.drawn.type: simulator has no packets"),
        ({"source": "off"}, "sources.off.enabled: is false"),
        ({"source": "gate", "at": ago}, "is kept any more; the box has 20"),
        ({"source": "gate", "at": ahead}, "ahead by the box' clock"),
        ({"source": "gate", "at": "yesterday"}, "args.at: 'yesterday' is no time"),
        ({"source": "gate", "before": "1h"}, "args.before"),
        ({"source": "gate", "after": "a while"}, "write it as 60s"),
        ({"source": "gate", "length": 5}, "args.length"),
    ]
    for number, (args, said) in enumerate(cases):
        cloud.command("clip", f"c{number}", **args)
        assert said in cloud.answer(f"c{number}", "failed")["detail"]["reason"]
    assert not cloud.on("media/") and not list(box.state.glob("evidence/*.mp4"))


def test_a_clip_that_a_stop_interrupts_has_failed(box: Box, cloud: Cloud) -> None:
    recorded(box)
    cloud.command("clip", "c", source="gate", after="60s")
    cloud.answer("c", "accepted")
    cloud.command("snapshot", "s", source="gate")
    cloud.answer("s", "done")  # nobody waits for the clip
    cloud.command("restart", "r")
    assert "stopped" in cloud.answer("c", "failed")["detail"]["reason"]
    cloud.answer("r", "done")


def test_a_camera_that_has_gone_has_no_clip_of_now(box: Box, cloud: Cloud, camera: RtspServer) -> None:
    recorded(box, 1.0)
    camera.kill()
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "offline", "the loss", 30)
    cloud.command("clip", "c", source="gate", before="0s", after="0s")
    assert "is kept any more" in cloud.answer("c", "failed")["detail"]["reason"]
