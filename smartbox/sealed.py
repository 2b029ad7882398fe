"""The sealed file: AES-256-GCM in chunks, for the holders of some keys and nobody else.

    mark · length of the head (4 bytes, big endian) · head (JSON) · chunk 0 · chunk 1 · … · last chunk

A chunk is `chunk` bytes of plain text (the last one: 0 to `chunk`) and a tag of 16. Its nonce is the head's random
prefix and the chunk's number; SHA-256 of everything before chunk 0, the number, and whether it is the last one are its
associated data. So no bit of the file can be changed, no chunk cut off, added, moved or taken from another file.
The data key is random, new in every file, and wrapped once for each key that may open it (keys.py).
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import Field, ValidationError

from smartbox.keys import OpeningKey, PublicKey, SealError
from smartbox.settings import Settings

MARK = b"smartbox sealed 1\n"
CHUNK = 1 << 20
TAG = 16

_MAX_HEAD = 4_000_000  # ten thousand boxes
_MAX_GUESSES = 64  # chunks that are looked through to say what happened to one

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Wrapped(Settings):
    """The data key for one holder."""

    id: Id
    """Of the key that opens it."""
    ephemeral: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{96}$")]


class Head(Settings):
    """What can be read without a key; changing it makes the file unreadable."""

    kind: Literal["bundle", "picture", "clip"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][^/\x00]*$", max_length=255)]
    version: Annotated[str, Field(max_length=255)] = ""
    chunk: int = Field(ge=1, le=1 << 24)
    """Bytes of plain text in each chunk but the last."""
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    """The first 8 bytes of every nonce."""
    keys: tuple[Wrapped, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Label:
    """What a sealed file says about itself to everybody."""

    kind: Literal["bundle", "picture", "clip"]
    name: str
    version: str = ""


def seal(source: BinaryIO, target: BinaryIO, label: Label, readers: Sequence[PublicKey], chunk: int = CHUNK) -> bytes:
    """Copy `source` to `target` sealed for the readers, one chunk in memory at a time.

    Returns the data key, with which who sealed it can read it back. SealError where the label does not fit.
    """
    secret = AESGCM.generate_key(256)
    head = _head(label, chunk, tuple(_wrapped(reader, secret) for reader in dict.fromkeys(readers)))
    text = head.model_dump_json().encode()
    start = MARK + len(text).to_bytes(4, "big") + text
    target.write(start)
    cipher = _Cipher(secret, head, start)
    number, plain = 0, source.read(chunk)
    while True:
        following = source.read(chunk) if len(plain) == chunk else b""
        target.write(cipher.encrypt(number, plain, last=not following))
        if not following:
            return secret
        number, plain = number + 1, following


def _head(label: Label, chunk: int, keys: tuple[Wrapped, ...]) -> Head:
    try:
        return Head(**asdict(label), chunk=chunk, nonce=os.urandom(8).hex(), keys=keys)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        raise SealError(
            f"cannot be sealed as {label.name[:80]!r} {label.version[:80]!r}: {where}: {wrong['msg']}"
        ) from None


def seal_bytes(content: bytes, label: Label, readers: Sequence[PublicKey]) -> bytes:
    """The same for what is in memory already."""
    target = io.BytesIO()
    seal(io.BytesIO(content), target, label, readers)
    return target.getvalue()


def read_head(path: Path) -> Head:
    """What a sealed file says about itself, believed by nobody before it is opened. SealError when it is none."""
    return _start(path)[0]


def is_sealed(path: Path) -> bool:
    """Whether it begins as a sealed file does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MARK)) == MARK
    except OSError:
        return False


@dataclass(frozen=True)
class SealedFile:
    """An open sealed file; what is read of it is decrypted to memory. Each read may raise SealError."""

    path: Path
    head: Head
    size: int
    """Bytes of the plain text."""
    _cipher: "_Cipher"
    _begin: int  # where chunk 0 lies
    _count: int  # of chunks

    @classmethod
    def open(cls, path: Path, key: OpeningKey) -> "SealedFile":
        """SealError when it is no sealed file, not sealed for this key, or cut off.

        The other chunks are checked as they are read.
        """
        head, _, _ = _start(path)
        mine = next((wrapped for wrapped in head.keys if wrapped.id == key.public.id), None)
        if mine is None:
            named = ", ".join(wrapped.id for wrapped in head.keys[:4]) + (" …" if len(head.keys) > 4 else "")
            raise SealError(f"{path} is sealed for the key {named}; the key here is {key.public.id}")
        try:
            secret = key.unwrap(bytes.fromhex(mine.ephemeral), bytes.fromhex(mine.key))
        except SealError as error:
            raise SealError(f"{path} was changed: {error}") from error
        return cls.reopen(path, secret)

    @classmethod
    def reopen(cls, path: Path, secret: bytes) -> "SealedFile":
        """The same with the data key itself."""
        head, start, body = _start(path)
        count = max(1, -(-body // (head.chunk + TAG)))
        file = cls(path, head, max(0, body - count * TAG), _Cipher(secret, head, start), len(start), count)
        file._chunk(count - 1)
        return file

    def chunks(self) -> Iterator[bytes]:
        """All of the plain text, in order; who has the last one knows that nothing is missing."""
        for number in range(self._count):
            yield self._chunk(number)

    def stream(self) -> io.BufferedReader:
        """The plain text as a file to read from."""
        return joined(self.chunks())

    def read(self, offset: int, size: int) -> bytes:
        """A part of the plain text: the chunks that it lies in are decrypted."""
        if size <= 0:
            return b""
        first, last = offset // self.head.chunk, (offset + size - 1) // self.head.chunk
        joined = b"".join(self._chunk(number) for number in range(first, last + 1))
        return joined[offset - first * self.head.chunk :][:size]

    def _chunk(self, number: int) -> bytes:
        stored = self._stored(number)
        try:
            return self._cipher.decrypt(number, stored, last=number == self._count - 1)
        except InvalidTag:
            raise SealError(f"{self.path} {self._what_happened(number, stored)}") from None

    def _stored(self, number: int) -> bytes:
        stride = self.head.chunk + TAG
        try:
            with self.path.open("rb") as file:
                file.seek(self._begin + number * stride)
                return file.read(stride)
        except OSError as error:
            raise SealError(f"{self.path} cannot be read: {error.strerror}") from error

    def _what_happened(self, number: int, stored: bytes) -> str:
        """Why a chunk does not fit where it stands: for people, the answer to all of it is no."""
        where = f"part {number + 1} of {self._count}"
        if number == self._count - 1 and self._cipher.fits(number, stored, last=False):
            return f"is cut off after {where}"
        for other in range(min(self._count, _MAX_GUESSES)):
            if self._cipher.fits(other, self._stored(other), last=True) and other != self._count - 1:
                return f"goes on after its end, which is part {other + 1} of {self._count}"
            if other != number and any(self._cipher.fits(other, stored, last) for last in (False, True)):
                return f"has its parts in another order: part {other + 1} stands at {number + 1}"
        if len(stored) < self.head.chunk + TAG:
            return f"was changed or cut off, or goes on after its end: {where} does not fit its seal"
        return f"was changed: {where} does not fit its seal"


class _Cipher:
    """The data key, the nonces and what each chunk is bound to."""

    def __init__(self, secret: bytes, head: Head, start: bytes) -> None:
        self._aes = AESGCM(secret)
        self._prefix = bytes.fromhex(head.nonce)
        self._digest = hashlib.sha256(start).digest()

    def encrypt(self, number: int, plain: bytes, last: bool) -> bytes:
        return self._aes.encrypt(self._nonce(number), plain, self._bound(number, last))

    def decrypt(self, number: int, stored: bytes, last: bool) -> bytes:
        return self._aes.decrypt(self._nonce(number), stored, self._bound(number, last))

    def fits(self, number: int, stored: bytes, last: bool) -> bool:
        try:
            self.decrypt(number, stored, last)
        except InvalidTag:
            return False
        return True

    def _nonce(self, number: int) -> bytes:
        return self._prefix + number.to_bytes(4, "big")

    def _bound(self, number: int, last: bool) -> bytes:
        return self._digest + number.to_bytes(4, "big") + bytes([last])


def joined(pieces: Iterator[bytes]) -> io.BufferedReader:
    """Pieces as one file to read from."""
    return io.BufferedReader(_Stream(pieces))


class _Stream(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = filter(None, pieces)  # an empty one would look like the end
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _wrapped(reader: PublicKey, secret: bytes) -> Wrapped:
    ephemeral, key = reader.wrap(secret)
    return Wrapped(id=reader.id, ephemeral=ephemeral.hex(), key=key.hex())


def _start(path: Path) -> tuple[Head, bytes, int]:
    """The head, everything before chunk 0 as it is in the file, and how many bytes follow."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MARK) + 4)
            if start[: len(MARK)] != MARK or len(start) < len(MARK) + 4:
                raise SealError(f"{path} is no sealed file of this release's format")
            length = int.from_bytes(start[-4:], "big")
            text = file.read(min(length, _MAX_HEAD + 1))
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise SealError(f"{path} cannot be read: {error.strerror}") from error
    if len(text) != length or length > _MAX_HEAD:
        raise SealError(f"{path} was changed or cut off: its head is not whole")
    try:
        head = Head.model_validate_json(text)
    except ValidationError:
        raise SealError(f"{path} was changed: its head cannot be read") from None
    return head, start + text, size - len(start) - length
