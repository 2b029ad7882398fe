"""Files to the cloud: HTTPS PUT to presigned URLs, whole or in parts, to hosts on a list and to no others."""

import hashlib
import http.client
import logging
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError

from smartbox.clock import Clock
from smartbox.cloud.command import CommandError
from smartbox.mqttsettings import as_file
from smartbox.settings import Settings
from smartbox.supervise import backoff
from smartbox.wording import problems_of

log = logging.getLogger(__name__)

WHOLE = 20_000_000  # bytes; what is larger goes in parts
_TRIES = 5
_TIMEOUT = 30.0  # s without any progress
_CHUNK = 1 << 16
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}")
# What a presigned request may have signed, and nothing that changes how it is sent.
_HEADER = re.compile(r"content-type|content-md5|if-none-match|x-(amz|goog|ms)-[a-z0-9-]+", re.IGNORECASE)
_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class Part(Settings):
    """One part of a file."""

    number: int = Field(ge=1, le=10_000)
    url: str = Field(max_length=4096)


class UploadRequest(Settings):
    """The `args` of an upload: a file's name, and either `url` or `part_size` with `urls` (all) or `parts` (some)."""

    name: str
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    url: str | None = Field(None, max_length=4096)
    urls: tuple[str, ...] = Field((), max_length=1000)
    parts: tuple[Part, ...] = Field((), max_length=1000)
    part_size: int | None = Field(None, ge=1, le=5_000_000_000)
    headers: dict[str, str] = Field({}, max_length=20)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes start..end of the file for one URL; number None: all of it."""

    number: int | None
    url: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Uploader:
    """directory: where the files are. hosts: `host`, `host:port` or `*.domain`. ca: who signed their certificates."""

    directory: Path
    hosts: Sequence[str]
    clock: Clock
    ca: Path | SecretStr | None = None

    def upload(
        self,
        args: Mapping[str, Any],
        deadline: float,
        stop: threading.Event,
        progress: Callable[[Mapping[str, Any]], None],
    ) -> Mapping[str, Any]:
        """Do it, until `deadline` (monotonic s) at most; what was sent, for the answer. CommandError.

        A part that is refused or cut off is sent again without those before it. progress: called after each part.
        """
        request = _request(args)
        path = self._path(request.name)
        pieces, size = plan(request, path)
        for piece in pieces:
            self.allowed(piece.url)
        sha256 = _sha256(path)
        about: dict[str, Any] = {"name": request.name, "bytes": size, "sha256": sha256}
        if request.sha256 not in (None, sha256):
            raise CommandError(f"{request.name}: its sha256 is {sha256}, not {request.sha256}", about)
        done: list[dict[str, Any]] = []
        context = self._context()
        for piece in pieces:
            try:
                etag = self._insist(piece, path, request.headers, context, deadline, stop)
            except CommandError as error:
                raise CommandError(str(error), {**about, "parts": done, "failed_part": piece.number or 1}) from error
            done.append({"number": piece.number or 1, "etag": etag})
            progress({**about, "parts": done})
        return {**about, "parts": done}

    def _path(self, name: str) -> Path:
        path = self.directory / name
        if not _NAME.fullmatch(name) or not path.is_file() or path.is_symlink():
            raise CommandError(f"name {name[:200]!r}: no such file; the names stand in an event's evidence")
        return path

    def allowed(self, url: str) -> None:
        """CommandError unless it is https to a host on the list."""
        try:
            parts = urlsplit(url)
            port = parts.port or 443
        except ValueError as error:
            raise CommandError(f"url: {error}") from error
        host = (parts.hostname or "").lower()
        if parts.scheme != "https" or not host or parts.username is not None or not url.isascii():
            raise CommandError(f"url: must be https://host/…, not {parts.scheme[:20]}://{host[:200]}")
        if not any(_matches(entry, host, port) for entry in self.hosts):
            known = ", ".join(self.hosts) or "empty"
            raise CommandError(f"url: {host[:200]}:{port} is not in cloud.upload_hosts ({known})")

    def _context(self) -> ssl.SSLContext:
        try:
            with as_file(self.ca) as ca:
                context = ssl.create_default_context(cafile=ca)
        except (OSError, ssl.SSLError) as error:
            raise CommandError(f"cloud.upload_ca: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _insist(
        self,
        piece: Piece,
        path: Path,
        headers: Mapping[str, str],
        context: ssl.SSLContext,
        deadline: float,
        stop: threading.Event,
    ) -> str | None:
        """Send one piece, again when that may help; its ETag."""
        for attempt in range(_TRIES):
            try:
                status, etag, said = _put(piece, path, headers, context)
                why = f"{status} {said}".strip()
                final = status not in _AGAIN
                if 200 <= status < 300:
                    return etag
            except ssl.SSLCertVerificationError as error:
                why, final = f"certificate refused: {error.verify_message}", True
            except (OSError, http.client.HTTPException) as error:
                why, final = str(error) or type(error).__name__, False
            host = urlsplit(piece.url).hostname
            pause = backoff(attempt, 1.0, 30.0)
            if final or attempt == _TRIES - 1 or self.clock.monotonic() + pause >= deadline:
                raise CommandError(f"{host}: {why}")
            log.warning("upload of %s to %s: %s; again in %.0f s", path.name, host, why, pause)
            if self.clock.wait(stop, pause):
                raise CommandError(f"{host}: {why}; the box is being stopped")
        raise AssertionError("the last try raises")


def _request(args: Mapping[str, Any]) -> UploadRequest:
    try:
        request = UploadRequest.model_validate(args)
    except ValidationError as error:
        raise CommandError("; ".join(str(p) for p in problems_of(error, UploadRequest, "args")[:5])) from error
    ways = [w for w in ("url", "urls", "parts") if getattr(request, w)]
    if len(ways) != 1:
        raise CommandError(f"args: give one of url, urls and parts; found {', '.join(ways) or 'none'}")
    if (request.part_size is None) != (request.url is not None):
        raise CommandError("args: part_size goes with urls or parts, and only with them")
    for name, value in request.headers.items():
        if not _HEADER.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise CommandError(f"args.headers: {name[:60]!r} may not be set")
    return request


def plan(request: UploadRequest, path: Path) -> tuple[list[Piece], int]:
    """What goes to which URL, and the file's size. CommandError when they do not fit together."""
    size = path.stat().st_size
    if request.url is not None:
        if size > WHOLE:
            raise CommandError(f"{request.name}: {size} bytes; more than {WHOLE} go in parts, give part_size and urls")
        return [Piece(None, request.url, 0, size)], size
    step = request.part_size or size
    count = max(1, -(-size // step))
    if request.urls and len(request.urls) != count:
        raise CommandError(
            f"{request.name}: {size} bytes in parts of {step} need {count} urls, not {len(request.urls)}"
        )
    parts = request.parts or tuple(Part(number=i + 1, url=url) for i, url in enumerate(request.urls))
    if beyond := [part.number for part in parts if part.number > count]:
        raise CommandError(f"{request.name}: {size} bytes in parts of {step} have {count} parts, no part {beyond[0]}")
    return [Piece(p.number, p.url, (p.number - 1) * step, min(size, p.number * step)) for p in parts], size


def _matches(entry: str, host: str, port: int) -> bool:
    name, _, wanted = entry.partition(":")
    if port != int(wanted or 443):
        return False
    return host.endswith(name[1:]) and len(host) > len(name) - 1 if name.startswith("*.") else host == name


def _put(piece: Piece, path: Path, headers: Mapping[str, str], context: ssl.SSLContext) -> tuple[int, str | None, str]:
    """(status, ETag, what else was said). A redirect is an answer like any other."""
    parts = urlsplit(piece.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = http.client.HTTPSConnection(parts.hostname or "", parts.port or 443, timeout=_TIMEOUT, context=context)
    with closing(connection):
        body = _bytes(path, piece.start, piece.end)
        connection.request("PUT", target, body, {**headers, "Content-Length": str(piece.end - piece.start)})
        answer = connection.getresponse()
        said = answer.read(2000).decode("ascii", "replace") if answer.status >= 300 else ""
        reason = " ".join(f"{answer.reason} {said}".split())[:300]
        return answer.status, answer.headers.get("ETag"), reason


def _bytes(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
