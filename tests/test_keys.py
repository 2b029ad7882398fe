"""Keys: written and read back, told apart, and kept to their owner."""

import stat
import subprocess
from pathlib import Path

import pytest

from smartbox.keyring import Keyring
from smartbox.keys import OpeningKey, PublicKey, SealError, SigningKey, new_key, read_key, write_key
from tests.sealing import opening_key, publisher


def test_a_public_key_is_a_line_of_text(tmp_path: Path) -> None:
    key = publisher().public
    assert PublicKey.parse(f"{key}  the lab's, since 2026\n", "ed25519") == key
    (tmp_path / "lab.pub").write_text(f"{key}\n")
    assert PublicKey.read(str(tmp_path / "lab.pub"), "ed25519") == PublicKey.read(str(key), "ed25519") == key
    assert len(key.id) == 16


@pytest.mark.parametrize("text", ["", "hello", "ed25519:", "ed25519:AAAA", "ed25519:*", "x25519:ü"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(SealError, match=r"is no public key to check a signature with.*ed25519:BASE64"):
        PublicKey.parse(text, "ed25519")


def test_the_kinds_are_told_apart() -> None:
    with pytest.raises(SealError, match="of another kind"):
        PublicKey.parse(str(opening_key().public), "ed25519")
    with pytest.raises(SealError, match="no Ed25519 key, so it cannot sign"):
        SigningKey.load(new_key("x25519"), "box.key")
    with pytest.raises(SealError, match="no X25519 key"):
        OpeningKey.load(new_key("ed25519"), "lab.key")


def test_what_is_no_private_key(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="is no private key in PEM"):
        OpeningKey.load(b"-----BEGIN", "box.key")
    with pytest.raises(SealError, match="no such file"):
        read_key(tmp_path / "none")
    with pytest.raises(SealError, match="Is a directory"):
        read_key(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SealError, match="is not text"):
        read_key(tmp_path / "binary")


def test_keys_of_openssl_are_taken(tmp_path: Path) -> None:
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, check=True).stdout
    key = SigningKey.load(made, "openssl's")
    assert key.public.verify(key.sign(b"x"), b"x")
    locked = ["openssl", "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x"]
    with pytest.raises(SealError, match="passphrase"):
        SigningKey.load(subprocess.run(locked, capture_output=True, check=True).stdout, "openssl's")


def test_a_signature_holds_for_these_bytes_and_this_key_only() -> None:
    key = publisher()
    signature = key.sign(b"manifest")
    assert key.public.verify(signature, b"manifest")
    assert not key.public.verify(signature, b"manifesto")
    assert not publisher().public.verify(signature, b"manifest")
    assert not key.public.verify(b"short", b"manifest")


def test_a_wrapped_secret_is_for_one() -> None:
    key, secret = opening_key(), bytes(range(32))
    ephemeral, wrapped = key.public.wrap(secret)
    assert key.unwrap(ephemeral, wrapped) == secret
    for bad in ((ephemeral, wrapped[:-1] + b"\0"), (wrapped[:32], wrapped), (bytes(32), wrapped)):
        with pytest.raises(SealError):
            key.unwrap(*bad)
    with pytest.raises(SealError):
        opening_key().unwrap(ephemeral, wrapped)


def test_a_box_makes_its_key_once_and_for_itself(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "state")
    with pytest.raises(SealError, match="smartbox models key"):
        keyring.opening()
    made = keyring.made().public
    assert Keyring(tmp_path / "state").made().public == made == keyring.opening().public
    assert stat.S_IMODE(keyring.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keyring.path.parent.stat().st_mode) == 0o700
    assert keyring.exposed() is None
    keyring.path.chmod(0o644)
    assert "mode 644" in (keyring.exposed() or "")
    write_key(keyring.path, new_key("x25519"))
    assert keyring.exposed() is None and keyring.opening().public != made


def test_a_key_of_the_configuration_goes_before_the_file(tmp_path: Path) -> None:
    Keyring(tmp_path).made()
    pem = new_key("x25519")
    assert Keyring(tmp_path, pem=pem.decode()).made().public == OpeningKey.load(pem, "").public
