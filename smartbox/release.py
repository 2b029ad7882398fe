"""A sealed bundle: a model in one file that only some boxes can open, signed by who published it.

The plain text is: length of a table (4 bytes) · the table (JSON: path -> bytes, in order) · the files one after the
other, `manifest.yaml` first. The manifest holds the sums of all others; its last line is the Ed25519 signature of
everything before that line, byte for byte, so that nothing has to be parsed before it is known to be genuine.
"""

import base64
import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from smartbox.bundle import MANIFEST, MAX_BYTES, Bundle, parse, text_of
from smartbox.errors import BackendError
from smartbox.keyring import Keyring
from smartbox.keys import PublicKey, SealError, SigningKey, holds_private
from smartbox.manifest import Manifest, RelativePath, Release
from smartbox.sealed import CHUNK, Label, SealedFile, joined, seal

SUFFIX = ".sealed"

_SIGNS = b"smartbox manifest 1\n"
_SIGNATURE = re.compile(rb'\n  key: "([0-9a-f]{16})"\n(  signature: "([A-Za-z0-9+/]{86}==)"\n)\Z')
_TABLE = TypeAdapter(dict[RelativePath, int])
_PIECE = 1 << 20
_PAPERS = re.compile(r"[^.].*\.(md|txt|yaml|tsv)|(LICEN[CS]E|COPYING|NOTICE)[^/]*")  # beside what the manifest names


@dataclass(frozen=True, slots=True)
class Terms:
    """release_seq: rises with every release · not_after: ISO 8601 · hardware: names of machines, none for all."""

    release_seq: int
    not_after: str | None = None
    hardware: tuple[str, ...] = ()


def seal_bundle(
    bundle: Bundle, target: Path, signer: SigningKey, readers: Sequence[PublicKey], terms: Terms, chunk: int = CHUNK
) -> Manifest:
    """Write the bundle of a directory as one sealed file, and read that back; returns its manifest.

    What the manifest names goes in, and papers that lie beside it. BackendError when the bundle is not whole, or a key
    lies among them; SealError when no box could open what was written.
    """
    if wrong := bundle.verify():
        raise BackendError("\n".join(wrong))
    manifest = bundle.manifest.model_copy(update={"release": None})
    sums = {path: _sha256((bundle.path / path).read_bytes()) for path in _packed(bundle.path, manifest)}
    raw = _signed(manifest, sums, signer, terms)
    label = Label("bundle", bundle.name, bundle.manifest.version)
    with target.open("wb") as file:
        secret = seal(joined(_pieces(bundle.path, raw, sums)), file, label, readers, chunk)
    written = _checked(SealedFile.reopen(target, secret), [signer.public])
    if wrong := written.verify():
        raise BackendError("\n".join(wrong))
    return written.manifest


def _packed(directory: Path, manifest: Manifest) -> list[str]:
    """The files that are sealed beside the manifest, in order. BackendError where one of them holds a private key."""
    papers = {path.name for path in directory.iterdir() if path.is_file() and _PAPERS.fullmatch(path.name)}
    papers -= {MANIFEST}
    for name in sorted(papers):
        if holds_private((directory / name).read_bytes().decode("latin-1")):
            raise BackendError(f"{directory / name} holds a private key; move it away, then seal")
    return sorted(papers | set(_sums(manifest)))


def _signed(manifest: Manifest, sums: Mapping[str, str], signer: SigningKey, terms: Terms) -> bytes:
    named = _sums(manifest)
    release = Release(
        release_seq=terms.release_seq,
        not_after=terms.not_after,
        hardware=terms.hardware,
        files={path: value for path, value in sums.items() if path not in named},
    )
    part = yaml.safe_dump({"release": release.model_dump(mode="json", exclude_none=True)}, sort_keys=False)
    text = f'{text_of(manifest)}{part}  key: "{signer.public.id}"\n'.encode()
    return text + b'  signature: "%s"\n' % base64.b64encode(signer.sign(_SIGNS + text))


def _pieces(directory: Path, raw: bytes, sums: Mapping[str, str]) -> Iterator[bytes]:
    sizes = {MANIFEST: len(raw)} | {path: (directory / path).stat().st_size for path in sums}
    table = json.dumps(sizes).encode()
    yield from (len(table).to_bytes(4, "big"), table, raw)
    for path, wanted in sums.items():
        content = (directory / path).read_bytes()
        if _sha256(content) != wanted:
            raise BackendError(f"{directory / path} was changed while it was sealed; seal it again")
        yield content


def open_bundle(path: Path, keyring: Keyring) -> Bundle:
    """Read a sealed bundle and check all of it: every byte, the signature, every sum, the hardware.

    SealError says what is wrong. Nothing of it is written anywhere; what the bundle hands out is decrypted anew.
    """
    bundle = _checked(SealedFile.open(path, keyring.opening()), keyring.publishers)
    _check_hardware(bundle.manifest, path)
    return bundle


def _checked(sealed: SealedFile, publishers: Sequence[PublicKey]) -> Bundle:
    """Every byte, the signature, every sum."""
    path = sealed.path
    if sealed.head.kind != "bundle":
        raise SealError(f"{path} is a sealed {sealed.head.kind}, no model")
    parts = _scan(sealed)
    head = parts.get(MANIFEST)
    if head is None or head.size > MAX_BYTES:
        raise SealError(f"{path} holds no {MANIFEST}")
    raw = sealed.read(head.offset, head.size)
    _check_signature(raw, path, publishers)
    manifest = parse(raw, f"{path}: {MANIFEST}")
    if (manifest.name, manifest.version) != (sealed.head.name, sealed.head.version):
        raise SealError(f"{path} says {sealed.head.name} {sealed.head.version}, its manifest {manifest.name}")
    _check_sums(manifest, parts, path)
    return Bundle(path, manifest, _sha256(raw), _Contents(sealed, parts))


@dataclass(frozen=True, slots=True)
class _Part:
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True)
class _Contents:
    """The files of an open sealed bundle."""

    sealed: SealedFile
    parts: Mapping[str, _Part]

    def read(self, path: str) -> bytes:
        part = self.parts.get(path)
        if part is None:
            raise BackendError(f"{self.sealed.path} holds no {path}")
        try:
            return self.sealed.read(part.offset, part.size)
        except SealError as error:
            raise BackendError(str(error)) from error


def _scan(sealed: SealedFile) -> dict[str, _Part]:
    """Decrypt all of it once, a piece at a time: where each file lies, and its sum."""
    stream = sealed.stream()
    length = int.from_bytes(stream.read(4), "big")
    if length > MAX_BYTES:
        raise SealError(f"{sealed.path} holds no table of files")
    try:
        sizes = _TABLE.validate_json(stream.read(length))
    except ValidationError:
        raise SealError(f"{sealed.path} holds no table of files") from None
    if min(sizes.values(), default=-1) < 0 or 4 + length + sum(sizes.values()) != sealed.size:
        raise SealError(f"{sealed.path}: its table of files does not fit what is in it")
    parts, offset = {}, 4 + length
    for name, size in sizes.items():
        digest, left = hashlib.sha256(), size
        while left:
            piece = stream.read(min(left, _PIECE))
            if not piece:
                raise SealError(f"{sealed.path} became shorter while it was read")
            digest.update(piece)
            left -= len(piece)
        parts[name] = _Part(offset, size, digest.hexdigest())
        offset += size
    stream.read(1)  # the last chunk, where it is empty: that nothing is missing
    return parts


def _check_signature(raw: bytes, path: Path, publishers: Sequence[PublicKey]) -> None:
    if not publishers:
        raise SealError(f"{path}: nobody is trusted to sign; name the publisher's key in box.publishers, and give -c")
    found = _SIGNATURE.search(raw)
    if found is None:
        raise SealError(f"{path}: its manifest is not signed")
    signed_by, signature = found[1].decode(), base64.b64decode(found[3])
    known = next((publisher for publisher in publishers if publisher.id == signed_by), None)
    if known is None:
        trusted = ", ".join(publisher.id for publisher in publishers)
        raise SealError(f"{path} is signed with the key {signed_by}, which box.publishers does not name ({trusted})")
    if not known.verify(signature, _SIGNS + raw[: found.start(2)]):
        raise SealError(f"{path}: the signature of its manifest is bad: it is not what {signed_by} signed")


def _sums(manifest: Manifest) -> dict[str, str]:
    """path -> sha256 of every file that the manifest names."""
    release = manifest.release.files if manifest.release else {}
    golden = {manifest.golden.path: manifest.golden.sha256} if manifest.golden else {}
    return {**release, **golden, **{entry.path: entry.sha256 for entry in manifest.files.values()}}


def _check_sums(manifest: Manifest, parts: Mapping[str, _Part], path: Path) -> None:
    wanted = _sums(manifest)
    found = {name: part.sha256 for name, part in parts.items() if name != MANIFEST}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise SealError(f"{path} lacks {name}, which its manifest names")
        if name not in wanted:
            raise SealError(f"{path} holds {name}, which its manifest does not name")
        if wanted[name] != found[name]:
            raise SealError(f"{path}: {name} is not what was signed: sha256 {found[name]}, manifest {wanted[name]}")


def hardware() -> tuple[str, ...]:
    """What this machine is called: by the kernel, and on a board by its device tree."""
    try:
        text = Path("/proc/device-tree/compatible").read_bytes()
    except OSError:
        text = b""
    return (platform.machine(), *(name.decode("utf-8", "replace") for name in text.split(b"\0") if name))


def _check_hardware(manifest: Manifest, path: Path) -> None:
    wanted = manifest.release.hardware if manifest.release else ()
    if wanted and not set(wanted) & set(hardware()):
        raise SealError(f"{path} is for {', '.join(wanted)}; this box is {', '.join(hardware())}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
