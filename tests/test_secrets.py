"""Passwords never leave: what `redact` masks, and what it must leave alone."""

import logging

import pytest

from smartbox.secrets import RedactingFormatter, redact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://admin:pw@10.0.0.1:554/a", "rtsp://admin:***@10.0.0.1:554/a"),
        ("rtsp://admin:p@ss@10.0.0.1/a", "rtsp://admin:***@10.0.0.1/a"),
        ("rtsp://admin:p/s#s@h/a", "rtsp://admin:***@h/a"),
        ("rtsp://u:p'w@h/", "rtsp://u:***@h/"),
        ("rtsp://u:p:q@h", "rtsp://u:***@h"),
        ("rtsp://token@h/a", "rtsp://***@h/a"),
        ("rtsp://u:@h/", "rtsp://u:***@h/"),
        ("'RTSP://U:P@h/a': timed out", "'RTSP://U:***@h/a': timed out"),
        ("rtsp://a:b@h/ then http://c:d@e", "rtsp://a:***@h/ then http://c:***@e"),
        ("http://h/?user=a&password=abc&x=1 b", "http://h/?user=a&password=***&x=1 b"),
        ("http://h/?token=abc", "http://h/?token=***"),
        ("rtsp://h/user=admin_password=tlJwpbo6_channel=1", "rtsp://h/user=admin_password=***"),
        ("Authorization: Basic YWJj", "Authorization: Basic ***"),
    ],
)
def test_masks(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    ["rtsp://h:554/cam@2", "mqtts://h:8883", "see http://h/ or mail me@h", "key=value", "cat: no such file", ""],
)
def test_leaves_alone(text: str) -> None:
    assert redact(text) == text


def test_formatter_covers_tracebacks() -> None:
    formatter = RedactingFormatter("%(message)s")
    try:
        raise OSError("cannot open rtsp://admin:hunter2@cam/")
    except OSError as error:
        record = logging.LogRecord("n", logging.ERROR, "", 0, "broke", (), (OSError, error, error.__traceback__))
    assert "hunter2" not in formatter.format(record)
    assert "rtsp://admin:***@cam/" in formatter.format(record)
