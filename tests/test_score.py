"""Scoring: pure, then the command on files as replay writes them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.__main__ import main
from smartbox.cloudevent import to_json
from smartbox.errors import SmartboxError
from smartbox.score import Alarm, Truth, read_alarms, read_truth, score
from tests.rules.script import Script, Thing, person, play, runner


def dwell(rule: str, subject: str) -> float:
    return 60.0


def lane(start: float, end: float = 500, source: str = "east", alarm: float | None = None) -> Truth:
    return Truth("lane", source, "track:1", start, end, alarm)


def alarm(time: float, source: str = "east", rule: str = "lane") -> Alarm:
    return Alarm(rule, source, "track:9", time)


@pytest.mark.parametrize(
    ("truth", "alarms", "expected"),
    [
        ([lane(10)], [alarm(70)], (1, 0, 0)),
        ([lane(10)], [alarm(80)], (1, 0, 0)),
        ([lane(10)], [alarm(80.1)], (0, 1, 1)),
        ([lane(10)], [alarm(69.1)], (1, 0, 0)),  # a few frames early
        ([lane(10)], [alarm(68.9)], (0, 1, 1)),
        ([lane(10)], [alarm(70, "west")], (0, 1, 1)),
        ([lane(10)], [alarm(70, rule="other")], (0, 1, 1)),
        ([lane(10)], [alarm(70), alarm(71)], (1, 1, 0)),
        ([lane(10), lane(12)], [alarm(70), alarm(72)], (2, 0, 0)),
        ([lane(10), lane(18)], [alarm(78), alarm(79)], (2, 0, 0)),
        ([lane(10, 40)], [], (0, 0, 0)),  # left before it was due: a hard negative
        ([lane(10, 40)], [alarm(70)], (0, 1, 0)),
        ([lane(10, 40, alarm=35)], [alarm(35)], (1, 0, 0)),
        ([], [], (0, 0, 0)),
    ],
)
def test_matching(truth: list[Truth], alarms: list[Alarm], expected: tuple[int, int, int]) -> None:
    result = score(truth, alarms, dwell)
    assert (result.true, result.false, result.missed) == expected
    assert len(result.wrong) == result.false + result.missed


def test_figures() -> None:
    truth = [lane(float(start)) for start in (0, 100, 200, 300)]
    result = score(truth, [alarm(60), alarm(162), alarm(264), alarm(100)], dwell, {"east": 3600.0, "west": 3600.0})
    assert (result.precision, result.recall, result.f1) == (0.75, 0.75, 0.75)
    assert (result.delay(0.5), result.delay(0.95)) == (2.0, 4.0)
    assert result.false_per_camera_day == 12.0
    assert result.by_rule["lane"].f1 == 0.75
    assert json.loads(result.to_json())["rules"]["lane"]["missed"] == 1
    assert "missed: lane on east, track:1, due at 360.0 s" in result.table()


def test_nothing_at_all_is_perfect() -> None:
    result = score([], [], dwell)
    assert (result.f1, result.delay(0.5), result.false_per_camera_day) == (1.0, None, None)
    assert result.table()


@given(st.lists(st.floats(0, 300), max_size=12), st.lists(st.floats(0, 400), max_size=12))
def test_as_many_as_possible_are_matched(starts: list[float], times: list[float]) -> None:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    result = score([lane(s) for s in starts], [alarm(t) for t in times], dwell)
    fits = [[-1 - 1e-3 <= t - (s + 60) <= 10 + 1e-3 for t in times] for s in starts]
    best = 0
    if starts and times:
        best = int((maximum_bipartite_matching(csr_array(fits)) >= 0).sum())
    assert result.true == best
    assert (result.true + result.missed, result.true + result.false) == (len(starts), len(times))


def test_events_are_counted_once_and_only_begins_of_rules() -> None:
    events = play(runner("intrusion"), Script([person(1, 10, 30)], 60))
    documents = [to_json(e, "park", "box") for e in events]
    system = json.loads(documents[0]) | {"type": "smartbox.system.offline.begin", "id": "x"}
    found = read_alarms([*documents, documents[0], b"", json.dumps(system)])
    assert found == [Alarm("rule", "east", "track:1", 15.0)]


@pytest.mark.parametrize("line", ["{}", "[]", "not json", '{"rule": "a", "source": "b", "start_s": "soon"}'])
def test_a_bad_truth_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "truth.jsonl"
    file.write_text(f'{{"rule": "a", "source": "b", "subject": "c", "start_s": 1, "end_s": null}}\n\n{line}\n')
    with pytest.raises(SmartboxError, match=r"truth.jsonl:3.*start_s"):
        read_truth(file)


@pytest.mark.parametrize(
    "document", ["{}", "nonsense", '{"type": "smartbox.alarm.x.begin", "data": {"phase": "begin"}}']
)
def test_a_bad_event_is_named(document: str) -> None:
    with pytest.raises(SmartboxError, match="event 1 is not"):
        read_alarms([document])


CONFIG = """
version: 1
box: {site: park, id: box}
mqtt: {url: "mqtt://127.0.0.1"}
sources:
  east: {type: file, path: none.mp4}
zones:
  lane: {source: east, polygon: [[0.2, 0.4], [0.8, 0.4], [0.8, 0.9], [0.2, 0.9]]}
rules:
  rule: {type: fire_lane, zones: [lane]}
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    events = play(runner("fire_lane"), Script([Thing(1, 10, 150), Thing(2, 200, 230)], 260))
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "events.jsonl").write_bytes(b"".join(to_json(e, "park", "box") + b"\n" for e in events))
    truth = [
        {"rule": "rule", "source": "east", "subject": "car", "start_s": 10, "end_s": 150},
        {"rule": "rule", "source": "east", "subject": "car", "start_s": 200, "end_s": 230},
    ]
    (tmp_path / "truth.jsonl").write_text("\n".join(map(json.dumps, truth)))
    return tmp_path


def run(files: Path, *more: str) -> int:
    paths = [f"--{key}={files / name}" for key, name in (("truth", "truth.jsonl"), ("events", "events.jsonl"))]
    return main(["score", "-c", str(files / "config.yaml"), *paths, *more])


def test_the_command(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "--json", "--duration=2h") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["f1"], result["true"], result["false"], result["missed"]) == (1.0, 1, 0, 0)
    assert (result["camera_s"], result["delay_p50_s"]) == (7200.0, 0.0)
    assert run(files) == 0
    assert "rule" in capsys.readouterr().out


def test_a_rule_that_is_not_configured(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "truth.jsonl").write_text('{"rule": "lame", "source": "east", "start_s": 1}')
    assert run(files) == 1
    assert "'lame' is no rule of the configuration; it has rule" in capsys.readouterr().err


def test_a_missing_file(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "events.jsonl").unlink()
    assert run(files) == 1
    assert "events.jsonl cannot be read" in capsys.readouterr().err
