"""A file from the cloud: HTTPS GET from hosts on a list, with its hash, going on where the line broke."""

import http.client
import ssl
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from smartbox.bundle import file_sha256
from smartbox.cloud.command import CommandError
from smartbox.cloud.https import AnswerError, Line, check_url, connection

LARGEST = 64_000_000  # bytes
_CHUNK = 1 << 16


def fetch(url: str, sha256: str, target: Path, hosts: Sequence[str], line: Line) -> None:
    """The file at `target`, with exactly this hash. CommandError, and then it is not there."""
    check_url(url, hosts, "cloud.model_hosts")
    context = line.context()
    try:
        target.unlink(missing_ok=True)
        line.insist(url, lambda: _get(url, target, context))
        if (found := file_sha256(target)) != sha256:
            raise CommandError(f"what came has the sha256 {found}, not {sha256}")
    except OSError as error:
        target.unlink(missing_ok=True)
        raise CommandError(f"{target}: {error.strerror}") from error
    except CommandError:
        target.unlink(missing_ok=True)
        raise


def _get(url: str, target: Path, context: ssl.SSLContext) -> None:
    have = target.stat().st_size if target.exists() else 0
    way, path = connection(url, context)
    with closing(way):
        way.request("GET", path, headers={"Range": f"bytes={have}-"} if have else {})
        answer: Any = way.getresponse()
        if answer.status not in (200, 206):
            raise AnswerError(answer)
        with target.open("ab" if answer.status == 206 else "wb") as file:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                if file.tell() > LARGEST:
                    raise CommandError(f"more than {LARGEST} bytes came; no model is as large")
        if answer.length:  # read() says nothing of an end that came too early
            raise http.client.IncompleteRead(b"", answer.length)
