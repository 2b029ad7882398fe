"""Signed documents: compact JWS with EdDSA over Ed25519 (RFC 7515, RFC 8037)."""

from collections.abc import Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from smartbox.keys import PublicKey

_JWS = jwt.PyJWS(algorithms=["EdDSA"])


def verified(token: bytes, keys: Sequence[PublicKey]) -> bytes:
    """The payload, when one of the keys signed it. ValueError says why not."""
    reason = "there is no key to check it by; cloud.keys is empty"
    for key in keys:
        try:
            checked = _JWS.decode_complete(token, Ed25519PublicKey.from_public_bytes(key.raw), algorithms=["EdDSA"])
        except jwt.InvalidSignatureError:
            reason = "signed by none of cloud.keys"
        except (jwt.PyJWTError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"no compact JWS with EdDSA: {error}") from error
        else:
            return bytes(checked["payload"])
    raise ValueError(reason)
