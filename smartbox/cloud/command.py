"""A command as it comes down on `cmd/{name}`: checked, or refused with a reason."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from smartbox.clock import REAL_TIME
from smartbox.errors import SmartboxError

Status = Literal["accepted", "done", "failed", "expired", "duplicate", "refused"]

LIMIT = 16 * 1024  # bytes
FURTHEST = 7 * 86400.0  # s: ids are remembered until their command expires
NAMES = (
    *("snapshot", "clip", "test-alarm", "silence", "resync", "reload", "restart", "model-update"),
    *("upload", "rotate-key", "factory-reset", "acknowledge"),
)
RIGHT_TIME = "write it as 2026-11-24T10:00:00Z"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_KEYS = {"id", "expires_at", "args"}


class RefusedError(SmartboxError):
    """It will not be run: status expired or refused, id "" when it has none that can be read."""

    def __init__(self, status: Status, command_id: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.id = command_id


class CommandError(SmartboxError):
    """It was run and did not work; detail goes into the acknowledgement."""

    def __init__(self, reason: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.detail = dict(detail or {})


@dataclass(frozen=True, slots=True)
class Command:
    """id: the sender's; expires, came: epoch s."""

    name: str
    id: str
    expires: float
    args: Mapping[str, Any] = field(default_factory=dict)
    came: float = 0.0


def parse(name: str, payload: bytes, retained: bool, utc: float) -> Command:
    """The command, or RefusedError. What cannot be read at all is refused before anything of it is believed."""
    try:
        document = loads(payload) if len(payload) <= 20 * LIMIT else None
    except ValueError as error:
        raise RefusedError("refused", "", f"malformed: {error}; write it as {{id, expires_at, args}}") from error
    written = document.get("id") if isinstance(document, dict) else None
    command_id = written if isinstance(written, str) and _ID.fullmatch(written) else ""
    if len(payload) > LIMIT:
        raise RefusedError("refused", command_id, f"oversize: {len(payload)} bytes, at most {LIMIT}")
    if not isinstance(document, dict):
        raise RefusedError("refused", "", "malformed: must be an object {id, expires_at, args}")
    if not command_id:
        raise RefusedError("refused", "", f"malformed: id {short(written)} must be 1 to 64 of A-Z a-z 0-9 . _ : -")
    if retained:
        raise RefusedError(
            "refused", command_id, "retained: a command must not be, it would come again at every connect"
        )
    if name not in NAMES:
        raise RefusedError("refused", command_id, f"unknown: known are {', '.join(NAMES)}")
    if unknown := sorted(document.keys() - _KEYS):
        raise RefusedError(
            "refused", command_id, f"malformed: unknown key {short(unknown[0])}, only id, expires_at, args"
        )
    args = document.get("args")
    if not isinstance(args, dict | None):
        raise RefusedError("refused", command_id, f"malformed: args {short(args)} must be an object")
    return Command(name, command_id, _expiry(document.get("expires_at"), command_id, utc), args or {}, utc)


def _expiry(written: Any, command_id: str, utc: float) -> float:
    if (expires := epoch(written)) is None:
        raise RefusedError("refused", command_id, f"malformed: expires_at {short(written)} is no time; {RIGHT_TIME}")
    if utc < REAL_TIME:
        raise RefusedError("refused", command_id, "the box does not know the time, so not whether this has expired")
    if expires <= utc:
        raise RefusedError("expired", command_id, f"expired at {written}, {utc - expires:.0f} s ago by the box' clock")
    if expires > utc + FURTHEST:
        raise RefusedError("refused", command_id, f"expires_at {written} is more than 7 days ahead")
    return expires


def epoch(written: Any) -> float | None:
    """RFC 3339 with a time zone -> epoch s; None for everything else."""
    try:
        when = datetime.fromisoformat(written if isinstance(written, str) else "")
        return when.timestamp() if when.tzinfo else None
    except (ValueError, OverflowError, OSError):
        return None


def loads(payload: bytes) -> Any:
    """Strict JSON. ValueError for everything that is not: other encodings, NaN, what nests without end."""
    try:
        return json.loads(payload.decode(), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from error


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def short(value: Any) -> str:
    """A value that may be anything, for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
