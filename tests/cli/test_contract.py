"""What other tools rely on: one JSON document on stdout and nothing else, exit codes, and examples that parse."""

import argparse
import json
import pkgutil
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from smartbox import commands
from smartbox.__main__ import parser
from tests.cli.conftest import Said, Site

COMMANDS = sorted(m.name for m in pkgutil.iter_modules(commands.__path__) if not m.name.startswith("_"))


def leaves(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every command that can be run, by its words: `check`, `lab train`."""
    found = {}
    for action in top._actions:  # argparse offers no other way to its sub-parsers
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                below = leaves(one)
                found |= {f"{name} {rest}": part for rest, part in below.items()} if below else {name: one}
    return found


LEAVES = leaves(parser())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_command_parses(name: str, smartbox: Callable[..., Said]) -> None:
    module = import_module(f"smartbox.commands.{name}")
    said = smartbox(name, "--help")
    assert (said.code, said.err) == (0, "")
    assert module.EXAMPLE in said.out
    for line in module.EXAMPLE.splitlines():
        program, *words = shlex.split(line.partition(">")[0])
        assert (program, words[0]) == ("smartbox", name)
        assert parser(words[:1]).parse_args(words).command == name


def test_every_argument_is_explained() -> None:
    silent = [
        f"{name} {'/'.join(action.option_strings) or action.dest}"
        for name, one in LEAVES.items()
        for action in one._actions
        if not action.help
    ]
    assert not silent


# Commands with --json, how they are called here, and whether it is one document or lines of them.
JSON = {
    "check": (["-c", "smartbox.yaml"], "document"),
    "replay": (["-c", "smartbox.yaml", "--input", "gate=seen.jsonl", "--truth", "truth.jsonl"], "lines"),
    "score": (["-c", "smartbox.yaml", "--truth", "truth.jsonl", "--events", "events.jsonl"], "document"),
    "simulate": (["lane", "--duration", "1s", "--fps", "2"], "lines"),
    "bench": (["--bundle", "eyes", "--runs", "2", "--backend", "scripted"], "document"),
    "models": (["verify"], "document"),
}


@pytest.mark.parametrize("name", JSON)
def test_stdout_is_json_and_nothing_else(site: Site, smartbox: Callable[..., Said], name: str) -> None:
    site.write("events.jsonl", "")
    arguments, form = JSON[name]
    said = smartbox(name, *arguments, "--json")
    assert said.code == 0, said.err
    texts = said.out.splitlines() if form == "lines" else [said.out]
    for text in texts:
        assert isinstance(json.loads(text, parse_constant=pytest.fail), dict)  # NaN is no JSON
    assert texts or name == "simulate"


def test_every_command_with_json_is_tried() -> None:
    having = {name for name, one in LEAVES.items() if any("--json" in a.option_strings for a in one._actions)}
    # events: tests/cli/test_run.py. lab: needs its extra, tests/lab.
    assert {name for name in having if not name.startswith("lab ")} == {*JSON, "events"}


def test_a_probe_leaves_the_record_of_deaths_alone(site: Site, smartbox: Callable[..., Said]) -> None:
    (site.path / "state").mkdir(exist_ok=True)
    record = site.write("state/trials.json", '{"eyes 01234567 scripted 89abcdef": 3}')
    before = record.read_text()
    smartbox("check", "-c", site.config, "--probe")
    assert record.read_text() == before


def test_check_with_probe_is_one_document(site: Site, smartbox: Callable[..., Said]) -> None:
    said = smartbox("check", "-c", site.config, "--probe", "--json", "--pictures", site.path / "look")
    assert said.code == 1  # there is no broker
    assert {item["what"] for item in said.document["probe"]} >= {"models.eyes", "sources.gate", "mqtt", "picture"}


@pytest.mark.parametrize("which", ["config", "event"])
def test_schemas_are_json(smartbox: Callable[..., Said], which: str) -> None:
    said = smartbox("schema", which)
    assert (said.code, said.err) == (0, "")
    assert said.document["$schema"].startswith("https://json-schema.org/")


def test_output_into_a_closed_pipe_is_no_error(site: Site) -> None:
    """`smartbox schema config | head -1`."""
    program = f"{sys.executable} -m smartbox"
    line = f"set -o pipefail; {program} schema config | head -c 10"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert len(done.stdout) == 10


def test_a_file_as_full_as_a_disk(site: Site) -> None:
    """/dev/full takes nothing: said in one line."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "smartbox", "schema", "config"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_replay_without_end_says_how_to_end_it(site: Site, clip: Path) -> None:
    """A simulator plays for ever; Ctrl-C is a way out that leaves no trace of Python."""
    site.edit(f"type: file, path: {clip}", "type: simulator, scene: gate")
    program = [sys.executable, "-m", "smartbox", "replay", "-c", str(site.config)]
    command = ["env", "--default-signal=INT", *program]  # what runs in the background of a shell may not hear it
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as replay:
        assert replay.stderr is not None
        said = replay.stderr.readline()
        replay.send_signal(signal.SIGINT)
        rest = replay.stderr.read()
    assert said == "gate: a simulator has no end; --until 3min stops, or Ctrl-C\n"
    assert (replay.returncode, rest) == (130, "")
