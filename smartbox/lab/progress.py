"""Progress for people: one rewritten line on a terminal, nothing when piped."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], title: str) -> Iterator[T]:
    """Yield `items`, showing count and time left on stderr when it is a terminal."""
    shown = sys.stderr.isatty()
    began = time.monotonic()
    for i, item in enumerate(items):
        if shown:
            left = (time.monotonic() - began) / max(i, 1) * (len(items) - i)
            sys.stderr.write(f"\r{title} {i}/{len(items)}, {left:.0f} s left  ")
        yield item
    if shown:
        sys.stderr.write(f"\r{title} {len(items)}/{len(items)}, done      \n")
