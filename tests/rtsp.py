"""Real RTSP servers for tests: GStreamer's, in a process of its own. Fixture `rtsp_server`.

def test_x(rtsp_server, tmp_path):
    server = rtsp_server({"/a": clip}, user="admin", password="secret")
    server.url("/a"); server.tell("stall /a"); server.freeze(); server.kill()
"""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.ports import free_port

PYTHON = "/usr/bin/python3"
SCRIPT = Path(__file__).with_name("rtsp_server.py")
_NEEDED = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


class RtspServer:
    """One server process with its mounts."""

    def __init__(
        self, mounts: Mapping[str, Path], user: str = "", password: str = "", port: int = 0, talking: bool = False
    ) -> None:
        args = [PYTHON, str(SCRIPT), "--port", str(port or free_port())]
        for name, clip in mounts.items():
            args += ["--mount", f"{name}={clip}"]
        if user:
            args += ["--user", user, "--password", password]
        if talking:
            args.append("--talking")
        self.user, self.password = user, password
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        word, _, number = self._line().partition(" ")
        assert word == "ready", f"the RTSP server did not start: {word}"
        self.port = int(number)

    def url(self, mount: str) -> str:
        """With the account in it, when there is one."""
        account = f"{self.user}:{self.password}@" if self.user else ""
        return f"rtsp://{account}127.0.0.1:{self.port}{mount}"

    def tell(self, command: str) -> None:
        """`stall /a` · `resume /a` · `garble /a` · `drop`; returns when it is done."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self._line() == f"done {command}"

    def freeze(self) -> None:
        """The whole process stands still: connections open, not a byte comes."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a camera that loses power (its kernel still closes the connections)."""
        self.process.kill()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def rtsp_server() -> Iterator[Callable[..., RtspServer]]:
    """Starts servers; all are ended with the test. Skips loudly where GStreamer's RTSP server is not installed."""
    if not shutil.which(PYTHON) or subprocess.run([PYTHON, "-c", _NEEDED], capture_output=True, check=False).returncode:
        pytest.skip("no RTSP server: apt install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{good,bad}")
    servers: list[RtspServer] = []

    def start(
        mounts: Mapping[str, Path], user: str = "", password: str = "", port: int = 0, talking: bool = False
    ) -> RtspServer:
        servers.append(RtspServer(mounts, user, password, port, talking))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
