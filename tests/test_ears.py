"""A source's sound on its way to an event: windows, the model that listens, the rules that hear."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox import bundle as bundles
from smartbox import config
from smartbox.build import parts
from smartbox.errors import ConfigError
from smartbox.manifest import Manifest
from smartbox.replay import Replay
from smartbox.simulation.sound import write_wav
from smartbox.types import Event
from smartbox.voice import acknowledged
from tests.e2e.conftest import scripted_bundle, seen
from tests.sources.media import write_video

LABELS = ("siren", "stop", "background")
QUIET, SIREN, STOP = [0.0, 0.0, 9.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]


def ears(directory: Path, scores: Sequence[Sequence[float]]) -> Path:
    """A model for sound that says these logits window by window."""
    directory.mkdir()
    lines = "\n".join(json.dumps({"outputs": {"scores": list(row)}}) for row in scores)
    (directory / "script.jsonl").write_text(lines)
    manifest = {
        "name": "ears",
        "version": "1",
        "task": "sound",
        "labels": LABELS,
        "inputs": [{"name": "sound", "shape": [None, 98, 64, 1], "sound": {"seconds": 1.0, "every": 0.25}}],
        "outputs": [{"name": "scores", "shape": [None, len(LABELS)]}],
        "decoder": {"type": "scores", "activation": "softmax"},
        "files": {"scripted": bundles.model_file(directory, "script.jsonl").model_dump()},
    }
    bundles.write(directory, Manifest.model_validate(manifest))
    return directory


def write(tmp_path: Path, source: str, rules: str, **models: Path) -> Path:
    path = tmp_path / "smartbox.yaml"
    listed = "".join(f"  {name}: {{bundle: {bundle}, backends: [scripted]}}\n" for name, bundle in models.items())
    path.write_text(
        f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {tmp_path / 'state'}}}\n"
        f"mqtt: {{url: 'mqtt://127.0.0.1:1'}}\nmodels:\n{listed}sources:\n  hall: {source}\n"
        f"zones:\n  all: {{source: hall, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}\nrules:\n{rules}"
    )
    return path


def told(path: Path) -> list[Event]:
    replay = Replay(config.load(path))
    events = [event for step in replay.run() for event in step.events] + list(replay.finish())
    replay.close()
    return events


def recording(tmp_path: Path, seconds: float) -> Path:
    wav = tmp_path / "hall.wav"
    write_wav(wav, np.zeros(round(16000 * seconds), np.float32))
    return wav


RULE = "  sirens: {type: sound, cameras: [hall], labels: [siren], silence: 2s, cooldown: 0s}\n"


def test_a_siren_in_a_recording_is_an_alarm(tmp_path: Path) -> None:
    scores = [QUIET] * 8 + [SIREN] * 12 + [QUIET] * 100  # windows end at 1.0, 1.25, …
    path = write(
        tmp_path,
        f"{{type: file, path: {recording(tmp_path, 20)}, model: ears}}",
        RULE,
        ears=ears(tmp_path / "ears", scores),
    )
    begin, end = told(path)
    assert (begin.phase, begin.kind, begin.objects[0].label, end.phase) == ("begin", "sound", "siren", "end")
    assert begin.objects[0].score > 0.99
    assert begin.monotonic == pytest.approx(4.0)  # first heard in the window that ends at 3.0, for a second
    assert end.dwell_s == pytest.approx(2.75)
    assert begin.model is not None and begin.model.name == "ears"
    assert begin.evidence == () and begin.zone is None


def test_a_word_is_heard_in_one_window(tmp_path: Path) -> None:
    rule = "  help: {type: sound, cameras: [hall], labels: [stop], severity: critical}\n"
    scores = [QUIET] * 5 + [STOP] + [QUIET] * 100
    path = write(
        tmp_path,
        f"{{type: file, path: {recording(tmp_path, 10)}, model: ears}}",
        rule,
        ears=ears(tmp_path / "ears", scores),
    )
    assert [(e.phase, e.severity) for e in told(path)] == [("begin", "critical"), ("end", "critical")]


def test_a_word_acknowledges_an_alarm_that_is_open(tmp_path: Path) -> None:
    rules = RULE + "  seen: {type: sound, cameras: [hall], labels: [stop], acknowledges: [sirens]}\n"
    scores = [QUIET] * 2 + [SIREN] * 8 + [STOP] + [SIREN] * 8 + [STOP] + [QUIET] * 100
    source = f"{{type: file, path: {recording(tmp_path, 12)}, model: ears}}"
    wanted = config.load(write(tmp_path, source, rules, ears=ears(tmp_path / "ears", scores)))
    replay = Replay(wanted)
    pipeline = replay._parts.pipelines["hall"]
    updates = []
    for step in replay.run():
        time = step.result.scene.time
        updates += acknowledged(step.result.events, wanted.rules, [pipeline], time, time)
    replay.close()
    (update,) = updates  # the second word finds nothing that nobody has seen
    assert (update.phase, update.rule, update.cls) == ("update", "sirens", "alarm")
    assert update.detail["acknowledged"]["by"] == "voice:stop@hall"


def test_a_word_may_only_acknowledge_rules_that_are_there(tmp_path: Path) -> None:
    rules = RULE + "  seen: {type: sound, cameras: [hall], labels: [stop], acknowledges: [siren]}\n"
    with pytest.raises(ConfigError, match=r"rules\.seen\.acknowledges\.0: 'siren' is not a known rule.*'sirens'"):
        config.load(write(tmp_path, "{type: rtsp, url: 'rtsp://c/1'}", rules))


def test_sound_and_pictures_of_one_source_do_not_disturb_one_another(tmp_path: Path) -> None:
    """A person stands there all the time; between the frames there is sound, in which there is nobody."""
    video = write_video(tmp_path / "hall.mp4", range(0, 10_000, 200), rate=5, tone_s=10)
    rules = RULE + "  yard: {type: intrusion, zones: [all], dwell: 4s}\n"
    source = f"{{type: file, path: {video}, model: eyes, sound_model: ears, gate: false}}"
    eyes = scripted_bundle(tmp_path / "eyes", seen("person")).path
    heard = ears(tmp_path / "ears", [QUIET] * 8 + [SIREN] * 100)
    events = told(write(tmp_path, source, rules, eyes=eyes, ears=heard))
    begins = {e.kind: e for e in events if e.phase == "begin"}
    assert set(begins) == {"sound", "intrusion"}
    models = {kind: event.model.name for kind, event in begins.items() if event.model}
    assert models == {"sound": "ears", "intrusion": "eyes"}
    assert begins["intrusion"].dwell_s == pytest.approx(4.0, abs=0.3)


@pytest.mark.parametrize(
    ("source", "labels", "says"),
    [
        ("{type: rtsp, url: 'rtsp://c/1', model: ears}", "[glass]", "does not know glass; it knows siren, stop"),
        ("{type: rtsp, url: 'rtsp://c/1', model: eyes}", "[siren]", "'eyes' of source 'hall' does not know siren"),
        ("{type: rtsp, url: 'rtsp://c/1'}", "[siren]", "is missing; rule 'sirens' watches this source"),
        ("{type: rtsp, url: 'rtsp://c/1', sound_model: eers}", "[siren]", "'eers' is not a known model; did you mean"),
    ],
)
def test_a_rule_that_nobody_listens_for_is_refused(tmp_path: Path, source: str, labels: str, says: str) -> None:
    models: dict[str, Any] = {
        "eyes": scripted_bundle(tmp_path / "eyes", seen()).path,
        "ears": ears(tmp_path / "ears", [QUIET]),
    }
    path = write(tmp_path, source, RULE.replace("[siren]", labels), **models)
    with pytest.raises(ConfigError, match=says):
        parts(config.load(path))


def test_a_manifest_whose_shape_is_not_that_of_its_features_is_refused(tmp_path: Path) -> None:
    path = ears(tmp_path / "ears", [QUIET])
    text = (path / "manifest.yaml").read_text()
    (path / "manifest.yaml").write_text(text.replace("98", "97", 1))
    with pytest.raises(ConfigError, match=r"give uint8 \[batch, 98, 64, 1\].*shape is \[None, 97, 64, 1\]"):
        bundles.Bundle.open(path)
