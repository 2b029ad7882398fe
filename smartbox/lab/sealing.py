"""Keys of publishers and readers, and bundles sealed for boxes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smartbox.bundle import Bundle
from smartbox.errors import StorageError
from smartbox.keys import Kind, OpeningKey, PublicKey, SealError, SigningKey, new_key, read_key, write_key
from smartbox.release import Terms, seal_bundle

__all__ = ["Terms", "generate", "in_a_year", "seal"]


def in_a_year() -> str:
    """ISO 8601 in UTC."""
    return (datetime.now(UTC) + timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")


def seal(bundle: Bundle, out: Path, key: Path, boxes: Sequence[str], terms: Terms) -> dict[str, Any]:
    """Write the sealed file; what it is. key: the publisher's; boxes: public keys, or files that hold them."""
    signer = SigningKey.load(read_key(key), str(key))
    readers = [PublicKey.read(text, "x25519") for text in boxes]
    part = out.with_name(out.name + ".part")
    try:
        manifest = seal_bundle(bundle, part, signer, readers, terms)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return {
        "file": str(out),
        "bytes": out.stat().st_size,
        "model": f"{manifest.name} {manifest.version}",
        "release": terms.release_seq,
        "not_after": terms.not_after,
        "signed_by": signer.public.id,
        "for": [reader.id for reader in readers],
    }


def generate(out: Path, kind: Kind) -> dict[str, Any]:
    """Write a private key to `out` (for its owner alone) and the public one beside it. Never over another key."""
    public_file = out.with_name(out.name + ".pub")
    for path in (out, public_file):
        if path.exists():
            raise SealError(f"{path} is there already; a key that is overwritten is lost for good")
    pem = new_key(kind)
    key = SigningKey.load(pem, str(out)) if kind == "ed25519" else OpeningKey.load(pem, str(out))
    write_key(out, pem)
    try:
        public_file.write_text(f"{key.public}\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{public_file}: {error.strerror}") from error
    return {"private": str(out), "public": str(key.public), "id": key.public.id}
