"""Whatever is written, it is read or refused in one of our own words: never another exception, never without end."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox import build, config, decoders
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError, SmartboxError, SourceError
from smartbox.recording import recorded
from smartbox.replay import Replay
from smartbox.score import read_alarms, read_truth
from tests import tiny
from tests.cli.conftest import Site

ours = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])

WORDS = [
    "",
    "gate",
    "east",
    "60s",
    "-1s",
    "1e9d",
    "null",
    "../x",
    "a" * 300,
    "\x00",
    "é",
    "type",
    "*",
    "{}",
    "2026-01-01",
]
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**30, -(10**30), 2**63]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
KEYS = st.sampled_from(WORDS) | st.text(max_size=4)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into nested mappings and lists."""
    below: list[tuple[Any, ...]] = [trail] if trail else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        below += places(inner, (*trail, key))
    return below


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """One to three changes: another value, a key gone or renamed, one level deeper, a value twice."""
    changed = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        trails = places(changed)
        if not trails:
            return changed
        *way, last = draw(st.sampled_from(trails))
        holder = changed
        for key in way:
            holder = holder[key]
        match draw(st.sampled_from(["value", "gone", "name", "deeper", "list"])):
            case "value":
                holder[last] = draw(JUNK)
            case "gone":
                del holder[last]
            case "name" if isinstance(holder, dict):
                holder[draw(st.sampled_from(WORDS))] = holder.pop(last)
            case "deeper":
                holder[last] = {"type": holder[last]}
            case _:
                holder[last] = [holder[last], holder[last]]
    return changed


SQUARE = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
WHOLE: dict[str, Any] = {
    "version": 1,
    "box": {"site": "park-a", "id": "box-1", "state_dir": "state"},
    "mqtt": {
        "url": "mqtts://broker.example:8883",
        "credentials": {"username": "box", "password": "hunter2"},
        "ca": "ca.pem",
        "keepalive": "20s",
        "version": 5,
    },
    "evidence": {"keep": "14d", "bytes": "8GB", "free": "200MB", "thumbnail": True},
    "models": {"eyes": {"bundle": "eyes", "backends": ["auto", {"type": "onnxruntime", "threads": 1}, "scripted"]}},
    "sources": {
        "east": {"type": "rtsp", "url": "rtsp://a:hunter2@10.0.0.1/x", "fps": 5, "min_interval": "1.5s"},
        "west": {"type": "http", "url": "http://10.0.0.1/x", "timeout": 5},
        "desk": {"type": "v4l2", "device": "/dev/video0", "format": "MJPG", "width": 640, "model": "eyes"},
        "clip": {"type": "file", "path": "clip.mp4", "loop": True, "model": "eyes"},
        "lot": {"type": "simulator", "scene": "lot", "seed": 3, "model": "eyes"},
    },
    "zones": {
        "yard": {"source": "clip", "polygon": SQUARE},
        "exit": {"source": "clip", "line": [[0.1, 0.7], [0.9, 0.7]]},
        "slots": {"source": "lot", "slots": {"P1": SQUARE, "P2": SQUARE}},
    },
    "rules": {
        "night": {
            "type": "intrusion",
            "zones": ["yard"],
            "dwell": "5s",
            "schedule": {"timezone": "Europe/Berlin", "windows": [{"days": "mon-fri", "from": "20:00", "to": "06:00"}]},
            "severity": "high",
            "labels": ["person", "vehicle"],
        },
        "lane": {"type": "fire_lane", "zones": ["yard"], "vehicle": "60s"},
        "post": {"type": "absence", "zones": ["yard"], "leave": "180s"},
        "awake": {"type": "sleep", "zones": ["yard"], "sleep": "120s"},
        "parked": {"type": "parking", "zones": ["slots"], "overstay": "4h"},
        "count": {"type": "line_crossing", "zones": ["exit"]},
    },
}  # fmt: skip


def written(path: Path, document: Any) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")


def test_the_document_that_is_changed_is_a_good_one(site: Site) -> None:
    written(site.config, WHOLE)
    assert len(build.parts(config.load(site.config)).pipelines) == 5


@settings(ours, max_examples=50)
@given(document=mutated(WHOLE))
def test_a_changed_configuration_is_read_or_refused(site: Site, document: Any) -> None:
    written(site.config, document)
    try:
        made = config.load(site.config)
        repr(made)
        build.parts(made)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.message.strip()
            assert "hunter2" not in str(problem)
            assert len(str(problem)) < 1500


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write(tmp_path_factory.mktemp("bundle") / "tiny", "onnxruntime")


@ours
@given(data=st.data())
def test_a_changed_manifest_is_read_or_refused(bundle: Bundle, data: st.DataObject, tmp_path: Path) -> None:
    good = yaml.safe_load((bundle.path / "manifest.yaml").read_text())
    written(tmp_path / "manifest.yaml", data.draw(mutated(good)))
    try:
        opened = Bundle.open(tmp_path)
        decoders.build(opened.manifest)
    except ConfigError as error:
        assert all(problem.message.strip() for problem in error.problems)
        return
    for path in (entry.path for entry in opened.manifest.files.values()):
        assert (tmp_path / path).resolve().is_relative_to(tmp_path.resolve())
    opened.verify()


@ours
@given(text=st.binary(max_size=60))
def test_a_manifest_of_bytes(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "manifest.yaml").write_bytes(text)
    with pytest.raises(ConfigError):
        Bundle.open(tmp_path)


DETECTION = {"label": "person", "score": 0.9, "xyxy": [0.1, 0.2, 0.3, 0.9]}
LINE = {"source": "gate", "time": 1.0, "detections": [DETECTION, DETECTION], "sounds": {"alarm": 0.3}}
TRUTH = {"rule": "nobody", "source": "gate", "subject": "x", "start_s": 1.0, "end_s": 5.0, "alarm_s": 2.0}
EVENT = {
    "id": "a",
    "source": "/smartbox/v1/s/b",
    "type": "smartbox.alarm.intrusion.begin",
    "data": {
        "phase": "begin",
        "rule": {"id": "nobody"},
        "camera": "gate",
        "clock": {"monotonic_s": 3.0},
        "objects": [{"subject": "track:1"}],
    },
}
ANY_TEXT = st.text(max_size=40).filter(lambda text: "\n" not in text and "\r" not in text)


def line_of(document: dict[str, Any]) -> st.SearchStrategy[str]:
    return mutated(document).map(json.dumps) | JUNK.map(json.dumps) | ANY_TEXT


@ours
@given(line=line_of(LINE))
def test_a_line_of_detections_is_read_or_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "seen.jsonl"
    path.write_text(line, encoding="utf-8", errors="surrogatepass")
    try:
        for item in recorded(path, "gate", 0.0):
            assert item.time >= 0
    except SourceError as error:
        assert "seen.jsonl" in str(error)
        assert len(str(error)) < 500


@ours
@given(line=line_of(TRUTH))
def test_a_line_of_truth_is_read_or_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(line, encoding="utf-8", errors="surrogatepass")
    try:
        assert len(read_truth(path)) <= 1
    except SmartboxError as error:
        assert "truth.jsonl" in str(error)


@ours
@given(line=line_of(EVENT))
def test_an_event_is_read_or_refused(line: str) -> None:
    try:
        assert len(read_alarms([line, line])) <= 1
    except SmartboxError as error:
        assert "event 1" in str(error)


def boxes() -> st.SearchStrategy[dict[str, Any]]:
    """Any box that is allowed: without area, outside of the picture, with a score of 0, with a strange label."""
    place = st.floats(-1, 2, allow_nan=False, width=32)
    corners = st.tuples(place, place, place, place).map(
        lambda p: [min(p[0], p[2]), min(p[1], p[3]), max(p[0], p[2]), max(p[1], p[3])]
    )
    label = st.sampled_from(["person", "car", "", "ufo"])
    return st.fixed_dictionaries({"label": label, "score": st.floats(0, 1, width=32), "xyxy": corners})


RULES = """
  lane: {type: fire_lane, zones: [yard], vehicle: 10s}
  post: {type: absence, zones: [yard], leave: 1s}
  awake: {type: sleep, zones: [yard], sleep: 10s}
  count: {type: line_crossing, zones: [exit]}
  parked: {type: parking, zones: [slots], overstay: 10s}
  heard: {type: sound, cameras: [gate], labels: [car]}
"""


MOMENT = st.tuples(st.floats(0, 30, allow_nan=False), st.none() | st.lists(boxes(), max_size=12), st.booleans())
SHAPES = """
  exit: {source: gate, line: [[0.1, 0.7], [0.9, 0.7]]}
  slots: {source: gate, slots: {P1: [[0, 0], [1, 0], [1, 1]]}}
"""


@pytest.fixture
def watched(site: Site) -> config.Config:
    """Every rule on one camera."""
    site.edit("\nrules:\n", f"{SHAPES}rules:{RULES}")
    return config.load(site.config)


@settings(ours, max_examples=50)
@given(moments=st.lists(MOMENT, max_size=12))
def test_whatever_a_model_may_say_is_replayed(
    watched: config.Config, tmp_path: Path, moments: list[tuple[float, Any, bool]]
) -> None:
    lines = [
        {"time": time, "detections": seen, "sounds": {"car": 0.9} if heard else None}
        for time, seen, heard in sorted(moments, key=lambda moment: moment[0])
    ]
    path = tmp_path / "seen.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    replay = Replay(watched, {"gate": path})
    events = [event for step in replay.run() for event in step.events]
    events += replay.finish()
    replay.close()
    begun = {event.episode for event in events if event.phase == "begin"}
    assert {event.episode for event in events if event.phase == "end"} <= begun
