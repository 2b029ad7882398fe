"""An arm64 Debian run by qemu-user: a foreign root whose programs the kernel hands to qemu-aarch64-static."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import roots

PACKAGES = ("python3", "python3-venv", "ca-certificates", "make")
BINFMT = Path("/proc/sys/fs/binfmt_misc")

# An ELF header of machine 183 (aarch64). Flags: O open the binary, C its credentials, F the interpreter is
# opened now, so that it needs no copy inside the root.
ENTRY = (
    r":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    ":/usr/bin/qemu-aarch64-static:OCF"
)

# The board: a Raspberry Pi 4. qemu's default core, `max`, has every extension that there is; with the newest, SME, on,
# LiteRT's int8 convolutions come out as noise (7.2's fault or LiteRT's: no hardware here could tell). qemu-user
# also shows the host's /proc/cpuinfo, and onnxruntime, which looks there for its ARM core, crashes on an x86 one.
CPU = "cortex-a72"
CORE = """processor\t: {n}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


class Board:
    """The root, and commands run in it."""

    def __init__(self, root: Path, binds: Mapping[Path, str]) -> None:
        self._root = root
        self._binds = binds

    def try_run(self, command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        inside = f"mount --bind /etc/cpuinfo /proc/cpuinfo && {command}"
        nspawn = ["systemd-nspawn", "--quiet", f"--directory={self._root}", "--register=no", "--keep-unit", "--pipe"]
        nspawn += [f"--setenv=QEMU_CPU={CPU}"]
        nspawn += [f"--bind-ro={host}:{place}" for host, place in self._binds.items()]
        return subprocess.run(
            ["nice", *nspawn, "bash", "-c", inside], capture_output=True, text=True, timeout=timeout, check=False
        )

    def run(self, command: str, timeout: float = 600) -> str:
        """A shell line that must succeed; its standard output."""
        done = self.try_run(command, timeout)
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@contextlib.contextmanager
def handler() -> Iterator[None]:
    """arm64 programs run while inside; what was registered here is taken back at the end."""
    if not (BINFMT / "register").exists():
        roots.run("mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT)
    if any(entry.name.startswith("qemu-aarch64") for entry in BINFMT.iterdir()):
        yield
        return
    (BINFMT / "register").write_text(ENTRY)
    try:
        yield
    finally:
        (BINFMT / "qemu-aarch64").write_text("-1")


@contextlib.contextmanager
def board(binds: Mapping[Path, str]) -> Iterator[Board]:
    """A fresh arm64 machine with `binds` (host folder -> read-only place inside)."""
    with handler(), roots.overlay(roots.debian("arm64", PACKAGES)) as root:
        (root / "etc/cpuinfo").write_text("".join(CORE.format(n=n) for n in range(2)))
        yield Board(root, {roots.PROJECT: "/src", roots.wheels("arm64"): "/wheels", **binds})
