"""What uploads and downloads share: hosts on a list, certificates that are checked, and a bounded number of tries."""

import http.client
import logging
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from smartbox.clock import Clock
from smartbox.cloud.command import CommandError
from smartbox.mqttsettings import as_file
from smartbox.supervise import backoff

log = logging.getLogger(__name__)

TIMEOUT = 30.0  # s without any progress
_TRIES = 5
_LABEL = re.compile(r"[a-z0-9-]{1,63}")
_ADDRESS = re.compile(r"[0-9a-f:.]+")
_AGAIN = {408, 425, 429, 500, 502, 503, 504}

T = TypeVar("T")


class AnswerError(Exception):
    """The server answered, and not with what was asked for."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        said = answer.read(2000).decode("ascii", "replace")
        super().__init__(" ".join(f"{answer.status} {answer.reason} {said}".split())[:300])
        self.final = answer.status not in _AGAIN


def check_url(url: str, hosts: Sequence[str], setting: str) -> None:
    """CommandError unless it is https to a host on the list that stands under `setting`."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError as error:
        raise CommandError(f"url: {error}") from error
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or not host or parts.username is not None or not url.isascii():
        raise CommandError(f"url: must be https://host/…, not {parts.scheme[:20]}://{host[:200]}")
    if not _named(host):
        raise CommandError(f"url: {host[:200]!r} is no host; between dots stand 1 to 63 letters, digits and hyphens")
    if not any(_matches(entry, host, port) for entry in hosts):
        raise CommandError(f"url: {host[:200]}:{port} is not in {setting} ({', '.join(hosts) or 'empty'})")


def _named(host: str) -> bool:
    """Whether it can be looked up: a name, which may end in a dot, or an address."""
    if ":" in host:  # it stood in brackets
        return _ADDRESS.fullmatch(host) is not None
    return all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def _matches(entry: str, host: str, port: int) -> bool:
    name, _, wanted = entry.partition(":")
    if port != int(wanted or 443):
        return False
    return host.endswith(name[1:]) and len(host) > len(name) - 1 if name.startswith("*.") else host == name


@dataclass(frozen=True, slots=True)
class Line:
    """How to reach servers, and for how long to try. deadline: monotonic s."""

    clock: Clock
    ca: Path | SecretStr | None
    deadline: float
    stop: threading.Event

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 at least, certificate and host name checked. CommandError when the authority cannot be read."""
        try:
            with as_file(self.ca) as ca:
                context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"cloud.https_ca: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def insist(self, url: str, work: Callable[[], T]) -> T:
        """What `work` returns, tried again where that may help. CommandError says what the server said last."""
        host = urlsplit(url).hostname
        for attempt in range(_TRIES):
            try:
                return work()
            except AnswerError as error:
                why, final = str(error), error.final
            except ssl.SSLCertVerificationError as error:
                why, final = f"certificate refused: {error.verify_message}", True
            except UnicodeError as error:  # of a host that no name server can be asked for
                why, final = str(error), True
            except (OSError, http.client.HTTPException) as error:
                why, final = str(error) or type(error).__name__, False
            pause = backoff(attempt, 1.0, 30.0)
            if final or attempt == _TRIES - 1 or self.clock.monotonic() + pause >= self.deadline:
                break
            log.warning("%s: %s; again in %.0f s", host, why, pause)
            if self.clock.wait(self.stop, pause):
                why += "; the box is being stopped"
                break
        raise CommandError(f"{host}: {why}")


def connection(url: str, context: ssl.SSLContext) -> tuple[http.client.HTTPSConnection, str]:
    """An open way to the URL's host, and what to ask it for."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return http.client.HTTPSConnection(
        parts.hostname or "", parts.port or 443, timeout=TIMEOUT, context=context
    ), target
