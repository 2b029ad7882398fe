"""A cloud that signs configurations."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from smartbox.keys import PublicKey


class Signer:
    """`public` goes into cloud.keys; `document` is what goes on `desired`."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = str(PublicKey("ed25519", self._key.public_key().public_bytes_raw()))

    def document(self, version: Any, config: Any, box: str = "park-a/box-1", **more: Any) -> bytes:
        return self.sign(json.dumps({"version": version, "box": box, "config": config, **more}).encode())

    def sign(self, payload: bytes) -> bytes:
        return jwt.PyJWS(algorithms=["EdDSA"]).encode(payload, self._key, algorithm="EdDSA").encode()
