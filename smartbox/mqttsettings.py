"""Where events go: the `mqtt:` section of the configuration."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema, field_validator, model_validator

from smartbox.errors import SmartboxError
from smartbox.settings import Duration, Settings

EMBEDDED = ("127.0.0.1", 18830)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _pem(value: Any) -> Any:
    """PEM text, as a secret holds it, or the path of a file."""
    if isinstance(value, str) and value.lstrip().startswith("-----BEGIN "):
        return SecretStr(value)
    return Path(value) if isinstance(value, str) else value


Pem = Annotated[Path | SecretStr, BeforeValidator(_pem), WithJsonSchema({"type": "string"})]


@contextmanager
def as_file(pem: Path | SecretStr | None) -> Iterator[str | None]:
    """A name under which OpenSSL reads it; a secret's text lies in memory only."""
    if not isinstance(pem, SecretStr):
        yield None if pem is None else str(pem)
        return
    handle = os.memfd_create("smartbox-pem")
    try:
        os.write(handle, pem.get_secret_value().encode())
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


class LinkError(SmartboxError):
    """The broker is away or refuses us; code: MQTT's reason, 0 when it gave none.

    It never leaves the publisher, which connects again.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class Credentials(Settings):
    """Name and password for the broker; may be written as one secret `name:password`."""

    username: str
    """The user name."""
    password: SecretStr | None = None
    """The password; better a `!secret`."""
    password_file: Path | None = None
    """A file whose first line is the password; read at every connect, so that it may be rotated."""

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, str):
            username, colon, password = value.strip().partition(":")
            if not colon:
                raise ValueError("write it as name:password")
            return {"username": username, "password": password}
        return value

    def secret(self) -> str | None:
        """The password now. LinkError when its file cannot be read."""
        if self.password_file is not None:
            try:
                return self.password_file.read_text(encoding="utf-8").split("\n", 1)[0].strip()
            except (OSError, UnicodeDecodeError) as error:
                raise LinkError(f"mqtt.credentials.password_file {self.password_file}: {error}") from error
        return self.password.get_secret_value() if self.password else None


class MqttSettings(Settings):
    """Where events go."""

    url: str = "embedded"
    """`mqtts://host[:8883]`, `mqtt://host[:1883]`, or `embedded`: the demo's own broker on 127.0.0.1:18830."""
    version: Literal["5", "3.1.1"] = "5"
    """MQTT 5; with 3.1.1 a broker may throw messages away and still acknowledge them."""
    credentials: Credentials | None = None
    """Name and password; refused over plain text unless the broker is on this machine."""
    ca: Pem | None = None
    """PEM file with the authority that signed the broker's certificate; the system's own when absent."""
    cert: Pem | None = None
    """PEM file with this box's certificate, or its text by `!secret`; needs `key`."""
    key: Pem | None = None
    """PEM file with this box's private key, or its text by `!secret`, which then lies in memory only; needs `cert`."""
    client_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$")
    """Client id; default `smartbox-{site}-{box}`. Two boxes with the same one throw each other out."""
    keepalive: Duration = Field(20.0, ge=5, le=300)
    """Longest silence on the line; a dead line is noticed within about twice that."""
    connect_timeout: Duration = Field(10.0, ge=1, le=60)
    """For TCP, TLS and the broker's answer each."""
    session: Duration = Field(86400.0, ge=0, le=30 * 86400.0)
    """The broker keeps commands for a box that is away for so long; not with 3.1.1, where they are lost."""

    @field_validator("version", mode="before")
    @classmethod
    def _version(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value == "embedded":
            return value
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{value!r}: {error}; write it as mqtts://broker.example:8883") from error
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or port == 0:
            raise ValueError(f"{value!r}: write it as mqtts://broker.example:8883, mqtt://127.0.0.1 or embedded")
        if parts.username or parts.password or parts.path.strip("/") or parts.query:
            raise ValueError("host and port only; user and password go to mqtt.credentials")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key go together")
        if not self.tls and (self.ca or self.cert):
            raise ValueError(f"ca, cert and key need mqtts://, not {self.url}")
        if self.credentials and not self.tls and self.host not in _LOOPBACK:
            raise ValueError(f"credentials over plain text to {self.host}: use mqtts://")
        return self

    @property
    def embedded(self) -> bool:
        return self.url == "embedded"

    @property
    def tls(self) -> bool:
        return self.url.startswith("mqtts:")

    @property
    def host(self) -> str:
        return EMBEDDED[0] if self.embedded else str(urlsplit(self.url).hostname)

    @property
    def port(self) -> int:
        return EMBEDDED[1] if self.embedded else urlsplit(self.url).port or (8883 if self.tls else 1883)
