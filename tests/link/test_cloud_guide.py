"""The lines of docs/guide/cloud.md, run as they stand there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbox.cloud.desired import read
from smartbox.keys import PublicKey
from tests.link.box import ROOT, Box, Cloud
from tests.mosquitto import Mosquitto, wait_for

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "cloud.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)


def block(language: str, part: str) -> str:
    (found,) = [text for kind, text in BLOCKS if kind == language and part in text]
    return found


def shell(script: str, directory: Path) -> str:
    done = subprocess.run(["bash", "-euc", script], cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def cloud(mosquitto: Mosquitto) -> Iterator[Cloud]:
    if shutil.which("mosquitto_pub") is None:
        pytest.skip("mosquitto_pub is not installed: `make test` installs it")
    cloud = Cloud(mosquitto.port)
    yield cloud
    cloud.close()


def test_commands_as_the_guide_sends_them(tmp_path: Path, mosquitto: Mosquitto, cloud: Cloud) -> None:
    zones = "zones: {yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}}"
    more = f"sources: {{gate: {{type: simulator, scene: gate, fps: 5}}}}\n{zones}\n"
    more += "rules: {yard-at-night: {type: tamper, cameras: [gate]}}\n"
    box = Box(tmp_path / "box", mosquitto.url, more).start()
    try:
        wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
        script = block("sh", "command() {").replace("-h BROKER", f"-h 127.0.0.1 -p {mosquitto.port}")
        shell(f"ROOT={ROOT}\n{script}", tmp_path)
        for n in range(1, 5):
            assert cloud.answer(f"c-{n}")["status"] == "done", cloud.acks(f"c-{n}")
    finally:
        box.stop()


def test_a_configuration_as_the_guide_signs_it(tmp_path: Path) -> None:
    public = shell(block("sh", "openssl genpkey"), tmp_path).strip()
    (tmp_path / "sign.py").write_text(block("python", "PyJWS"))
    done = subprocess.run([sys.executable, "sign.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = read(done.stdout.strip().encode(), [PublicKey.parse(public, "ed25519")], "my-site/box-1")
    assert wanted.version == 8 and set(wanted.sections) == {"rules"}
