"""Files to the cloud: HTTPS PUT to presigned URLs, whole or in parts, to hosts on a list and to no others."""

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from smartbox.bundle import file_sha256
from smartbox.clock import Clock
from smartbox.cloud.command import CommandError
from smartbox.cloud.https import AnswerError, Line, check_url, connection
from smartbox.settings import Settings
from smartbox.wording import problems_of

WHOLE = 20_000_000  # bytes; what is larger goes in parts
_CHUNK = 1 << 16
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}")
# What a presigned request may have signed, and nothing that changes how it is sent.
_HEADER = re.compile(r"content-type|content-md5|if-none-match|x-(amz|goog|ms)-[a-z0-9-]+", re.IGNORECASE)


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
            check_url(piece.url, self.hosts, "cloud.upload_hosts")
        sha256 = file_sha256(path)
        about: dict[str, Any] = {"name": request.name, "bytes": size, "sha256": sha256}
        if request.sha256 not in (None, sha256):
            raise CommandError(f"{request.name}: its sha256 is {sha256}, not {request.sha256}", about)
        done: list[dict[str, Any]] = []
        line = Line(self.clock, self.ca, deadline, stop)
        context = line.context()
        for piece in pieces:
            try:
                etag = line.insist(piece.url, partial(_put, piece, path, request.headers, context))
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


def _put(piece: Piece, path: Path, headers: Mapping[str, str], context: ssl.SSLContext) -> str | None:
    """Send it; its ETag. AnswerError, which a redirect is too."""
    way, target = connection(piece.url, context)
    with closing(way):
        body = _bytes(path, piece.start, piece.end)
        way.request("PUT", target, body, {**headers, "Content-Length": str(piece.end - piece.start)})
        answer = way.getresponse()
        if not 200 <= answer.status < 300:
            raise AnswerError(answer)
        return answer.headers.get("ETag")


def _bytes(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk
