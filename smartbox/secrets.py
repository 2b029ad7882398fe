"""Keeps passwords out of logs, messages and reports: `redact(text)` before anything leaves the process."""

import logging
import re

MASK = "***"

_SCHEME = r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)"
# scheme://user:password@host, as URLs should be: no slash, ? or # inside the password.
_URL = re.compile(_SCHEME + r"(?P<user>[^\s:/?#@\"'<>]*)(?P<colon>:?)[^\s/?#\"'<>]*@", re.IGNORECASE)
# As people write them: a password with / ? # or a quote in it. A port number is no password.
_LOOSE = re.compile(_SCHEME + r"(?P<user>[^\s:/?#@]*):(?!\*\*\*@|\d+(?:[/?#\s]|$))\S*@", re.IGNORECASE)
# Anywhere; some cameras have it in the path: rtsp://host/user=admin_password=1234_channel=1.
_PAIR = re.compile(r"(?P<key>(?<![a-z])(?:pass(?:word|wd|phrase)?|pwd)=)[^&;\s\"'<>]+", re.IGNORECASE)
_QUERY = re.compile(r"(?P<key>[?&;](?:pw|token|secret|key|api_?key|auth|sig(?:nature)?)=)[^&;\s\"'<>]+", re.IGNORECASE)
_HEADER = re.compile(r"(?P<key>\bauthorization\s*:\s*\w+\s+)[^\r\n\"']+", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` with the passwords of URLs, of query strings and of Authorization headers masked.

    The user name stays (it tells which account was refused); a lone token before the @ goes whole.
    """
    text = _URL.sub(lambda m: m["scheme"] + (m["user"] + ":" if m["colon"] else "") + MASK + "@", text)
    text = _LOOSE.sub(lambda m: f"{m['scheme']}{m['user']}:{MASK}@", text)
    for pattern in (_PAIR, _QUERY, _HEADER):
        text = pattern.sub(lambda m: m["key"] + MASK, text)
    return text


class RedactingFormatter(logging.Formatter):
    """A log formatter whose every line, tracebacks included, went through `redact`."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
