"""A source's sound on its way to an event: windows, the model that listens, the rules that hear."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox import bundle as bundles
from smartbox import config
from smartbox.__main__ import main
from smartbox.build import parts
from smartbox.errors import ConfigError
from smartbox.manifest import Manifest
from smartbox.replay import Replay
from smartbox.simulation.sound import write_wav
from smartbox.sources._base import SourceSettings
from smartbox.types import Event
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
    events = told(write(tmp_path, source, rules, ears=ears(tmp_path / "ears", scores)))
    # The second word finds nothing that nobody has seen.
    (update,) = (event for event in events if event.phase == "update")
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


LOOKS = "  look: {type: tamper, cameras: [hall]}\n"
ZONED = "  look: {type: absence, zones: [all]}\n"
RTSP = "{type: rtsp, url: 'rtsp://c/1', model: "


@pytest.mark.parametrize(
    ("source", "rules", "says"),
    [
        (RTSP + "ears}", RULE, r"sources\.hall\.audio: is off, so rule 'sirens' hears nothing; set `audio: true`"),
        ("{type: file, path: x, audio: false, model: ears}", RULE, r"sources\.hall\.audio: is off"),
        ("{type: v4l2, device: 0, model: eyes, sound_model: ears}", RULE, "'hall' of type v4l2 has no sound; let"),
        ("{type: simulator, scene: lot, model: eyes, sound_model: ears}", RULE, "of type simulator has no sound; let"),
        (
            "{type: microphone, model: ears}",
            LOOKS,
            r"rules\.look: source 'hall' of type microphone has no pictures; let",
        ),
        ("{type: microphone, model: eyes, sound_model: ears}", ZONED, "of type microphone has no pictures; let"),
        (RTSP + "ears, audio: true}", RULE, None),
        (RTSP + "eyes, sound_model: ears}", RULE + ZONED, None),
        ("{type: microphone, model: ears}", RULE, None),
        ("{type: v4l2, device: 0}", LOOKS, None),
        ("{type: file, path: x, model: ears}", RULE + LOOKS, None),
        ("{type: file, path: x, audio: false, model: eyes, sound_model: ears}", RULE + LOOKS, None),
    ],
)
def test_a_rule_needs_a_source_of_its_kind(tmp_path: Path, source: str, rules: str, says: str | None) -> None:
    models = {"eyes": scripted_bundle(tmp_path / "eyes", seen()).path, "ears": ears(tmp_path / "ears", [QUIET])}
    wanted = config.load(write(tmp_path, source, rules, **models))
    if says is None:
        parts(wanted)
        return
    with pytest.raises(ConfigError, match=says):
        parts(wanted)


def test_a_source_of_somebody_else_that_does_not_say_may_be_listened_to_and_looked_at() -> None:
    assert SourceSettings().hears
    assert SourceSettings().sees


@pytest.mark.parametrize(
    ("tone_s", "model", "detail", "says"),
    [
        (4.0, "model: eyes, sound_model: ears", "160 x 120, sees 1 person; sound at 16000 Hz", None),
        (
            0.0,
            "model: eyes, sound_model: ears",
            "160 x 120, sees 1 person",
            "no sound, and 'ears' listens to it: switch",
        ),
        (4.0, "model: ears, audio: true", "sound at 16000 Hz", None),
        (0.0, "model: eyes", "160 x 120, sees 1 person", None),
    ],
)
def test_the_probe_waits_for_sound_where_a_model_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tone_s: float, model: str, detail: str, says: str | None
) -> None:
    video = write_video(tmp_path / "hall.mp4", range(0, 3_000, 200), rate=5, tone_s=tone_s)
    models = {"eyes": scripted_bundle(tmp_path / "eyes", seen("person")).path, "ears": ears(tmp_path / "ears", [QUIET])}
    path = write(tmp_path, f"{{type: file, path: {video}, {model}}}", "", **models)
    main(["check", "-c", str(path), "--probe", "--json"])
    (found,) = (f for f in json.loads(capsys.readouterr().out)["probe"] if f["what"] == "sources.hall")
    assert detail in found["detail"]
    assert found["error"] is None if says is None else says in found["error"]


def test_a_manifest_whose_shape_is_not_that_of_its_features_is_refused(tmp_path: Path) -> None:
    path = ears(tmp_path / "ears", [QUIET])
    text = (path / "manifest.yaml").read_text()
    (path / "manifest.yaml").write_text(text.replace("98", "97", 1))
    with pytest.raises(ConfigError, match=r"give uint8 \[batch, 98, 64, 1\].*shape is \[None, 97, 64, 1\]"):
        bundles.Bundle.open(path)
