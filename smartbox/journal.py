"""Where the log goes: journal fields under systemd, priority prefixes without systemd-python, plain lines for people.

`logger.warning("…", extra={"source": "east"})` becomes the journal field SMARTBOX_SOURCE, so that
`journalctl -u smartbox SMARTBOX_SOURCE=east` shows one camera. Every line passes through `secrets.redact`.
"""

import importlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from smartbox.secrets import RedactingFormatter, redact

# logging level -> syslog priority (sd-daemon(3)).
_PRIORITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup(level: int = logging.INFO, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Send the root logger where this process' log belongs; replaces the handlers it had.

    stream: stderr unless given. Under systemd ($JOURNAL_STREAM) lines carry no time of their own.
    """
    handler = _handler(stream or sys.stderr, environ)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)


def priority(level: int) -> int:
    """The syslog priority of a logging level: 2 critical … 7 debug."""
    return next((p for threshold, p in _PRIORITY if level >= threshold), 7)


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What was given as `extra`, as journal fields."""
    extra = {k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")}
    return {f"SMARTBOX_{key.upper()}": redact(str(value)) for key, value in extra.items()}


class PriorityFormatter(RedactingFormatter):
    """`<4>` before every line, tracebacks included, so that journald knows how bad it is."""

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{priority(record.levelno)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


class JournalFields(logging.Handler):
    """Writes to the journal with fields.

    Not systemd-python's own JournalHandler: that one also sends the arguments of a message and the raw
    exception, and so the password in a camera's URL.
    """

    def __init__(self, send: Any) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(
                self.format(record),
                PRIORITY=str(priority(record.levelno)),
                SYSLOG_IDENTIFIER="smartbox",
                LOGGER=record.name,
                THREAD_NAME=record.threadName or "",
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName or "",
                **fields(record),
            )
        except (OSError, ValueError, TypeError):  # a bad log line is no reason to stop watching
            self.handleError(record)


def _handler(stream: TextIO, environ: Mapping[str, str]) -> logging.Handler:
    if not _is_journal(stream, environ):
        plain = logging.StreamHandler(stream)
        plain.setFormatter(_human())
        return plain
    try:
        journal = importlib.import_module("systemd.journal")
    except ImportError:
        marked = logging.StreamHandler(stream)
        marked.setFormatter(PriorityFormatter("%(name)s: %(message)s"))
        return marked
    with_fields = JournalFields(journal.send)
    with_fields.setFormatter(RedactingFormatter("%(message)s"))
    return with_fields


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """$JOURNAL_STREAM names the device and inode that stderr must still be (systemd.exec(5)); children inherit it."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def _human() -> logging.Formatter:
    formatter = RedactingFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter
