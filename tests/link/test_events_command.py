"""`smartbox events`: what waits, what was sent, what the broker refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from smartbox.__main__ import main
from tests.link.conftest import Boxes
from tests.link.events import Events


@pytest.fixture
def config(boxes: Boxes, tmp_path: Path) -> str:
    path = tmp_path / "box.yaml"
    path.write_text(
        f"version: 1\nbox: {{site: park-a, id: box-017, state_dir: {boxes.state}}}\nmqtt: {{url: embedded}}\n"
        "models: {}\nsources: {}\nzones: {}\nrules: {}\n"
    )
    return str(path)


def test_lines_and_json(boxes: Boxes, events: Events, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = boxes()
    begin = outbox.put(events.begin())
    outbox.put(events.end(begin))
    outbox.ack([outbox.take(1)[0].n])
    assert main(["events", "-c", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "sent" in lines[0] and "fire_lane begin" in lines[0] and "cam-03/lane-east" in lines[0]
    assert "waiting" in lines[1] and "(cleared)" in lines[1]
    assert main(["events", "-c", config, "--json", "--since", "2020-01-01"]) == 0
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(d["id"], d["delivery"]) for d in documents[:1]] == [(begin.id, "sent")]


def test_since_and_dead(boxes: Boxes, events: Events, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    outbox = boxes()
    outbox.put(events.begin())
    (message,) = outbox.take(1)
    for _ in range(5):
        outbox.fail(message.n, "0x87 not authorized")
    assert main(["events", "-c", config, "--dead"]) == 0
    assert "refused: 0x87 not authorized" in capsys.readouterr().out
    assert main(["events", "-c", config, "--since", "2999-01-01"]) == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as usage:
        main(["events", "-c", config, "--since", "yesterday"])
    assert usage.value.code == 2


def test_no_outbox_is_said(config: str, boxes: Boxes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "-c", config]) == 1
    assert "outbox" in capsys.readouterr().err


def test_follow_prints_what_comes(boxes: Boxes, events: Events, config: str) -> None:
    outbox = boxes()
    outbox.put(events.begin())
    command = [sys.executable, "-m", "smartbox", "events", "-c", config, "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "#1 " in process.stdout.readline()
        outbox.put(events.begin())
        assert "#2 " in process.stdout.readline()
        process.kill()
