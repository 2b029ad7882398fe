"""`replay --explain`: why an alarm came or did not, in lines and in a picture; and what an event says of it."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smartbox import cloudevent, timeline
from smartbox.__main__ import main
from smartbox.timeline import Lane, Span, Timeline
from tests.replay.test_replay import configuration, configured, lines_of, visit
from tests.rules.script import Script, Thing, person, play, runner

OPEN = (60, 60, 225)


def explained(tmp_path: Path, capsys: pytest.CaptureFixture[str], *visits: list[str]) -> list[dict[str, Any]]:
    config, seen = configuration(tmp_path, "room", tmp_path / "none.mp4"), tmp_path / "seen.jsonl"
    seen.write_text("\n".join(line for lines in visits for line in lines))
    command = ["replay", "-c", str(config), "--input", f"room={seen}", "--explain", str(tmp_path / "why")]
    assert main(command) == 0
    return lines_of(capsys)


def of(lines: list[dict[str, Any]], rule: str) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("trace") == rule]


def has(path: Path, colour: tuple[int, int, int]) -> bool:
    picture = cv2.imread(str(path))
    assert picture is not None
    lanes = picture[62:]  # below the legend
    return bool((np.asarray(lanes) == colour).all(-1).any())


def test_why_an_alarm_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(tmp_path, capsys, visit(4.0, 20.0))
    begin = next(line for line in lines if line.get("type") == "smartbox.alarm.intrusion.begin")
    trace = of(lines, "room-visit")
    followed = [line for line in trace if line["subject"]]
    states = list(dict.fromkeys(line["state"] for line in followed))
    assert states == ["candidate", "open", "ended"]
    first_open = next(line for line in followed if line["state"] == "open")
    assert first_open["episode"] == begin["id"]
    assert first_open["time"] == begin["data"]["clock"]["monotonic_s"]
    assert first_open["dwell_s"] >= first_open["needs_s"] == 5.0
    assert begin["data"]["why"]["share"] == 1.0
    assert begin["data"]["why"]["needs_s"] == 5.0
    assert begin["data"]["why"]["enter_share"] == 0.6
    assert has(tmp_path / "why" / "room-visit.room.png", OPEN)


def test_why_an_alarm_did_not_come(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = explained(tmp_path, capsys, visit(4.0, 7.0))
    assert not [line for line in lines if "specversion" in line]
    trace = of(lines, "room-visit")
    last = trace[[line.get("state") for line in trace].index("dropped")]
    assert last["dwell_s"] < last["needs_s"] or last["share"] < last["enter_share"]
    assert trace[0]["subject"] is None
    assert trace[0]["seen"] == {}
    times = [line["time"] for line in trace if line.get("state") != "dropped"]
    assert times == sorted(set(times))  # one subject, so a line per sample
    assert len(times) == 200
    assert not has(tmp_path / "why" / "room-visit.room.png", OPEN)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, seen = configuration(tmp_path, "room", tmp_path / "none.mp4"), tmp_path / "seen.jsonl"
    seen.write_text("\n".join(visit(0, 1)))
    (tmp_path / "why").write_text("")
    arguments = ["replay", "-c", str(config), "--input", f"room={seen}", "--explain", str(tmp_path / "why")]
    assert main(arguments) == 1
    assert "--explain" in capsys.readouterr().err


def test_an_event_keeps_its_reasons_on_the_way() -> None:
    begin, *_ = play(runner("fire_lane"), Script([Thing(7, 10, 100)], 140))
    assert begin.why
    assert (begin.why.window_s, begin.why.enter_share, begin.why.needs_s) == (10.0, 0.6, 60.0)
    named = replace(begin, id=f"{1:08x}-0000-7000-8000-{0:012x}")
    assert cloudevent.from_json(cloudevent.to_json(named, "s", "b")).why == begin.why


def test_the_end_says_how_little_was_left() -> None:
    *_, end = play(runner("intrusion"), Script([person(1, 0, 20)], 60))
    assert end.phase == "end"
    assert end.why
    assert end.why.share < end.why.exit_share


def test_who_crosses_a_line_is_in_the_trace_and_in_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, why = tmp_path / "seen.jsonl", tmp_path / "why"
    file = configured(
        tmp_path,
        """
sources: {room: {type: file, path: none.mp4, model: eyes}}
zones: {middle: {source: room, line: [[0, 0.5], [1, 0.5]]}, wall: {source: room, line: [[0, 0.99], [1, 0.99]]}}
rules:
  count: {type: line_crossing, zones: [middle], labels: [person]}
  never: {type: line_crossing, zones: [wall], labels: [person]}
""",
    )
    walk = [
        {
            "time": i / 5,
            "detections": [{"label": "person", "score": 0.9, "xyxy": [0.4, 0.008 * i, 0.5, 0.2 + 0.008 * i]}],
        }
        for i in range(80)
    ]
    seen.write_text("\n".join(map(json.dumps, walk)))
    assert main(["replay", "-c", str(file), "--input", f"room={seen}", "--explain", str(why)]) == 0
    lines = lines_of(capsys)
    (begin,) = [line for line in lines if line.get("type") == "smartbox.alarm.line_crossing.begin"]
    (crossed,) = [line for line in of(lines, "count") if line["holds"]]
    assert crossed["time"] == begin["data"]["clock"]["monotonic_s"]
    assert (crossed["episode"], crossed["zone"], crossed["label"]) == (begin["id"], "middle", "person")
    assert crossed["direction"] == begin["data"]["detail"]["direction"]
    assert has(why / "count.room.png", OPEN)
    assert not has(why / "never.room.png", OPEN)


def test_a_replay_that_is_stopped_is_drawn_as_far_as_it_came(tmp_path: Path) -> None:
    file = configured(
        tmp_path,
        """
sources: {gate: {type: simulator, scene: gate, model: eyes}}
zones: {yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}
rules: {visit: {type: intrusion, zones: [yard], labels: [person]}}
""",
    )
    command = [sys.executable, "-m", "smartbox", "replay", "-c", str(file), "--explain", str(tmp_path / "why")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        assert program.stdout.readline()  # it plays
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=60)
    assert program.returncode == 130
    assert cv2.imread(str(tmp_path / "why" / "visit.gate.png")) is not None


def test_crossings_and_many_lanes_can_be_drawn() -> None:
    lanes = [Lane(f"track:{i}", [Span(0, 5, True, "candidate", (1, 1), (0, i / 40))]) for i in range(40)]
    full = timeline.draw(Timeline("busy", lanes, [(0, 5, "on"), (5, 9, "off")], 0, 9, 0.6))
    empty = timeline.draw(Timeline("quiet", [], [], 0, 0, 0.6))
    assert full.shape[1] == empty.shape[1] == 1400
    assert full.shape[0] > empty.shape[0]
