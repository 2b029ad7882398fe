"""Honest health: which source is online, what the machine has left, how fast the models are."""

import ctypes
import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from smartbox.types import Fault

State = Literal["online", "degraded", "offline", "disabled"]
SILENT_S = 8.0
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


@dataclass
class SourceHealth:
    """What is known of one source. The reader reports frames and errors, the inference worker faults; `judge` decides.

    A source that delivers nothing for SILENT_S is offline, whatever the reader says.
    """

    started: float
    state: State = "offline"
    reason: str = "starting"
    since_utc: float = 0.0
    last_sample: float | None = None
    error: str | None = None
    ended: bool = False
    enabled: bool = True
    faults: frozenset[Fault] = frozenset()
    times: deque[float] = field(default_factory=lambda: deque(maxlen=50))

    def sample(self, now: float) -> None:
        self.last_sample = now
        self.error = None
        self.times.append(now)

    def broke(self, error: str) -> None:
        self.error = error

    def judge(self, now: float, utc: float) -> bool:
        """Work the state out anew; True when state or reason changed."""
        state, reason = self._now(now)
        if (state, reason) == (self.state, self.reason):
            return False
        self.state, self.reason, self.since_utc = state, reason, utc
        return True

    def _now(self, now: float) -> tuple[State, str]:
        if not self.enabled:
            return "disabled", "by the configuration"
        if self.ended:
            return "offline", "the recording has ended"
        if self.error is not None:
            return "offline", self.error
        if self.last_sample is None:
            return "offline", "starting" if now - self.started < SILENT_S else "delivers nothing since the start"
        if now - self.last_sample > SILENT_S:
            return "offline", "delivers nothing"
        return ("degraded", " and ".join(sorted(self.faults))) if self.faults else ("online", "")

    @property
    def fps(self) -> float:
        """Samples a second over the last 50."""
        span = self.times[-1] - self.times[0] if len(self.times) > 1 else 0.0
        return (len(self.times) - 1) / span if span > 0 else 0.0

    def report(self, now: float) -> dict[str, Any]:
        """For the health document."""
        age = None if self.last_sample is None else round(now - self.last_sample, 2)
        return {"state": self.state, "fps": round(self.fps, 2), "last_sample_age_s": age}


class Timings:
    """The last 500 durations of something, s."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=500)

    def add(self, seconds: float) -> None:
        self._last.append(seconds)

    def summary(self) -> dict[str, float]:
        """p50 and p95 in ms; empty before the first."""
        if not self._last:
            return {}
        p50, p95 = np.percentile(np.array(self._last), [50, 95]) * 1000
        return {"p50_ms": round(float(p50), 1), "p95_ms": round(float(p95), 1)}


def machine(state_dir: Path) -> dict[str, Any]:
    """Load, temperature, memory and disk, as far as this machine tells."""
    disk = shutil.disk_usage(state_dir)
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return {
        "cpu": {"load": round(load, 2)},
        "temperature_c": _temperature(),
        "memory": _memory(),
        "disk": {"free_bytes": disk.free, "total_bytes": disk.total},
    }


def _temperature() -> float | None:
    readings = []
    for path in Path("/sys/class/thermal").glob("thermal_zone*/temp"):
        try:
            readings.append(int(path.read_text()) / 1000)
        except (OSError, ValueError):
            continue
    return max(readings, default=None)


def _memory() -> dict[str, int]:
    wanted = {"MemTotal": "total_bytes", "MemAvailable": "available_bytes"}
    found = {}
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["process_bytes"] = pages * os.sysconf("SC_PAGESIZE")
    except OSError:
        lines = []
    for line in lines:
        key, _, rest = line.partition(":")
        if key in wanted:
            found[wanted[key]] = int(rest.split()[0]) * 1024
    return found


def clock_synchronised() -> bool:
    """Whether the kernel's clock is disciplined by NTP; in a sandbox that hides it, what timesyncd wrote."""
    buffer = ctypes.create_string_buffer(256)  # struct timex with modes = 0: only read
    result = ctypes.CDLL(None).adjtimex(buffer)
    if result >= 0:
        return bool(result != TIME_ERROR)
    return Path("/run/systemd/timesync/synchronized").exists()


def source_document(source: SourceHealth, stamp: Callable[[float], str]) -> Mapping[str, Any]:
    """The retained `source/{source}` document."""
    return {"state": source.state, "reason": source.reason or None, "since": stamp(source.since_utc)}
