"""Arguments that several commands take; what is wrong with them is wrong usage: exit code 2."""

import argparse
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from smartbox.settings import parse_duration


class UsageError(Exception):
    """The arguments do not fit together, or not the configuration."""


class Parser(argparse.ArgumentParser):
    """Options may stand before any number of words, too: argparse itself takes such words as none at an option."""

    _inside = False

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        if self._inside or not any(action.nargs == "*" for action in self._get_positional_actions()):
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def duration(text: str) -> float:
    """`60s`, `5min` or a number of seconds, above 0."""
    try:
        seconds = parse_duration(float(text) if _is_number(text) else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be more than 0; write it as 60s or 5min")
    return seconds


def positive(text: str) -> float:
    """A number above 0."""
    if not _is_number(text) or not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0")
    return float(text)


def count(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """A whole number, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least 0")
    return int(text)


def not_after(text: str) -> str:
    """A date to come, or a moment with its time zone -> ISO 8601 in UTC; a date means its end."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 2027-11-24 or 2027-11-24T18:00:00+01:00") from None
    if len(text) <= len("2027-11-24"):
        moment = moment.replace(hour=23, minute=59, second=59)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text!r}: is over already, so no box would take it; give a time to come")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise argparse.ArgumentTypeError(f"{text!r}: is after the year 9999, the last one") from None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
