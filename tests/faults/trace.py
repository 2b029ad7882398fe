"""Runs a program under strace and reads what it did to the files below a directory."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.faults.disk import Directory, Mark, Name, Record, Step, Sync, SyncDirectory, Truncate, Write

ROOT = Path(__file__).resolve().parents[2]
MARKS = "marks"
_CALLS = (
    "openat,open,creat,close,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir"
)
_LINE = re.compile(r"^\d+ +(\w+)\((.*)\)\s+= (-?\d+)")
_BEGUN = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_HANDLE = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>")


def recorded(below: Path, *command: object) -> Record:
    """`python -m command`, whose writes to `below`/../marks say what it has done. Skips loudly without strace."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: `make test` installs it")
    trace = below.with_name("trace")
    options = ["-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}", "-o", str(trace)]
    program = [sys.executable, "-m", *map(str, command)]
    done = subprocess.run([strace, *options, *program], cwd=ROOT, capture_output=True, text=True, check=False)
    if "PTRACE" in done.stderr and not trace.stat().st_size:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:200]}")
    assert done.returncode == 0, done.stderr[-3000:]
    with trace.open(encoding="ascii") as lines:
        return Record(list(_Reader(str(below)).steps(lines)))


class _Reader:
    """strace's lines -> steps; knows which inode a path is, and where each open file stands."""

    def __init__(self, below: str) -> None:
        self._below = below
        self._above = str(PurePosixPath(below).parent)
        self._marks = f"{self._above}/{MARKS}"
        self._inodes: dict[str, int] = {}
        self._next = 0
        self._at: dict[int, int] = {}  # handle -> position, for write()

    def steps(self, lines: Iterator[str]) -> Iterator[Step]:
        for line in _whole(lines):
            if (found := _LINE.match(line)) and int(found[3]) >= 0:
                yield from self._call(found[1], found[2], int(found[3]))

    def _call(self, name: str, arguments: str, result: int) -> Iterator[Step]:
        match name:
            case "openat" | "open" | "creat":
                yield from self._open(_unescape(arguments), arguments, result)
            case "write" | "pwrite64":
                yield from self._write(name, arguments, result)
            case "ftruncate":
                _, path, rest = _handle(arguments)
                if self._ours(path):
                    yield Truncate(self._inodes[path], int(rest))
            case "fsync" | "fdatasync":
                _, path, _ = _handle(arguments)
                if path in self._inodes:
                    yield Sync(self._inodes[path])
                elif self._watched(path) or path == self._above:
                    yield SyncDirectory(path)
            case "mkdir":
                if self._watched(path := _unescape(arguments)):
                    yield Directory(path)
            case "rename" | "renameat" | "renameat2":
                old, new = (_text(found) for found in _TEXT.finditer(arguments))
                if self._ours(old):
                    self._inodes[new] = self._inodes.pop(old)
                    yield Name(self._inodes[new], old, new)
            case "unlink" | "unlinkat":
                path = _unescape(arguments)
                if self._ours(path):
                    yield Name(self._inodes.pop(path), path)

    def _open(self, path: str, arguments: str, handle: int) -> Iterator[Step]:
        self._at[handle] = 0
        if not self._watched(path) or "O_DIRECTORY" in arguments or path == self._below:
            return
        if path not in self._inodes and "O_CREAT" in arguments:
            self._next += 1
            self._inodes[path] = self._next
            yield Name(self._next, new=path)
        elif "O_TRUNC" in arguments and path in self._inodes:
            yield Truncate(self._inodes[path], 0)

    def _write(self, name: str, arguments: str, result: int) -> Iterator[Step]:
        handle, path, rest = _handle(arguments)
        found = _TEXT.match(rest)
        if found is None or not (self._ours(path) or path == self._marks):
            return
        assert not found[2], "strace cut a write short"
        data = _bytes(found[1])[:result]
        if path == self._marks:
            yield from (Mark(line) for line in data.decode().splitlines())
        elif name == "pwrite64":
            yield Write(self._inodes[path], int(rest.rpartition(", ")[2]), data)
        else:
            yield Write(self._inodes[path], self._at[handle], data)
            self._at[handle] += result

    def _watched(self, path: str) -> bool:
        """SQLite's shared memory is made anew by whoever opens first, whatever is in it."""
        return (path == self._below or path.startswith(f"{self._below}/")) and not path.endswith("-shm")

    def _ours(self, path: str) -> bool:
        return path in self._inodes


def _whole(lines: Iterator[str]) -> Iterator[str]:
    """Calls that another thread's came in between of are one line, where they end: only then is a sync done."""
    begun: dict[str, str] = {}
    for line in lines:
        if found := _BEGUN.match(line):
            begun[found[1]] = line[: -len(" <unfinished ...>\n")]
        elif found := _ENDED.match(line):
            yield begun.pop(found[1]) + found[2]
        else:
            yield line


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _text(found: "re.Match[str]") -> str:
    return _bytes(found[1]).decode()


def _unescape(arguments: str) -> str:
    found = _TEXT.search(arguments)
    return _text(found) if found else ""


def _handle(arguments: str) -> tuple[int, str, str]:
    """`5</path>, rest` -> number, path, rest."""
    found = _HANDLE.match(arguments)
    if found is None:
        return -1, "", ""
    return int(found[1]), _bytes(found[2]).decode(), arguments[found.end() :].removeprefix(", ")
