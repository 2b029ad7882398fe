"""Debian roots to install into: debootstrapped once, kept outside git, each test session on a fresh overlay.

Folder: $SMARTBOX_ROOTS, or /var/tmp/smartbox-roots. Delete it to begin again.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("SMARTBOX_ROOTS", "/var/tmp/smartbox-roots"))
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
EXTRAS = ("tflite", "systemd")


def run(*command: str | Path, **kwargs: object) -> None:
    """A step that must work; its output is shown only when it does not."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **kwargs)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def debian(arch: str, packages: Sequence[str]) -> Path:
    """A bookworm root of `arch` with `packages`; a foreign architecture needs its binfmt handler."""
    key = hashlib.sha256(" ".join([MIRROR, *sorted(packages)]).encode()).hexdigest()[:12]
    root = CACHE / f"{arch}-{key}"
    if (root / ".complete").exists():
        return root
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    print(f"debootstrap {arch} into {root}: a few minutes, once", file=sys.stderr)
    include = f"--include={','.join(packages)}"
    if arch == native_arch():
        run("debootstrap", "--variant=minbase", include, "bookworm", root, MIRROR)
    else:
        run("debootstrap", "--foreign", f"--arch={arch}", "--variant=minbase", include, "bookworm", root, MIRROR)
        run("chroot", root, "/debootstrap/debootstrap", "--second-stage")
    (root / ".complete").touch()
    return root


def native_arch() -> str:
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


def wheels(arch: str) -> Path:
    """Every wheel that an installation on Debian 12 (Python 3.11) needs, fetched once per pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    needs = [*project["dependencies"], *(r for e in EXTRAS if e != "systemd" for r in optional[e])]
    needs += ["setuptools>=77", "wheel", "pip"]
    key = hashlib.sha256("\n".join(needs).encode()).hexdigest()[:12]
    folder = CACHE / f"wheels-{arch}-{key}"
    if (folder / ".complete").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    print(f"fetching the wheels for {arch} into {folder}, once", file=sys.stderr)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[arch]
    platforms = [f"manylinux_2_{n}_{machine}" for n in (17, 24, 27, 28, 31, 34)] + [f"manylinux2014_{machine}"]
    pip = [sys.executable, "-m", "pip", "--quiet", "download", "--dest", str(folder)]
    run(
        *pip,
        *(f"--platform={p}" for p in platforms),
        *("--python-version=3.11", "--implementation=cp", "--only-binary=:all:", *needs),
    )
    run(*pip, "--no-deps", "--no-binary=:all:", *optional["systemd"])  # has no wheels: built inside
    (folder / ".complete").touch()
    return folder


@contextlib.contextmanager
def overlay(root: Path) -> Iterator[Path]:
    """A writable view of `root` that leaves it as it is; gone at the end."""
    work = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
    upper, scratch, merged = work / "upper", work / "work", work / "root"
    for folder in (upper, scratch, merged):
        folder.mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root},upperdir={upper},workdir={scratch}", merged)
    try:
        yield merged
    finally:
        run("umount", "--lazy", merged)
        shutil.rmtree(work, ignore_errors=True)
