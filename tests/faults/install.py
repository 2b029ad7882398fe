"""Installs and rollbacks at work, to be traced: `python -m tests.faults.install STATE BOX_KEY PUBLISHER FILE…`."""

import os
import sys
from pathlib import Path

from smartbox.keyring import Keyring
from smartbox.keys import PublicKey, read_key
from smartbox.shelf import Shelf
from tests.faults.trace import MARKS
from tests.sealing import NOW


def main(state: str, key: str, publisher: str, *files: str) -> None:
    keyring = Keyring(Path(state), (PublicKey.parse(publisher, "ed25519"),), read_key(Path(key)).decode())
    shelf = Shelf(Path(state), keyring)
    said = os.open(Path(state).with_name(MARKS), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for i, file in enumerate(files):
        bundle = shelf.install(Path(file), NOW)
        assert bundle.manifest.release is not None
        os.write(said, f"current {bundle.manifest.release.release_seq}\n".encode())
        if i % 4 == 3:
            back = shelf.rollback("tiny")
            assert back is not None and back.manifest.release is not None
            os.write(said, f"current {back.manifest.release.release_seq}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
