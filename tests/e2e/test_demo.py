"""The demo park: what the rules report from pixels is the scenario's truth, nothing more and nothing less."""

import contextlib
import hashlib
import io
import json
import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartbox.__main__ import main
from tests.conftest import ROOT
from tests.e2e.conftest import Box, documents
from tests.mosquitto import Consumer, wait_for

DEMO = ROOT / "deploy" / "demo.yaml"
ROUND = timedelta(seconds=175)
"""Of the park's 180 s; the reports come every minute, the first when it connects."""
RANDOM_SEEDS = int(os.environ.get("DEMO_SEEDS", "5"))


def demo(tmp_path: Path, seed: int) -> Path:
    """The demo's configuration with one seed for all cameras and a state directory of its own."""
    values = yaml.safe_load(DEMO.read_text())
    values["box"]["state_dir"] = str(tmp_path / "state")
    for source in values["sources"].values():
        source["seed"] = seed
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def lines_of(*command: str) -> list[dict[str, object]]:
    """The JSON lines that a command prints."""
    output = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with contextlib.redirect_stdout(output):
        assert main(command) == 0
    output.seek(0)
    return [json.loads(line) for line in output]


def simulate(tmp_path: Path, config: Path) -> list[dict[str, object]]:
    """Renders the cameras; the episodes that must be reported."""
    return lines_of("simulate", "-c", str(config), "-o", str(tmp_path / "park"), "--json")


def replay(tmp_path: Path, config: Path) -> dict[str, object]:
    """The score of what is reported from the rendered videos: nothing but pixels can reach the rules."""
    inputs = [f"--input={name}={tmp_path / 'park' / name / 'video.mp4'}" for name in ("post", "lane", "lot", "gate")]
    truth = str(tmp_path / "park" / "truth.jsonl")
    return lines_of("replay", "-c", str(config), *inputs, "--truth", truth, "--json")[-1]


@pytest.mark.timeout(600)
def test_recorded_park_is_reported_as_it_happened(tmp_path: Path) -> None:
    config = demo(tmp_path, seed=1)
    due = simulate(tmp_path, config)
    assert {line["rule"] for line in due} == {"guard-awake", "lane-clear", "lot-full", "yard-closed"}
    score = replay(tmp_path, config)
    assert (score["true"], score["false"], score["missed"]) == (len(due), 0, 0), score["wrong"]


@pytest.mark.slow
@pytest.mark.timeout(300 * RANDOM_SEEDS)
def test_random_parks_are_reported_as_they_happened(tmp_path: Path) -> None:
    wrong = {}
    for seed in random.SystemRandom().sample(range(1_000_000), RANDOM_SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        config = demo(folder, seed)
        due = simulate(folder, config)
        score = replay(folder, config)
        print(f"seed {seed}: {len(due)} due, {score['true']} true, {score['false']} false, {score['missed']} missed")
        if (score["true"], score["false"], score["missed"]) != (len(due), 0, 0):
            wrong[seed] = score["wrong"]
    assert not wrong


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_running_demo_tells_everything_within_three_minutes(tmp_path: Path) -> None:
    """`make run` with the demo's own broker: begin and end of every kind, each begin with its picture."""
    config = demo(tmp_path, seed=random.SystemRandom().randrange(1_000_000))
    print(config.read_text())
    due = simulate(tmp_path, config)
    with contextlib.closing(Box(config, tmp_path / "box.log").start()) as box:
        box.wait_log("connected to 127.0.0.1:18830")
        since = datetime.now(UTC)
        with contextlib.closing(Consumer(18830, "stranger", "smartbox/v1/demo/box-1/#")) as consumer:
            everything_came(consumer, due, tmp_path / "state" / "evidence", since)
        assert box.stop() == 0


def everything_came(consumer: Consumer, due: list[dict[str, object]], pictures: Path, since: datetime) -> None:
    """When the round is over, begin and end of all that was due have come, and of nothing else."""

    def minutes() -> list[datetime]:
        return [datetime.fromisoformat(str(d["ts"])) for d in documents(consumer, "tele/health")]

    wait_for(
        lambda: any(ts - since >= ROUND for ts in minutes()), "the health report after the round's last minute", 250
    )

    def told(phase: str) -> list[dict[str, Any]]:
        every = [d["data"] for d in documents(consumer, "event/")]
        return [data for data in every if data["phase"] == phase and data["rule"]["id"] != "system"]

    begins = told("begin")
    assert Counter(begin["rule"]["id"] for begin in begins) == Counter(str(line["rule"]) for line in due)
    episodes = {begin["episode"] for begin in begins}
    # Long over, but where others take the processor no pictures come, and rules' timers wait for them.
    wait_for(lambda: {data["episode"] for data in told("end")} >= episodes, "every end", 60)
    for begin in begins:
        assert begin["evidence"]
        for evidence in begin["evidence"]:
            picture = (pictures / evidence["name"]).read_bytes()
            assert hashlib.sha256(picture).hexdigest() == evidence["sha256"]
        assert consumer.on(f"picture/{begin['episode']}")
        judge = "muffnet-posture" if begin["rule"]["id"] == "guard-awake" else "lrssd-park"
        assert begin["model"]["name"] == judge
