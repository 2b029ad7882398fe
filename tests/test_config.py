"""The configuration: what is accepted, and what each mistake is told."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox import config
from smartbox.errors import ConfigError

GOOD = """
version: 1
box: {site: park-a, id: box-017, state_dir: state}
mqtt: {url: mqtt://127.0.0.1}
models:
  eyes: {bundle: lrssd-park, backends: [auto, {type: onnxruntime, threads: 2}]}
sources:
  east: {type: file, path: east.mp4, fps: 5, model: eyes, min_interval: 1.5s}
zones:
  lane-east: {source: east, polygon: [[0.1, 0.5], [0.9, 0.5], [0.9, 0.9], [0.1, 0.9]]}
  gate-line: {source: east, line: [[0.1, 0.5], [0.9, 0.5]]}
rules:
  lane-east-clear: {type: fire_lane, zones: [lane-east], vehicle: 60s}
  in-and-out: {type: line_crossing, zones: [gate-line]}
"""


def load(tmp_path: Path, text: str) -> config.Config:
    path = tmp_path / "smartbox.yaml"
    path.write_text(text)
    return config.load(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    return str(error.value)


def test_good(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    assert made.sources["east"].min_interval == 1.5
    assert made.zones["lane-east"].polygon[0] == (0.1, 0.5)
    assert made.kinds == {
        "sources.east": "file",
        "rules.lane-east-clear": "fire_lane",
        "rules.in-and-out": "line_crossing",
    }
    assert [name for name, _ in made.backends("eyes")] == ["auto", "onnxruntime"]
    assert made.backends("eyes")[1][1].threads == 2


@pytest.mark.parametrize(
    ("old", "new", "path", "hint"),
    [
        ("fps: 5", "fpss: 5", "sources.east.fpss", "did you mean 'fps'"),
        ("type: file", "type: fil", "sources.east.type", "did you mean 'file'"),
        ("type: file, ", "", "sources.east.type", "is missing"),
        ("model: eyes", "model: eye", "sources.east.model", "did you mean 'eyes'"),
        ("fps: 5", "fps: -1", "sources.east.fps", "more than 0"),
        ("min_interval: 1.5s", "min_interval: 1.5 parsecs", "sources.east.min_interval", "write it as 60s"),
        ("[[0.1, 0.5], [0.9, 0.5], [0.9, 0.9], [0.1, 0.9]]", "[[0.1, 0.5]]", "zones.lane-east.polygon", "at least 3"),
        ("[0.9, 0.9]", "[9, 0.9]", "zones.lane-east.polygon.2.0", "at most 1"),
        ("[0.9, 0.5], [0.9, 0.9], [0.1, 0.9]", "[0.5, 0.5], [0.9, 0.5]", "zones.lane-east", "no area"),
        ("zones: [lane-east]", "zones: [lane-est]", "rules.lane-east-clear.zones.0", "did you mean 'lane-east'"),
        ("zones: [lane-east]", "zones: [gate-line]", "rules.lane-east-clear.zones.0", "must be a zone with `polygon:`"),
        ("source: east, line", "source: west, line", "zones.gate-line.source", "known are east"),
        ("version: 1", "version: 9", "version", "write `version: 1`"),
        ("mqtt: {url: mqtt://127.0.0.1}", "", "mqtt", "is missing"),
        ("site: park-a", "site: Park A", "box.site", "use a-z"),
        ("backends: [auto, ", "backends: [cuda, ", "models.eyes.backends.0", "known are"),
        ("models:", "modells: {}\nmodels:", "modells", "did you mean 'models'"),
        ("  east: {", "  East_1: {", "sources.East_1", "is no id"),
        ("fps: 5,", "fps: 5, fps: 6,", "sources.east.fps", "stands twice"),
        ("vehicle: 60s", "vehicle: 1s", "rules.lane-east-clear.vehicle", "10"),
    ],
)
def test_each_mistake_is_told_with_its_path_and_line(tmp_path: Path, old: str, new: str, path: str, hint: str) -> None:
    assert old in GOOD
    message = refused(tmp_path, GOOD.replace(old, new))
    line = next((line for line in message.splitlines() if line.startswith(f"{path}: ")), None)
    assert line is not None, message
    assert hint in line
    assert "smartbox.yaml" in line


def test_a_time_of_day_needs_no_quotes(tmp_path: Path) -> None:
    """YAML 1.1 takes 22:00 for a number to base 60."""
    plan = "schedule: {timezone: UTC, windows: [{from: 22:00, to: 6:30}]}"
    (window,) = load(tmp_path, GOOD.replace("vehicle: 60s", plan)).rules["lane-east-clear"].schedule.windows
    assert (window.start, window.end) == (22 * 60, 6 * 60 + 30)


def test_every_mistake_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("fps: 5", "fpss: 5").replace("[lane-east]", "[lane]").replace("version: 1", "version: 2")
    assert len(refused(tmp_path, text).splitlines()) >= 3


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "\x00", "a: *b", "version: !!python/object:os.system {}"])
def test_not_a_configuration(tmp_path: Path, text: str) -> None:
    assert "smartbox.yaml" in refused(tmp_path, text)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a directory"):
        config.load(tmp_path)


def test_secret_from_file_and_from_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = GOOD.replace("mqtt://127.0.0.1", "mqtts://cloud.example, credentials: !secret mqtt")
    assert "!secret mqtt: found in none of" in refused(tmp_path, text)
    (tmp_path / "secrets.yaml").write_text("mqtt: box:hunter2")
    assert load(tmp_path, text).mqtt.credentials.secret() == "hunter2"
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt").write_text("box:from-systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    made = load(tmp_path, text)
    assert made.mqtt.credentials.secret() == "from-systemd"
    assert "from-systemd" not in repr(made)


def test_unreadable_secret(tmp_path: Path) -> None:
    text = GOOD.replace("mqtt://127.0.0.1", "mqtts://cloud.example, credentials: !secret mqtt")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mqtt").mkdir()
    assert "cannot be read" in refused(tmp_path, text)
    assert "no slash" in refused(tmp_path, text.replace("!secret mqtt", "!secret ../../etc/passwd"))


def test_include_stays_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "weekdays.yaml").write_text("[[0.1, 0.5], [0.9, 0.5], [0.9, 0.9]]")
    square = "[[0.1, 0.5], [0.9, 0.5], [0.9, 0.9], [0.1, 0.9]]"
    assert len(load(tmp_path, GOOD.replace(square, "!include weekdays")).zones["lane-east"].polygon) == 3
    assert "must be a file beside" in refused(tmp_path, GOOD.replace(square, "!include ../../etc/hosts"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, len(GOOD)), junk=st.text(alphabet="{}[]:,-!&*#'\"\n\t 0a\x7fé", max_size=6))
def test_fuzzed_text_is_read_or_refused(tmp_path: Path, position: int, junk: str) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_text(GOOD[:position] + junk + GOOD[position:], encoding="utf-8")
    try:
        config.load(path)
    except ConfigError as error:
        assert str(error)
