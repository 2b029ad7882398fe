"""Takes the processor away from a box, by the same measure whatever else this machine has to do.

Half of the machine's processing time is set aside, in a cgroup whose weight is beyond all others; there the box has to
share it with four endless loops for each processor. Who sends and who listens has a group of the same weight. Where no
cgroup can be made the loops are simply there, and so is whatever else runs.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # µs


class Stress:
    """`begin` on a running box, `share` of one processor that it got since, `end`."""

    def __init__(self) -> None:
        self._loops: list[subprocess.Popen[bytes]] = []
        self._groups: list[Path] = []
        self._since = self._used = 0.0
        self.conditions = ""

    def begin(self, pid: int, others: list[int]) -> None:
        """others: processes that are not the box' and shall not wait for those of this machine."""
        cores = os.cpu_count() or 1
        loops = 2 * cores
        self.conditions = f"{loops} loops and the box in {cores / 2:g} processors of {cores}"
        try:
            self._groups += [_made("box", cores / 2), _made("others", None)]
            _join(self._groups[1], others)
            _join(self._groups[0], [pid])
        except OSError:
            self.conditions = f"{loops} loops, {cores} processors, load {os.getloadavg()[0]:.0f} before"
        for _ in range(loops):
            self._loops.append(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            if self._groups:
                _join(self._groups[0], [self._loops[-1].pid])
        self._since, self._used = time.monotonic(), _seconds(pid)

    def share(self, pid: int) -> float:
        return (_seconds(pid) - self._used) / (time.monotonic() - self._since)

    def end(self) -> None:
        for loop in self._loops:
            loop.kill()
            loop.wait()
        for group in self._groups:
            _join(group.parent, [int(pid) for pid in (group / "cgroup.procs").read_text().split()])
            group.rmdir()


def _made(name: str, processors: float | None) -> Path:
    """A group of cgroup v2 or v1. OSError where none can be made."""
    second = (ROOT / "cgroup.controllers").exists()
    group = (ROOT if second else ROOT / "cpu") / f"smartbox-test-{os.getpid()}-{name}"
    group.mkdir()
    try:
        (group / ("cpu.weight" if second else "cpu.shares")).write_text("10000" if second else "262144")
        if processors is not None:
            quota = int(processors * _PERIOD)
            text = f"{quota} {_PERIOD}" if second else str(quota)
            (group / ("cpu.max" if second else "cpu.cfs_quota_us")).write_text(text)
    except OSError:
        group.rmdir()
        raise
    return group


def _join(group: Path, processes: list[int]) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):  # it has just ended
            (group / "cgroup.procs").write_text(str(pid))


def _seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
