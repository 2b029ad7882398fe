"""Pictures that show what happened: drawn, encoded, sealed if wanted, fsynced; kept within bytes, age and free space.

A sealed picture is called `EVENT.jpg.sealed`; the sum and the size that its event names are those of the plain JPEG.
"""

import errno
import hashlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
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

    def seal(self, name: str, content: bytes) -> bytes:
        """StorageError when there is no key to seal for: such a picture is not kept at all."""
        try:
            readers = [PublicKey.parse(text, "x25519") for text in self.readers] or [self.keyring.made().public]
            return seal_bytes(content, Label("picture", name), readers)
        except SealError as error:
            raise StorageError(f"{name} cannot be sealed and is not kept: {error}") from error


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


class EvidenceStore:
    """The evidence directory, its oldest files first out. Any thread may call."""

    def __init__(self, directory: Path, limits: EvidenceLimits | None = None, seal: PictureSeal | None = None) -> None:
        """seal: None keeps pictures as plain JPEG."""
        self.directory = directory
        self._limits = limits or EvidenceLimits()
        self._seal = seal
        self._lock = threading.Lock()
        self._files: deque[_Kept] | None = None  # oldest first; None: not read yet
        self._total = 0

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
        with self._lock:
            names: list[str] = []
            for file in files:
                names.append(self._free_name(file.stem, {"jpeg": ".jpg"}.get(file.kind, f".{file.kind}"), names))
            contents = {
                n: self._seal.seal(n, f.content) if self._seal else f.content for n, f in zip(names, files, strict=True)
            }
            self._write(contents, files)
        return [
            Evidence(file.kind, name, hashlib.sha256(file.content).hexdigest(), len(file.content))
            for name, file in zip(names, files, strict=True)
        ]

    def trim(self, utc: float) -> int:
        """Delete what is too old or too much, oldest first; how many files went. Call every minute."""
        with self._lock:
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

    def _write(self, contents: Mapping[str, bytes], files: Sequence[Ready]) -> None:
        self._known()
        coming = sum(map(len, contents.values()))
        self._trim(max(file.utc for file in files), coming)
        if self._free() - coming < self._limits.free:
            raise StorageError(f"{self.directory}: only {self._free()} bytes free, no picture is kept")
        write_all_durably(self.directory, contents)
        for (name, content), file in zip(contents.items(), files, strict=True):
            self._known().append(_Kept(name, len(content), file.utc))
        self._total += coming

    def _trim(self, utc: float, coming: int) -> int:
        files, limits, count = self._known(), self._limits, len(self._known())
        while files and (
            self._total + coming > limits.bytes
            or REAL_TIME < files[0].written < utc - limits.age
            or self._free() - coming < limits.free
        ):
            self._drop_oldest()
        return count - len(files)

    def _drop_oldest(self) -> None:
        oldest = self._known().popleft()
        self._total -= oldest.size
        try:
            (self.directory / oldest.name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.directory / oldest.name}: {error.strerror}") from error

    def _free(self) -> int:
        state = os.statvfs(self.directory)
        return state.f_bavail * state.f_frsize

    def _known(self) -> deque[_Kept]:
        """The files, read from the directory once. Half-written ones of an earlier run are removed."""
        if self._files is None:
            try:
                make_directory(self.directory)
                found = []
                for entry in os.scandir(self.directory):
                    if entry.name.startswith("."):
                        with suppress(OSError):
                            (self.directory / entry.name).unlink()
                    elif entry.is_file(follow_symlinks=False):
                        found.append(_Kept(entry.name, entry.stat().st_size, entry.stat().st_mtime))
            except OSError as error:
                raise StorageError(f"{self.directory}: {error.strerror}") from error
            # By time, then by name: names of one second rise too.
            self._files = deque(sorted(found, key=lambda kept: (kept.written, kept.name)))
            self._total = sum(kept.size for kept in found)
        return self._files

    def _free_name(self, event_id: str, ending: str, taken: Collection[str]) -> str:
        suffix = f"{ending}{SEALED}" if self._seal else ending
        names = [f"{event_id}{suffix}", *(f"{event_id}-{i}{suffix}" for i in range(2, 100))]
        for name in names:
            if name not in taken and not (self.directory / name).exists():
                return name
        raise StorageError(f"{self.directory / names[0]}: {os.strerror(errno.EEXIST)}, a hundred times")


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
