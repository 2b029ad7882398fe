"""A publisher, boxes, and sealed files, good ones and such as an attacker would make."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smartbox.bundle import Bundle
from smartbox.keyring import Keyring
from smartbox.keys import OpeningKey, PublicKey, SigningKey, new_key
from smartbox.release import Terms, seal_bundle
from smartbox.sealed import CHUNK, Label, joined, seal
from smartbox.shelf import Shelf

NOW = 1_790_000_000.0
LATER, EARLIER = "2027-01-01T00:00:00Z", "2026-01-01T00:00:00Z"


def publisher() -> SigningKey:
    return SigningKey.load(new_key("ed25519"), "a test's key")


def opening_key() -> OpeningKey:
    return OpeningKey.load(new_key("x25519"), "a test's key")


def box(state_dir: Path, *trusted: SigningKey) -> Shelf:
    """A box that has its key and trusts these publishers."""
    keyring = Keyring(state_dir, tuple(key.public for key in trusted))
    keyring.made()
    return Shelf(state_dir, keyring)


def sealed(
    bundle: Bundle, target: Path, signer: SigningKey, *shelves: Shelf, seq: int = 1, chunk: int = CHUNK, **terms: Any
) -> Path:
    """The bundle sealed for these boxes."""
    readers = [shelf.keyring.opening().public for shelf in shelves]
    seal_bundle(bundle, target, signer, readers, Terms(seq, **terms), chunk)
    return target


def packed(files: dict[str, bytes], target: Path, readers: Sequence[PublicKey], label: Label | None = None) -> Path:
    """Any files sealed as a bundle: everybody who knows a box's public key can do this."""
    table = json.dumps({name: len(content) for name, content in files.items()}).encode()
    pieces = iter([len(table).to_bytes(4, "big"), table, *files.values()])
    with target.open("wb") as file:
        seal(joined(pieces), file, label or Label("bundle", "tiny", "1"), readers)
    return target
