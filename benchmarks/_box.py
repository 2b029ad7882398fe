"""What the benches of the whole box share: clips, cameras, a broker, the daemon as a process, and its cost."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for whoever runs a bench as a file

from smartbox import processor  # noqa: E402
from smartbox.simulation.film import Film, Shot  # noqa: E402
from tests.ports import free_port  # noqa: E402

SYSTEM_PYTHON = "/usr/bin/python3"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartbox" / "bench"


def clip(scene: str, seed: int, start: float = 20.0, seconds: float = 20.0, fps: int = 25) -> Path:
    """A simulated scene as a camera would send it: 1280 x 720, H.264, 2 Mbit/s, a key frame every 2 s. Made once."""
    path = CACHE / f"{scene}-{seed}-{start:g}-{seconds:g}-{fps}.mp4"
    if path.exists():
        return path
    print(f"rendering {path} ...", file=sys.stderr)
    path.parent.mkdir(parents=True, exist_ok=True)
    film, rng, draft = Film(Shot(scene, seed)), np.random.default_rng(seed), path.with_suffix(".part")  # type: ignore[arg-type]
    with av.open(str(draft), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1280, 720, "yuv420p", 2_000_000
        stream.options = {"preset": "veryfast", "g": str(2 * fps), "bf": "0", "maxrate": "2M", "bufsize": "2M"}
        stream.time_base = Fraction(1, fps)
        grain = rng.normal(0, 2, (1280 + 64, 720 + 64)).astype(np.float32).T
        for i in range(round(seconds * fps)):
            picture, _ = film.take(start + i / fps, i)
            x, y = rng.integers(0, 64, 2)
            large = cv2.resize(picture, (1280, 720), interpolation=cv2.INTER_LINEAR)
            large = np.clip(large + grain[y : y + 720, x : x + 1280, None], 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(large, "bgr24")))
        out.mux(stream.encode())
    draft.rename(path)
    return path


def wait_for(condition: Callable[[], object], what: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            sys.exit(f"after {seconds:g} s still not: {what}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Heard:
    """One message, and when it came (epoch s)."""

    topic: str
    document: Any
    at: float


@dataclass
class Stand:
    """Everything that runs: processes to be watched, and what the broker delivered."""

    directory: Path
    broker_port: int
    processes: dict[str, psutil.Process] = field(default_factory=dict)
    heard: list[Heard] = field(default_factory=list)

    def of(self, part: str) -> list[Heard]:
        """What came on topics with /part in them."""
        return [m for m in list(self.heard) if f"/{part}" in m.topic]

    def source_states(self) -> dict[str, str]:
        return {m.topic.rsplit("/", 1)[1]: m.document["state"] for m in self.of("source/")}

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")


class Stage(ExitStack):
    """Starts what a bench needs; ends all of it, in reverse order, when left."""

    def __enter__(self) -> "Stage":
        super().__enter__()
        self.stand = Stand(Path(self.enter_context(tempfile.TemporaryDirectory(prefix="smartbox-bench-"))), free_port())
        return self

    def start(self, name: str, *command: str, **kwargs: Any) -> "subprocess.Popen[str]":
        log = self.enter_context((self.stand.directory / f"{name}.log").open("w"))
        process = self.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, text=True, **{"stdout": log, **kwargs})
        )
        self.callback(_end, process)
        self.stand.processes[name] = psutil.Process(process.pid)
        return process

    def broker(self) -> None:
        """mosquitto on 127.0.0.1, and one subscriber that notes when each message came."""
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            sys.exit("mosquitto is not installed: apt install mosquitto")
        port, config = self.stand.broker_port, self.stand.directory / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self.start("broker", program, "-c", str(config))
        wait_for(lambda: answers(port), "mosquitto answers", 10)
        subscribed = threading.Event()
        client = paho.Client(CallbackAPIVersion.VERSION2, "bench", protocol=paho.MQTTv311)
        client.on_message = lambda _c, _u, message: self._note(message, time.time())
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", port)
        client.subscribe("smartbox/#", 1)
        client.loop_start()
        self.callback(client.loop_stop)
        self.callback(client.disconnect)
        subscribed.wait(10)

    def _note(self, message: paho.MQTTMessage, at: float) -> None:
        if "/picture/" not in message.topic:
            self.stand.heard.append(Heard(message.topic, json.loads(message.payload or b"null"), at))

    def cameras(self, clips: Mapping[str, Path]) -> dict[str, str]:
        """One RTSP server for all clips (nothing is encoded anew); name -> address."""
        if not Path(SYSTEM_PYTHON).exists():
            sys.exit(f"{SYSTEM_PYTHON} with GStreamer's bindings is needed; see tests/rtsp_server.py")
        mounts = [part for name, path in clips.items() for part in ("--mount", f"/{name}={path}")]
        script = str(ROOT / "tests" / "rtsp_server.py")
        server = self.start("cameras", SYSTEM_PYTHON, script, *mounts, stdout=subprocess.PIPE)
        assert server.stdout is not None
        word, _, port = server.stdout.readline().strip().partition(" ")
        if word != "ready":
            sys.exit(f"the RTSP server did not start: {self.stand.log('cameras')}")
        return {name: f"rtsp://127.0.0.1:{port}/{name}" for name in clips}

    def box(self, config: dict[str, Any], threads: int | None = None) -> None:
        """`smartbox run -c` with this configuration; box and mqtt are filled in."""
        stand = self.stand
        path = stand.directory / "smartbox.yaml"
        state = {"site": "bench", "id": "box-1", "state_dir": str(stand.directory / "state")}
        mqtt = {"url": f"mqtt://127.0.0.1:{stand.broker_port}"}
        path.write_text(yaml.safe_dump({"version": 1, "box": state, "mqtt": mqtt, **config}, sort_keys=False))
        env = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        box = self.start("box", sys.executable, "-m", "smartbox", "run", "-c", str(path), env=env)
        wanted = set(config["sources"])

        def online() -> bool:
            if box.poll() is not None:
                sys.exit(f"the box ended with {box.returncode}:\n{stand.log('box')[-3000:]}")
            return {n for n, s in stand.source_states().items() if s == "online"} >= wanted

        wait_for(online, f"all sources online; its log ends with\n{stand.log('box')[-2000:]}", 120)


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


@dataclass
class Cost:
    """Of one process with its children over a while: cores in use, and its share of memory in MiB."""

    cores: float = 0.0
    pss_first: float = 0.0
    pss_last: float = 0.0
    pss_peak: float = 0.0
    threads: int = 0
    files: int = 0


@contextmanager
def measured(processes: Mapping[str, psutil.Process]) -> Iterator[Callable[[], dict[str, Cost]]]:
    """Watch from now on; call what is yielded as often as you like, at least once at the end."""
    began, cpu = time.monotonic(), {name: _cpu(p) for name, p in processes.items()}
    memory = {name: [_pss(p)] for name, p in processes.items()}

    def look() -> dict[str, Cost]:
        took = time.monotonic() - began
        costs = {}
        for name, process in processes.items():
            memory[name].append(_pss(process))
            pss = memory[name]
            cores = (_cpu(process) - cpu[name]) / max(took, 1e-3)
            costs[name] = Cost(cores, pss[0], pss[-1], max(pss), process.num_threads(), process.num_fds())
        return costs

    yield look


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(process: psutil.Process) -> float:
    """User and system time, s."""
    return sum(t.user + t.system for p in _family(process) for t in [p.cpu_times()])


def _pss(process: psutil.Process) -> float:
    """Proportional set size, MiB: shared pages are shared out."""
    return float(sum(p.memory_full_info().pss for p in _family(process))) / 2**20


def machine() -> str:
    """Which machine, and how busy it was before."""
    return f"{processor.machine()}, load {os.getloadavg()[0]:.2f} before the start"
