"""Listens to SQLite's own writes, truncations and syncs in this process, through its default VFS, by ctypes.

`listening(steps)`: while it lasts, every database file that is opened appends its steps (tests/faults/disk.py) to the
list, just before the real ones are done. Nothing is changed about what is done.
"""

import _sqlite3
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, cast, string_at

import pytest

from tests.faults.disk import Name, Step, Sync, SyncDirectory, Truncate, Write

_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)
# Names as bare pointers: SQLite keeps them, and reads on behind their end.
_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)


class _Methods(Structure):
    """sqlite3_io_methods, version 3."""

    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", _Write),
        ("truncate", _Truncate),
        ("sync", _Sync),
        ("rest", c_void_p * 13),
    )


class _File(Structure):
    _fields_ = (("methods", POINTER(_Methods)),)


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("size", c_int),
        ("longest", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _Open),
        ("delete", _Delete),
    )


class _Ear:
    """The hooks of one process; they stay for ever, since files that are open point to them."""

    def __init__(self) -> None:
        try:
            find = ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find
        except AttributeError:
            pytest.skip("this Python has SQLite built in: its writes cannot be listened to")
        find.restype = POINTER(_Vfs)
        vfs = find(None).contents
        self.steps: list[Step] | None = None
        self._inodes: dict[str, int] = {}
        self._paths: dict[int, str] = {}
        self._copies: dict[int, _Methods] = {}
        # Copies of the pointers: the fields themselves are about to be changed.
        self._real_open = _Open(cast(vfs.open, c_void_p).value or 0)
        self._real_delete = _Delete(cast(vfs.delete, c_void_p).value or 0)
        self._hooks = (_Open(self._open), _Delete(self._delete))
        vfs.open, vfs.delete = self._hooks

    def _say(self, step: Step) -> None:
        if self.steps is not None:
            self.steps.append(step)

    def _named(self, step: Name) -> None:
        """SQLite syncs the directory by itself, which cannot be heard here; row 9 watches that with strace."""
        self._say(step)
        self._say(SyncDirectory(step.directory))

    def inode(self, path: str) -> int:
        return self._inodes.setdefault(path, len(self._inodes) + 1)

    def _open(self, vfs: int, name: int | None, file: int, flags: int, out: int) -> int:
        code = self._real_open(vfs, name, file, flags, out)
        if code == 0 and name is not None and self.steps is not None:
            path = string_at(name).decode()
            self._paths[file] = path
            self._named(Name(self.inode(path), new=path))
            opened = cast(file, POINTER(_File)).contents
            opened.methods = ctypes.pointer(self._copy(opened.methods))
        return int(code)

    def _copy(self, methods: "ctypes._Pointer[_Methods]") -> _Methods:
        """The same table with our three functions before the real ones."""
        at = cast(methods, c_void_p).value or 0
        if at in self._copies:
            return self._copies[at]
        real = methods.contents
        copy = _Methods.from_buffer_copy(real)
        write, truncate, sync = real.write, real.truncate, real.sync

        def on_write(file: int, data: int, size: int, offset: int) -> int:
            self._say(Write(self.inode(self._paths[file]), offset, string_at(data, size)))
            return int(write(file, data, size, offset))

        def on_truncate(file: int, size: int) -> int:
            self._say(Truncate(self.inode(self._paths[file]), size))
            return int(truncate(file, size))

        def on_sync(file: int, flags: int) -> int:
            code = int(sync(file, flags))
            self._say(Sync(self.inode(self._paths[file])))
            return code

        copy.write, copy.truncate, copy.sync = _Write(on_write), _Truncate(on_truncate), _Sync(on_sync)
        self._copies[at] = copy
        return copy

    def _delete(self, vfs: int, name: int, sync: int) -> int:
        path = string_at(name).decode()
        code = int(self._real_delete(vfs, name, sync))
        if code == 0:
            self._named(Name(self.inode(path), old=path))
            self._inodes.pop(path, None)
        return code


_ears: list[_Ear] = []


def inode_of(path: str) -> int:
    """The number by which the steps of this file are known."""
    return _ears[0].inode(path)


@contextmanager
def listening(steps: list[Step]) -> Iterator[None]:
    if not _ears:
        _ears.append(_Ear())
    _ears[0].steps = steps
    try:
        yield
    finally:
        _ears[0].steps = None
