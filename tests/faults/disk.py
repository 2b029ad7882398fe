"""What a disk may hold after a power cut: a record of writes, renames and syncs, and the images that may be left of it.

The rules are POSIX at its strictest. Until a file is synced, any of its writes may be there or not, in any order, torn
at any sector; until a directory is synced, the names made, moved and removed in it may not be (in their order, as a
journal keeps them). What was synced is there.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    """inode: number of the file, whatever it is called now."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Name:
    """`new` names the inode from now on and `old` nobody any more; either may be absent."""

    inode: int
    old: str = ""
    new: str = ""

    @property
    def directory(self) -> str:
        return str(PurePosixPath(self.new or self.old).parent)


@dataclass(frozen=True, slots=True)
class Directory:
    """It is made; what is in it is there only if it is."""

    path: str


@dataclass(frozen=True, slots=True)
class Sync:
    inode: int


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the program said at this point, for instance which event was committed."""

    text: str


Step = Write | Truncate | Name | Directory | Sync | SyncDirectory | Mark
Files = dict[str, bytes]


class Record:
    """Steps in their order, and how to make images of any moment between them."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self._durable = _durable_from(self.steps)

    def syncs(self) -> list[int]:
        """How many steps were done just after each sync."""
        return [i + 1 for i, step in enumerate(self.steps) if isinstance(step, Sync | SyncDirectory)]

    def said(self, cut: int) -> Iterator[str]:
        """Everything the program said before the cut."""
        return (step.text for step in self.steps[:cut] if isinstance(step, Mark))

    def image(self, cut: int, dice: random.Random) -> Files:
        """One of the states the disk may be in when the power goes after `cut` steps: path -> content."""
        luck = dice.choice((0.0, 0.5, 0.9, 1.0))  # share of unsynced writes that are there all the same
        contents: dict[int, bytearray] = {}
        names: dict[str, int] = {}
        missing: list[str] = []
        unlucky: set[str] = set()  # directories whose later changes are lost too
        for i, step in enumerate(self.steps[:cut]):
            safe = self._durable[i] <= cut
            match step:
                case Write(inode, offset, data):
                    if safe:
                        _write(contents.setdefault(inode, bytearray()), offset, data)
                    elif dice.random() < luck:
                        _write_torn(contents.setdefault(inode, bytearray()), offset, data, dice)
                case Truncate(inode, size) if safe or dice.random() < luck:
                    content = contents.setdefault(inode, bytearray())
                    del content[size:]
                    content.extend(bytes(size - len(content)))
                case Name(inode, old, new):
                    if not safe and (step.directory in unlucky or dice.random() >= luck):
                        unlucky.add(step.directory)
                        continue
                    names.pop(old, None)
                    if new:
                        names[new] = inode
                case Directory(path) if not safe and dice.random() >= luck:
                    missing.append(f"{path}/")
        there = {path: inode for path, inode in names.items() if not path.startswith(tuple(missing))}
        return {path: bytes(contents.get(inode, b"")) for path, inode in there.items()}

    def without(self, unwanted: Callable[[Step], bool]) -> "Record":
        """The same without some steps: a disk that lies about its syncs, say."""
        return Record([step for step in self.steps if not unwanted(step)])


def _durable_from(steps: Sequence[Step]) -> list[int]:
    """For each step the number of steps after which it survives; one more than there are when it never does."""
    never = len(steps) + 1
    synced: dict[int | str, int] = {}
    durable = [never] * len(steps)
    for i in range(len(steps) - 1, -1, -1):
        match steps[i]:
            case Sync(inode):
                synced[inode] = i + 1
            case SyncDirectory(path):
                synced[path] = i + 1
            case Write(inode) | Truncate(inode):
                durable[i] = synced.get(inode, never)
            case Name() as name:
                durable[i] = synced.get(name.directory, never)
            case Directory(path):
                durable[i] = synced.get(str(PurePosixPath(path).parent), never)
    return durable


def _write(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _write_torn(content: bytearray, offset: int, data: bytes, dice: random.Random) -> None:
    """All of it, or only some of its sectors; the file may be as long as if it were whole."""
    if dice.random() < 0.5:
        _write(content, offset, data)
        return
    grown = offset + len(data)
    if dice.random() < 0.5 and len(content) < grown:
        content.extend(bytes(grown - len(content)))
    for start in range(0, len(data), SECTOR):
        if dice.random() < 0.5:
            _write(content, offset + start, data[start : start + SECTOR])


def lay(files: Files, below: str, into: Path) -> None:
    """Write an image's files that lie below a directory into another one."""
    for path, content in files.items():
        if path.startswith(f"{below}/"):
            target = into / path[len(below) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
