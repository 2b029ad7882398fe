"""A clip from a network camera: on the disk, announced, named by the end, and it plays."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import av

from tests.e2e.conftest import Box, documents, scripted_bundle, seen
from tests.mosquitto import Consumer, wait_for
from tests.sources.camera import HttpCamera, serving
from tests.sources.media import write_video

YARD = "{yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
RULES = """{yard-closed: {type: intrusion, zones: [yard], dwell: 0s, clear: 1s, cooldown: 1h}}
evidence: {clips: true, before: 1s, after: 1s}"""


def test_an_alarm_has_its_clip(tmp_path: Path, start: Callable[..., Box], consumer: Consumer) -> None:
    video = write_video(tmp_path / "camera.ts", range(0, 40_000, 40), options={"g": "25", "preset": "ultrafast"})
    bundle = scripted_bundle(tmp_path / "eyes", *[seen()] * 15, *[seen("person")] * 30, *[seen()] * 500)
    with serving(HttpCamera(video.read_bytes(), "video/mp2t", seconds=40)) as camera:
        gate = f"{{gate: {{type: http, url: '{camera.url()}', fps: 5, model: eyes, gate: false}}}}"
        start(gate, RULES, YARD, f"{{bundle: {bundle.path}, backends: [scripted]}}")
        wait_for(lambda: documents(consumer, "media/"), "the clip", 60)
        wait_for(lambda: len(documents(consumer, "event/alarm/intrusion")) >= 2, "the end", 60)
    begin, *_, end = documents(consumer, "event/alarm/intrusion")
    (clip,) = documents(consumer, "media/")
    assert (clip["event"], clip["source"], clip["kind"]) == (begin["id"], "gate", "mp4")
    named = {key: clip[key] for key in ("kind", "name", "sha256", "bytes")}
    assert end["data"]["evidence"] == [named]
    path = tmp_path / "state" / "evidence" / clip["name"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip["sha256"]
    assert clip["duration_s"] > 0
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).key_frame
