"""Keys: made, kept in files, written as one line of text, used.

A publisher signs models (Ed25519). A box opens models, and a reader opens pictures, that were sealed for them (X25519).
Private keys are PEM in PKCS 8, as openssl writes them too; a public key is one line, `ed25519:…` or `x25519:…`.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AfterValidator

from smartbox.durable import write_durably
from smartbox.errors import SmartboxError

Kind = Literal["ed25519", "x25519"]

_USES = {"ed25519": "check a signature with", "x25519": "seal for"}
_WRAP = b"smartbox key wrap 1"
_NO_NONCE = bytes(12)  # each wrapping key encrypts once, so its nonce may be the same one
_MAX_BYTES = 10_000  # of a key's file
_PRIVATE = re.compile("PRIVATE KEY|MC4CAQAwBQYDK2V")  # PEM, or how the inside of such an Ed25519 or X25519 key begins


class SealError(SmartboxError):
    """A key that does not fit, or something sealed or signed that is not what it was."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """raw: its 32 bytes."""

    kind: Kind
    raw: bytes

    @classmethod
    def parse(cls, text: str, kind: Kind) -> "PublicKey":
        """`x25519:BASE64`; what stands behind a blank is a comment. SealError, which never tells the text."""
        if holds_private(text):
            raise SealError("this is a private key; give the .pub")
        word = (text.split() or [""])[0]
        found, _, code = word.partition(":")
        try:
            raw = base64.b64decode(code, validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if found != kind or len(raw) != 32:
            other = found in _USES and len(raw) == 32
            what = f"a key of another kind, {found}," if other else f"text of {len(text)} characters"
            raise SealError(f"{what} is no public key to {_USES[kind]}; it is written {kind}:BASE64")
        return cls(kind, raw)

    @classmethod
    def read(cls, text: str, kind: Kind) -> "PublicKey":
        """From its text, or from a file that holds it. SealError."""
        if text.startswith(("ed25519:", "x25519:")) or holds_private(text):
            return cls.parse(text, kind)
        held = _text(Path(text)).strip()
        try:
            return cls.parse(held, kind)
        except SealError as error:
            raise SealError(f"{text}: {error}") from None

    @property
    def id(self) -> str:
        """What it is called in files and messages."""
        return hashlib.sha256(self.kind.encode() + self.raw).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.kind}:{base64.b64encode(self.raw).decode()}"

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the holder of the private key signed exactly this."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def wrap(self, secret: bytes) -> tuple[bytes, bytes]:
        """(ephemeral public key, `secret` encrypted) for this key alone.

        X25519 with a fresh key, HKDF-SHA256 over the shared secret with both public keys as salt, AES-256-GCM.
        """
        once = X25519PrivateKey.generate()
        shared = _exchange(once, self.raw)
        ephemeral = once.public_key().public_bytes_raw()
        return ephemeral, AESGCM(_derive(shared, ephemeral, self.raw)).encrypt(_NO_NONCE, secret, None)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A publisher's."""

    _key: Ed25519PrivateKey

    @classmethod
    def load(cls, pem: bytes, where: str) -> "SigningKey":
        """where: what to call it in the SealError when it is none."""
        key = _load(pem, where)
        if not isinstance(key, Ed25519PrivateKey):
            raise SealError(f"{where} is no Ed25519 key, so it cannot sign; `smartbox lab keygen -o FILE` makes one")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return PublicKey("ed25519", self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


@dataclass(frozen=True, slots=True)
class OpeningKey:
    """A box's or a reader's."""

    _key: X25519PrivateKey

    @classmethod
    def load(cls, pem: bytes, where: str) -> "OpeningKey":
        """where: what to call it in the SealError when it is none."""
        key = _load(pem, where)
        if not isinstance(key, X25519PrivateKey):
            raise SealError(f"{where} is no X25519 key, so it opens nothing")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return PublicKey("x25519", self._key.public_key().public_bytes_raw())

    def unwrap(self, ephemeral: bytes, wrapped: bytes) -> bytes:
        """What `PublicKey.wrap` was given. SealError when it was changed, or wrapped for another."""
        shared = _exchange(self._key, ephemeral)
        try:
            return AESGCM(_derive(shared, ephemeral, self.public.raw)).decrypt(_NO_NONCE, wrapped, None)
        except InvalidTag:
            raise SealError("the data key that is wrapped for this key was changed") from None


def _checked(kind: Kind) -> AfterValidator:
    """For settings: the text of a public key of this kind."""

    def check(text: str) -> str:
        try:
            return str(PublicKey.parse(text, kind))
        except SealError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


PublisherText = Annotated[str, _checked("ed25519")]
ReaderText = Annotated[str, _checked("x25519")]


def holds_private(text: str) -> bool:
    """Whether a private key stands in it."""
    return _PRIVATE.search(text) is not None


def new_key(kind: Kind) -> bytes:
    """A fresh private key as PEM."""
    made = Ed25519PrivateKey.generate() if kind == "ed25519" else X25519PrivateKey.generate()
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_key(path: Path, pem: bytes) -> None:
    """Write a private key for its owner alone. StorageError."""
    write_durably(path, pem, mode=0o600)


def read_key(path: Path) -> bytes:
    """A private key's PEM. SealError when there is none that can be read."""
    return _text(path).encode()


def _text(path: Path) -> str:
    if holds_private(str(path)):
        raise SealError("this is a private key itself; give the file that holds it")
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        raise SealError(f"{path}: no such file; a key, or a file that holds one, is needed") from None
    except OSError as error:
        raise SealError(f"{path} cannot be read ({error.strerror}); a file that holds a key is needed") from None
    except UnicodeDecodeError:
        raise SealError(f"{path} is not text, so it holds no key") from None


def _load(pem: bytes, where: str) -> object:
    try:
        return serialization.load_pem_private_key(pem, None)
    except TypeError:
        raise SealError(f"{where} is protected by a passphrase; give a key without one") from None
    except (ValueError, UnsupportedAlgorithm):
        raise SealError(f"{where} is no private key in PEM") from None


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a point of small order, or not 32 bytes
        raise SealError("the public key in it is no key") from None


def _derive(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt=ephemeral + recipient, info=_WRAP).derive(shared)
