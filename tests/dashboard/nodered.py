"""Node-RED with the shipped flow, as `deploy/dashboards/node-red` starts it."""

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.mosquitto import wait_for
from tests.ports import free_port

SCRIPT = ROOT / "deploy" / "dashboards" / "node-red"
INSTALLING = 300.0


class NodeRed:
    """start, stop; the port and what it keeps on disk stay the same."""

    def __init__(self, directory: Path, broker: str, **environment: str) -> None:
        if not (shutil.which("node") and shutil.which("npm")):
            pytest.skip("no node or no npm: apt install nodejs npm")
        self.port = free_port()
        self.log = directory / "node-red.log"
        self.command: list[str | Path] = [SCRIPT, directory / "user"]
        own = {"PORT": str(self.port), "SMARTBOX_MQTT_URL": broker, **environment}
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SMARTBOX_")}
        self._environment = {**kept, **own}
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)

    def start(self, page: str = "dashboard/alarms") -> "NodeRed":
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log, env=self._environment)
        wait_for(lambda: self._answers(page), "Node-RED's page", INSTALLING)
        return self

    def _answers(self, page: str) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"Node-RED ended: {self.log.read_text()}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{page}", timeout=5).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def url(self, page: str) -> str:
        return f"http://127.0.0.1:{self.port}/dashboard/{page}"

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
