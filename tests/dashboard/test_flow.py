"""The flow that ships: built from its sources, complete, with nothing in it that belongs to one machine."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

DASHBOARDS = ROOT / "deploy" / "dashboards"
FLOW: list[dict[str, Any]] = json.loads((DASHBOARDS / "smartbox.json").read_text())


def test_it_is_what_its_sources_make() -> None:
    done = subprocess.run(
        [sys.executable, DASHBOARDS / "build", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_wire_leads_to_a_node_and_every_id_is_one() -> None:
    ids = [node["id"] for node in FLOW]
    assert len(ids) == len(set(ids))
    used = {to for node in FLOW for wires in node.get("wires", []) for to in wires}
    used |= {node[key] for node in FLOW for key in ("z", "broker", "group", "page", "ui", "theme") if node.get(key, "")}
    assert used - set(ids) <= {"127.0.0.1"}


def test_it_hears_every_documented_topic() -> None:
    """What a box publishes for people and docs/ref/topics.md lists."""
    heard = {node["topic"].removeprefix("smartbox/v1/+/+/") for node in FLOW if node["type"] == "mqtt in"}
    wanted = {"state", "birth", "event/+/+", "picture/+", "active/+/+", "source/+", "occupancy/+", "tele/health"}
    assert heard == wanted | {"cmd/+/ack"}


def test_there_is_no_secret_and_no_unchecked_certificate_in_it() -> None:
    text = json.dumps(FLOW)
    assert "credentials" not in {key for node in FLOW for key in node}
    (tls,) = [node for node in FLOW if node["type"] == "tls-config"]
    assert tls["verifyservercert"] is True
    assert not re.search(r"https?://(?!127\.0\.0\.1)", text)


def test_the_lock_names_no_host() -> None:
    """Where packages come from is each machine's own matter."""
    lock = json.loads((DASHBOARDS / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all(package.get("integrity") for name, package in lock["packages"].items() if name)


def test_what_it_makes_of_messages() -> None:
    if shutil.which("node") is None:
        pytest.skip("no node: apt install nodejs")
    tests = Path(__file__).parent / "fleet.test.js"
    done = subprocess.run(["node", "--test", tests], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
