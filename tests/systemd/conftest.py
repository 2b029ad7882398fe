"""One booted machine with smartbox installed as a user installs it; camera and broker outside, on loopback."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests import roots
from tests.rtsp import RtspServer, rtsp_server
from tests.systemd import nspawn, red
from tests.systemd.nspawn import Machine

__all__ = ["rtsp_server"]

PLUGIN = Path(__file__).with_name("hang_plugin")


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The red clip, and the bundle that finds red: what is made on the host."""
    folder = tmp_path_factory.mktemp("outside")
    red.clip(folder / "red.mp4")
    red.bundle(folder / "red-park")
    return folder


@pytest.fixture(scope="session")
def machine(outside: Path) -> Iterator[Machine]:
    """Booted, `make install` done, the red bundle and the third party's backend added, the service not started."""
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("debootstrap"):
        pytest.fail("needs root, systemd-nspawn and debootstrap: `make test-systemd` installs them")
    root = roots.debian(roots.native_arch(), nspawn.PACKAGES)
    binds = {roots.PROJECT: "/src", roots.wheels(roots.native_arch()): "/wheels", outside: "/outside"}
    with roots.overlay(root) as merged, nspawn.booted(merged, binds) as booted:
        booted.run("cp -r /outside/red-park /srv/")
        prepare(booted)
        yield booted


def prepare(machine: Machine) -> str:
    """`make install`, with the third party's backend; what it said."""
    plugin = f"/src/{PLUGIN.relative_to(roots.PROJECT)}"
    machine.run(f"rm -rf /srv/hang; cp -r {plugin} /srv/hang")
    machine.run("mkdir -p /etc/smartbox; echo /srv/hang > /etc/smartbox/plugins.txt")
    return machine.run("make -C /src install WHEELS=/wheels 2>&1", timeout=600)


@pytest.fixture
def camera(outside: Path, rtsp_server: Callable[..., RtspServer]) -> RtspServer:
    """An IP camera with a password, looking at the red block."""
    return rtsp_server({"/red": outside / "red.mp4"}, user="admin", password="hunter2")


class Service:
    """smartbox.service on the machine: configured anew and started for each test."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.text = ""

    def configure(self, broker_url: str, camera_url: str, backends: object = ("onnxruntime",)) -> None:
        """One camera, one intrusion zone over its whole picture, no dwell; the camera's address is a secret."""
        self.secret("camera_url", camera_url)
        zone = {"source": "yard", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        self.write(
            {
                "version": 1,
                "box": {"site": "test", "id": "box-1"},
                "mqtt": {"url": broker_url},
                "models": {"eyes": {"bundle": "/srv/red-park", "backends": list(backends)}},
                "sources": {"yard": {"type": "rtsp", "url": "SECRET", "fps": 5, "model": "eyes"}},
                "zones": {"all": zone},
                "rules": {"nobody": {"type": "intrusion", "zones": ["all"], "labels": ["person"], "dwell": 0}},
            }
        )

    def secret(self, name: str, value: str) -> None:
        path = self.machine.root / "etc/smartbox/secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def write(self, config: object) -> None:
        text = config if isinstance(config, str) else yaml.safe_dump(config)
        self.text = text.replace("SECRET", "!secret camera_url")
        (self.machine.root / "etc/smartbox/smartbox.yaml").write_text(self.text)

    def start(self) -> None:
        started = self.machine.try_run("systemctl start smartbox", timeout=100)
        assert started.returncode == 0, f"{started.stderr}\n{self.machine.state()}"


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Stopped and without state, before and after."""
    machine.run("systemctl stop smartbox; systemctl reset-failed smartbox; rm -rf /var/lib/smartbox/*", check=False)
    machine.mark()
    yield Service(machine)
    machine.run("systemctl stop smartbox", check=False)
