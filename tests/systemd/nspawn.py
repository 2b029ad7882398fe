"""A Debian machine booted by systemd-nspawn: its own PID 1, journal and cgroups; the host's network."""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "procps", "iproute2", "ca-certificates", "make"),
    *("python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "pkg-config", "libsystemd-dev"),
)

MEMORY = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").is_dir() else Path("/sys/fs/cgroup")


class Machine:
    """Runs commands inside by entering the namespaces of its PID 1."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self.leader = leader
        self._since = "0"

    def run(self, command: str, timeout: float = 60, check: bool = True) -> str:
        """A shell line inside, as root; its standard output. With `check` it must succeed."""
        done = self.try_run(command, timeout)
        if check and done.returncode:
            raise AssertionError(f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def try_run(self, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--pid", "--root", "--wd"]
        clean = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        return subprocess.run(
            [*enter, *clean, "bash", "-c", command], capture_output=True, text=True, timeout=timeout, check=False
        )

    def show(self, *properties: str, unit: str = "smartbox") -> Mapping[str, str]:
        """Properties of a unit, as `systemctl show` prints them."""
        wanted = " ".join(f"-p {shlex.quote(p)}" for p in properties)
        lines = self.run(f"systemctl show {wanted} {unit}").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def mark(self) -> None:
        """The journal begins here."""
        self._since = self.run("date +%s.%6N").strip()

    def journal(self, *arguments: str) -> str:
        """The unit's journal since the mark."""
        return self.run(f"journalctl -u smartbox --since=@{self._since} -o cat {shlex.join(arguments)}")

    def main_pid(self) -> int:
        """The service's process, as the machine numbers it."""
        return int(self.show("MainPID")["MainPID"])

    def wait_until(self, what: str, command: str, timeout: float) -> float:
        """Wait for a shell condition inside to hold; how many seconds it took."""
        began = time.monotonic()
        while self.try_run(command).returncode:
            if time.monotonic() - began > timeout:
                raise AssertionError(f"after {timeout:.0f} s still not: {what}\n{self.state()}")
            time.sleep(0.2)
        return time.monotonic() - began

    @contextlib.contextmanager
    def memory_limit(self, pid: int, size: int) -> Iterator[None]:
        """A process of the machine gets a memory cgroup of its own on the host; what it takes from now on counts."""
        group = MEMORY / f"smartbox-test-{pid}"
        group.mkdir()
        try:
            limit = "memory.limit_in_bytes" if (group / "memory.limit_in_bytes").exists() else "memory.max"
            (group / limit).write_text(str(size))
            (group / "cgroup.procs").write_text(str(self.host_pid(pid)))
            yield
        finally:
            for left in (group / "cgroup.procs").read_text().split():
                (MEMORY / "cgroup.procs").write_text(left)
            group.rmdir()

    def host_pid(self, pid: int) -> int:
        """What the host calls a process of the machine: same PID namespace as its PID 1, that number inside."""
        space = Path(f"/proc/{self.leader}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, IndexError):
                if entry.name.isdecimal() and (entry / "ns/pid").readlink() == space:
                    numbers = (entry / "status").read_text().split("NSpid:")[1].split("\n")[0].split()
                    if numbers[-1] == str(pid):
                        return int(entry.name)
        raise AssertionError(f"no process {pid} on the machine")

    def state(self) -> str:
        """What a person would look at first."""
        done = self.try_run(
            "systemctl status smartbox --no-pager -n0; journalctl -u smartbox --no-pager -n60 -o short-precise"
        )
        return done.stdout


@contextlib.contextmanager
def booted(root: Path, binds: Mapping[Path, str]) -> Iterator[Machine]:
    """Boot `root`, wait for multi-user, power off at the end. binds: host folder -> read-only place inside."""
    command = ["systemd-nspawn", "--quiet", "--directory", str(root), "--register=no", "--keep-unit", "--boot"]
    command += [f"--bind-ro={host}:{inside}" for host, inside in binds.items()]
    console = root.parent / "console.log"
    with console.open("w") as log:
        nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        machine = Machine(root, _leader(nspawn, console))
        machine.wait_until("booted", "systemctl is-system-running | grep -qE 'running|degraded'", 60)
        yield machine
        machine.try_run("systemctl poweroff --force")
        nspawn.wait(20)
    finally:
        nspawn.kill()
        nspawn.wait()


def _leader(nspawn: "subprocess.Popen[bytes]", console: Path) -> int:
    """The host's number of the machine's PID 1: nspawn's child, once it is systemd."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and nspawn.poll() is None:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                inside = Path(f"/proc/{child}/status").read_text().split("NSpid:")[1].split("\n")[0].split()
                if inside[-1] == "1" and Path(f"/proc/{child}/exe").readlink().name == "systemd":
                    return int(child)
        time.sleep(0.1)
    raise AssertionError(f"systemd-nspawn did not boot:\n{console.read_text()[-3000:]}")
