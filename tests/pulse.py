"""A real PulseAudio with null sinks: what is played into one comes out of its monitor, which is a microphone.

Each server has a directory of its own for everything, so that it runs as root and beside a desktop's. ALSA, and with it
PortAudio, knows the monitors by the names of their sinks, and the sinks with `-out` behind them, through a
configuration of its own (ALSA_CONFIG_PATH).
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ALSA = Path("/usr/share/alsa/alsa.conf")
START_S = 20.0


class Pulse:
    """The running server. `plug` and `unplug` sinks; `play` into one."""

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        self.environment = {
            "HOME": str(root),
            "XDG_RUNTIME_DIR": str(root),
            "PULSE_RUNTIME_PATH": str(root / "run"),
            "PULSE_STATE_PATH": str(root / "state"),
            "PULSE_SERVER": f"unix:{root / 'run' / 'native'}",
            "ALSA_CONFIG_PATH": str(root / "asound.conf"),
        }
        places = "".join(
            f'pcm.{name} {{ type pulse device "{name}.monitor" }}\npcm.{name}-out {{ type pulse device "{name}" }}\n'
            for name in names
        )
        (root / "asound.conf").write_text(f"<{ALSA}>\n{places}")
        self._modules: dict[str, str] = {}
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        socket = self.root / "run" / "native"
        socket.parent.mkdir(mode=0o700)
        options = ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes", "-vv"]
        load = ["-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1"]
        with (self.root / "pulse.log").open("wb") as log:
            self._server = subprocess.Popen(["pulseaudio", *options, *load], env=self._env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while subprocess.run(["pactl", "info"], env=self._env, capture_output=True, check=False).returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"pulseaudio does not start:\n{(self.root / 'pulse.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait(10)

    def freeze(self) -> None:
        """It stands still, as a driver that hangs."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._server is not None
        self._server.send_signal(signal.SIGCONT)

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _pactl(self, *words: str) -> str:
        said = subprocess.run(["pactl", *words], env=self._env, capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def plug(self, name: str) -> None:
        """A sink of that name, and so its microphone, comes."""
        self._modules[name] = self._pactl("load-module", "module-null-sink", f"sink_name={name}", "rate=48000")

    def unplug(self, name: str) -> None:
        self._pactl("unload-module", self._modules.pop(name))

    @contextmanager
    def play(self, name: str, wav: Path) -> Iterator[None]:
        """While inside, the file sounds once."""
        player = subprocess.Popen(["paplay", f"--device={name}", str(wav)], env=self._env)
        try:
            yield
        finally:
            player.kill()
            player.wait(10)


@contextmanager
def running(root: Path, *names: str) -> Iterator[Pulse]:
    """A server that may have sinks of these names; none is plugged in yet."""
    lacking = [program for program in ("pulseaudio", "pactl", "paplay") if not shutil.which(program)]
    if lacking or importlib.util.find_spec("pyaudio") is None:
        what = ", ".join(lacking) or "PyAudio"
        pytest.skip(f"{what} is not installed: `make test` installs it, or apt install pulseaudio portaudio19-dev")
    root.mkdir(parents=True, exist_ok=True)
    pulse = Pulse(root, names)
    pulse.start()
    try:
        yield pulse
    finally:
        pulse.stop()
