"""What every part of `smartbox lab` is: a name, its help, an example, its arguments, and what it does."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from smartbox.commands._args import count


@dataclass(frozen=True)
class Part:
    """`smartbox lab NAME`; `run` imports what is heavy, and returns what is printed."""

    name: str
    help: str
    example: str
    """Works in the project's directory, once those that it builds on have been run."""
    needs: str
    """The package of the extra `lab` that it cannot do without."""
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], dict[str, Any]]


def threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=count, metavar="N", default=0, help="CPU threads of torch; default its own")


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number from 0 to 1")
    return value


def word(text: str) -> str:
    """Text that is not empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text
