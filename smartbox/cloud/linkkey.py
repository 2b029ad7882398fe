"""The box' certificate for the broker, renewed from above: the private key is made here and never leaves the box.

rotate-key {}                 -> a new key, and a request (CSR) to be signed
rotate-key {certificate: PEM} -> the next connection uses it; if the broker takes the old one only, the old one stays
"""

import hashlib
import logging
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from smartbox.cloud.command import CommandError
from smartbox.errors import StorageError
from smartbox.mqttsettings import LinkError, MqttSettings, Pem
from smartbox.statefile import StateFile
from smartbox.supervise import chain

log = logging.getLogger(__name__)

FILE_NAME = "link-key.json"


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM texts."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Keys:
    """base: hash of the configured certificate that these take the place of; made: a key that waits for its
    certificate; trial: not connected with yet; current: connected with.
    """

    base: str = ""
    made: str = ""
    trial: Pair | None = None
    current: Pair | None = None


class LinkKey:
    """Gives the publisher what to connect with. Any thread may call."""

    def __init__(self, state_dir: Path) -> None:
        self._file = StateFile(state_dir / FILE_NAME, mode=0o600)
        self._keys = Keys()
        self._lock = threading.Lock()
        self._used: Pair | None = None
        self._odd = False
        self.decided = threading.Event()
        """The certificate on trial was taken, or given up."""
        self.refusal = ""

    def load(self) -> None:
        stored = self._file.load()
        pairs = {name: Pair(**stored[name]) if stored.get(name) else None for name in ("trial", "current")}
        self._keys = Keys(stored.get("base", ""), stored.get("made", ""), pairs["trial"], pairs["current"])

    # -- the publisher's thread --

    def identity(self, settings: MqttSettings) -> MqttSettings:
        """What to connect with now: the certificate on trial and the one before it in turn, until one is let in."""
        with self._lock:
            keys, self._used = self._keys, None
            if not settings.cert or keys.base != _hash(settings.cert):
                return settings  # none, or somebody renewed it in the configuration, which says more
            self._odd = not self._odd
            pair = keys.trial if keys.trial and self._odd else keys.current
            if pair is None:
                return settings
            self._used = pair
        return settings.model_copy(update={"cert": SecretStr(pair.certificate), "key": SecretStr(pair.key)})

    def connected(self) -> None:
        """With what `identity` gave last."""
        with self._lock:
            keys = self._keys
            if keys.trial is None:
                return
            if self._used == keys.trial:
                self._save(replace(keys, trial=None, made="", current=keys.trial))
                self.refusal = ""
            else:
                self._save(replace(keys, trial=None))
                self.refusal = "the broker takes the old certificate and not the new one"
            log.info("certificate: %s", self.refusal or "the new one is in use")
            self.decided.set()

    # -- commands --

    def request(self, settings: MqttSettings) -> str:
        """Make a new key; the request to be signed, with the names of the certificate in use. CommandError."""
        old = self._in_use(settings)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateSigningRequestBuilder().subject_name(old.subject)
        try:
            names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            builder = builder.add_extension(names.value, critical=False)
        except x509.ExtensionNotFound:
            pass
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        with self._lock:
            base = _hash(settings.cert) if settings.cert else ""
            current = self._keys.current if self._keys.base == base else None
            self._keep(Keys(base, pem, None, current))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def install(self, certificate: str, utc: float) -> datetime:
        """Use it from the next connection on; until when it is valid. CommandError when it does not fit."""
        try:
            found = x509.load_pem_x509_certificates(certificate.encode())
        except ValueError as error:
            raise CommandError(f"args.certificate: no PEM certificate: {error}") from error
        first, now = found[0], datetime.fromtimestamp(utc, UTC)
        with self._lock:
            if not self._keys.made:
                raise CommandError("there is no new key: send rotate-key without a certificate first")
            made = serialization.load_pem_private_key(self._keys.made.encode(), None)
            if first.public_key() != made.public_key():
                raise CommandError("args.certificate: is not for the key that was made last")
            if not first.not_valid_before_utc <= now < first.not_valid_after_utc:
                span = f"{first.not_valid_before_utc:%Y-%m-%d} to {first.not_valid_after_utc:%Y-%m-%d}"
                raise CommandError(f"args.certificate: valid from {span}, and today is {now:%Y-%m-%d}")
            self.decided.clear()
            self._odd = False
            self._keep(replace(self._keys, trial=Pair(certificate, self._keys.made)))
        return first.not_valid_after_utc

    def _in_use(self, settings: MqttSettings) -> x509.Certificate:
        if not settings.cert:
            raise CommandError("mqtt.cert is not set: this box shows no certificate, so none can be renewed")
        now = self._keys.current
        try:
            content = (
                now.certificate.encode() if now and self._keys.base == _hash(settings.cert) else _read(settings.cert)
            )
            return x509.load_pem_x509_certificates(content)[0]
        except (LinkError, ValueError) as error:
            raise CommandError(f"mqtt.cert: {error}") from error

    def _keep(self, keys: Keys) -> None:
        try:
            self._file.save(asdict(keys))
        except StorageError as error:
            raise CommandError(chain(error)) from error
        self._keys = keys

    def _save(self, keys: Keys) -> None:
        self._keys = keys
        try:
            self._file.save(asdict(keys))
        except StorageError as error:
            log.error("%s", chain(error))


def _read(pem: Pem) -> bytes:
    if isinstance(pem, SecretStr):
        return pem.get_secret_value().encode()
    try:
        return pem.read_bytes()
    except OSError as error:
        raise LinkError(f"{pem}: {error.strerror}") from error


def _hash(pem: Pem) -> str:
    try:
        return hashlib.sha256(_read(pem)).hexdigest()
    except LinkError:
        return "unreadable"
