"""What may come down from above: the `cloud:` section of the configuration."""

import re

from pydantic import Field, field_validator

from smartbox.keys import PublisherText
from smartbox.mqttsettings import Pem
from smartbox.settings import Duration, Settings

_HOST = re.compile(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?")


class CloudSettings(Settings):
    """What the box takes from above, beside commands: a signed configuration, and hosts for files and models."""

    keys: tuple[PublisherText, ...] = Field((), max_length=4)
    """Public keys, each written `ed25519:BASE64`: a configuration on `desired` must be signed by one of them; two while
    they are being rotated. Without any no configuration is taken from above."""
    revert_after: Duration = Field(300.0, ge=1, le=86400.0)
    """A configuration from above that has not reached the broker after so long is given up for the one before."""
    confirm_after: Duration = Field(10.0, ge=0, le=3600.0)
    """A connection has to hold this long until the configuration counts as good."""
    upload_hosts: tuple[str, ...] = ()
    """Hosts that files may be uploaded to by HTTPS: `media.example`, `media.example:8443` or `*.s3.example` for every
    name below it. Empty: nothing is uploaded."""
    model_hosts: tuple[str, ...] = ()
    """Hosts that sealed models may be fetched from by `model-update`, written alike. Empty: none are."""
    https_ca: Pem | None = None
    """PEM file with the authority that signed the certificates of these hosts; the system's own when absent."""

    @field_validator("upload_hosts", "model_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r}: write it as media.example, media.example:8443 or *.media.example")
        return hosts


class HomeAssistantSettings(Settings):
    """Shows the box in Home Assistant, by MQTT device discovery."""

    enabled: bool = False
    """Publish `homeassistant/device/{box}/config`. The broker's ACL has to allow it."""
    prefix: str = Field("homeassistant", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """Home Assistant's discovery prefix."""
    name: str | None = Field(None, max_length=64)
    """What it is called there; default: the box' id."""
