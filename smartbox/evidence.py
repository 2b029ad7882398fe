"""Pictures that show what happened: drawn, encoded, sealed if wanted, fsynced; kept within bytes, age and free space.

A sealed picture is called `EVENT.jpg.sealed`; the sum and the size that its event names are those of the plain JPEG.
"""

import errno
import hashlib
import logging
import os
import re
import threading
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np

from smartbox.clock import REAL_TIME
from smartbox.durable import make_directory, write_all_durably
from smartbox.errors import StorageError
from smartbox.keyring import Keyring
from smartbox.keys import OpeningKey, PublicKey, SealError
from smartbox.overlay import Overlay, cover, draw
from smartbox.sealed import Label, SealedFile, is_sealed, seal_bytes
from smartbox.types import Evidence, Image

__all__ = ["THUMBNAIL_BYTES", "EvidenceLimits", "EvidenceStore", "Overlay", "PictureSeal", "opened", "thumbnail"]

log = logging.getLogger(__name__)

SEALED = ".sealed"
THUMBNAIL_BYTES = 48 * 1024
_THUMBNAIL_WIDTH = 640
_QUALITY = 85
_ENDINGS = {"jpeg": ".jpg", "mp4": ".mp4"}
_OWN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.(jpg|mp4)(\.sealed)?")
_HALF = re.compile(rf"\.{_OWN.pattern}\.new")


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """bytes and age (s) of all files; free: bytes of the disk that are never used."""

    bytes: int = 8_000_000_000
    age: float = 14 * 86400.0
    free: int = 200_000_000


@dataclass(frozen=True, slots=True)
class PictureSeal:
    """For whom pictures are sealed: the readers, else the box itself, whose key is made for the first of them."""

    keyring: Keyring
    readers: tuple[str, ...] = ()
    _making: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def seal(self, name: str, content: bytes) -> bytes:
        """StorageError when there is no key to seal for: such a picture is not kept at all. Any thread may call."""
        try:
            return seal_bytes(content, Label("picture", name), self._keys())
        except SealError as error:
            raise StorageError(f"{name} cannot be sealed and is not kept: {error}") from error

    def _keys(self) -> list[PublicKey]:
        with self._making:  # two threads would make two keys, of which one is lost
            return [PublicKey.parse(text, "x25519") for text in self.readers] or [self.keyring.made().public]


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that is to be kept as `STEM.jpg` or `.mp4`. utc: when it was taken."""

    stem: str
    content: bytes
    utc: float
    kind: str = "jpeg"


@dataclass(frozen=True, slots=True)
class _Kept:
    name: str
    size: int
    written: float


_written = attrgetter("written")


class EvidenceStore:
    """The evidence directory, its oldest files first out. Any thread may call."""

    def __init__(self, directory: Path, limits: EvidenceLimits | None, seal: PictureSeal | None = None) -> None:
        """limits: None where the directory is a person's: nothing in it is read or deleted, files are only added.
        seal: None keeps pictures as plain JPEG.
        """
        self.directory = directory
        self._limits = limits
        self._seal = seal
        self._lock = threading.Lock()  # never held while a file is written
        self._files: deque[_Kept] | None = None  # oldest first, as they came since; None: not read yet
        self._total = 0
        self._coming: dict[str, int] = {}  # bytes by name of what is being written

    def save_picture(self, image: Image, overlay: Overlay, event_id: str, utc: float) -> tuple[Evidence, bytes]:
        """Draw, write, fsync, rename, fsync the directory -> (reference, thumbnail JPEG <= 48 KiB). StorageError."""
        (reference,) = self.save_all([picture(image, overlay, event_id, utc)])
        return reference, thumbnail(image, overlay, utc)

    def save_clip(self, content: bytes, event_id: str, utc: float) -> Evidence:
        """An MP4 that is complete, as `EVENT.mp4`; sealed like pictures are. StorageError."""
        return self.save_all([Ready(event_id, content, utc, "mp4")])[0]

    def save_all(self, files: Sequence[Ready]) -> list[Evidence]:
        """Their references, in the same order; they cost the disk hardly more than one. StorageError: none is kept."""
        if not files:
            return []
        with self._names(files) as names:
            contents = {
                n: self._seal.seal(n, f.content) if self._seal else f.content for n, f in zip(names, files, strict=True)
            }
            with self._lock:
                self._make_way({name: len(content) for name, content in contents.items()}, max(f.utc for f in files))
            self._write(contents)
            with self._lock:
                for name, file in zip(names, files, strict=True):
                    self._arrived(name, len(contents[name]), file.utc)
        return [
            Evidence(file.kind, name, hashlib.sha256(file.content).hexdigest(), len(file.content))
            for name, file in zip(names, files, strict=True)
        ]

    def trim(self, utc: float) -> int:
        """Delete what is too old or too much, oldest first; how many files went. Call every minute."""
        with self._lock:
            self._date(utc)
            return self._trim(utc, 0)

    def make_room(self) -> None:
        """Delete the oldest tenth of the files: the disk is full and events go before pictures."""
        with self._lock:
            files = self._known()
            count = min(len(files), max(10, len(files) // 10))
            for _ in range(count):
                self._drop_oldest()
        if count:
            log.warning("the disk is full: %d old pictures deleted", count)

    @contextmanager
    def _names(self, files: Sequence[Ready]) -> Iterator[list[str]]:
        """Free names, which nobody else gets meanwhile."""
        names: list[str] = []
        try:
            with self._lock:
                for file in files:
                    names.append(self._free_name(file.stem, _ENDINGS[file.kind]))
                    self._coming[names[-1]] = 0
            yield names
        finally:
            with self._lock:
                for name in names:
                    self._coming.pop(name, None)

    def _make_way(self, sizes: Mapping[str, int], utc: float) -> None:
        """Reserve the bytes of what comes; StorageError when even the oldest files do not make room for it."""
        coming = sum(sizes.values())
        self._trim(utc, coming)
        if self._limits and (free := self._free()) - self._ahead() - coming < self._limits.free:
            raise StorageError(f"{self.directory}: only {free} bytes free, no picture is kept")
        self._coming |= sizes

    def _write(self, contents: Mapping[str, bytes]) -> None:
        try:
            write_all_durably(self.directory, contents)
        except StorageError:
            for name in contents:
                with suppress(OSError):
                    (self.directory / name).unlink()
            raise

    def _arrived(self, name: str, size: int, utc: float) -> None:
        """It stands on the disk: in the list now, or found when that is read."""
        del self._coming[name]
        if self._files is not None:
            self._files.append(_Kept(name, size, utc))
            self._total += size

    def _date(self, utc: float) -> None:
        """Undated files, and those from after `utc`, count as written now: else they would never be too old.

        Where many are from after it, and most, it is the clock that is wrong: they keep their dates.
        """
        if self._limits is None or utc <= REAL_TIME:
            return
        files, undated = deque(sorted(self._known(), key=_written)), []
        while files and files[0].written <= REAL_TIME:
            undated.append(files.popleft())
        late = sum(1 for _ in takewhile(lambda kept: kept.written > utc, reversed(files)))
        if late <= max(10, len(files) // 2):
            undated += reversed([files.pop() for _ in range(late)])
        for kept in undated:
            with suppress(OSError):
                os.utime(self.directory / kept.name, (utc, utc))
            insort(files, replace(kept, written=utc), key=_written)
        self._files = files

    def _trim(self, utc: float, coming: int) -> int:
        files, limits, count = self._known(), self._limits, len(self._known())
        ahead = self._ahead() + coming
        while (
            limits
            and files
            and (
                self._total + ahead > limits.bytes
                or REAL_TIME < files[0].written < utc - limits.age
                or self._free() - ahead < limits.free
            )
        ):
            self._drop_oldest()
        return count - len(files)

    def _ahead(self) -> int:
        return sum(self._coming.values())

    def _drop_oldest(self) -> None:
        oldest = self._known()[0]
        try:
            (self.directory / oldest.name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.directory / oldest.name}: {error.strerror}") from error
        self._known().popleft()
        self._total -= oldest.size

    def _free(self) -> int:
        try:
            state = os.statvfs(self.directory)
        except OSError as error:
            self._files = None  # the directory is gone: made and read anew by the next call
            raise StorageError(f"{self.directory}: {error.strerror}") from error
        return state.f_bavail * state.f_frsize

    def _known(self) -> deque[_Kept]:
        """The files, read from the directory once. Half-written ones of an earlier run are removed."""
        if self._limits is None:
            return deque()
        if self._files is None:
            try:
                make_directory(self.directory)
                found = list(self._read())
            except OSError as error:
                raise StorageError(f"{self.directory}: {error.strerror}") from error
            # By time, then by name: names of one second rise too.
            self._files = deque(sorted(found, key=lambda kept: (kept.written, kept.name)))
            self._total = sum(kept.size for kept in found)
        return self._files

    def _read(self) -> Iterator[_Kept]:
        """The store's own files; what has another name is left alone."""
        busy = self._coming.keys() | {f".{name}.new" for name in self._coming}
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if entry.name in busy or not entry.is_file(follow_symlinks=False):
                    continue
                if _HALF.fullmatch(entry.name):
                    with suppress(OSError):
                        Path(entry.path).unlink()
                elif _OWN.fullmatch(entry.name):
                    yield _Kept(entry.name, entry.stat().st_size, entry.stat().st_mtime)

    def _free_name(self, event_id: str, ending: str) -> str:
        suffix = f"{ending}{SEALED}" if self._seal else ending
        names = [f"{event_id}{suffix}", *(f"{event_id}-{i}{suffix}" for i in range(2, 100))]
        for name in names:
            if not self._taken(name):
                return name
        raise StorageError(f"{self.directory / names[0]}: {os.strerror(errno.EEXIST)}, a hundred times")

    def _taken(self, name: str) -> bool:
        if name in self._coming:
            return True
        try:
            (self.directory / name).lstat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(f"{self.directory / name}: {error.strerror}") from error
        return True


def opened(path: Path, key: Callable[[], OpeningKey]) -> tuple[str, bytes]:
    """(name, content) of a picture in the clear; `key` is asked for where it is sealed. SealError, OSError."""
    if not is_sealed(path):
        return path.name, path.read_bytes()
    file = SealedFile.open(path, key())
    if file.head.kind == "bundle":
        raise SealError(f"{path} is a sealed model; models are opened in memory only")
    return Path(file.head.name).name.removesuffix(SEALED), b"".join(file.chunks())


def picture(image: Image, overlay: Overlay, event_id: str, utc: float, moment: str = "") -> Ready:
    """Drawn and encoded, for `EVENT.jpg` or `EVENT-MOMENT.jpg`; `clean` has nothing but masks on it. StorageError."""
    drawn = cover(image, overlay.masks) if moment == "clean" else draw(image, overlay, utc)
    return Ready(f"{event_id}-{moment}" if moment else event_id, _jpeg(drawn, _QUALITY), utc)


def thumbnail(image: Image, overlay: Overlay, utc: float, limit: int = THUMBNAIL_BYTES) -> bytes:
    """A JPEG of at most `limit` bytes, drawn at its own size so that its text can be read."""
    width = min(_THUMBNAIL_WIDTH, image.shape[1])
    while True:
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        small = draw(
            np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8), overlay, utc
        )
        for quality in (82, 70, 55, 40):
            content = _jpeg(small, quality)
            if len(content) <= limit:
                return content
        width = width * 3 // 4


def _jpeg(image: Image, quality: int) -> bytes:
    done, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise StorageError("OpenCV cannot encode the picture")
    return content.tobytes()
