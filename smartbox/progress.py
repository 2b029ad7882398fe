"""How far a long piece of work is: one line on a terminal, nothing when piped."""

import sys
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Progress:
    """`with Progress("replay", "s", total) as progress: progress.at(12.4)`."""

    def __init__(self, what: str, unit: str = "", total: float | None = None) -> None:
        self._what, self._unit, self._total = what, unit, total
        self._shows = sys.stderr.isatty()
        self._drawn = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def at(self, done: float | None) -> None:
        """Redraw, at most five times a second."""
        now = time.monotonic()
        if done is None or not self._shows or now - self._drawn < 0.2:
            return
        self._drawn = now
        of = f" of {self._total:.0f}" if self._total else ""
        unit = f" {self._unit}" if self._unit else ""
        sys.stderr.write(f"\r{self._what}: {done:.0f}{of}{unit}{self._left(done, now)}\033[K")
        sys.stderr.flush()

    def _left(self, done: float, now: float) -> str:
        if not self._total or done <= 0:
            return ""
        return f", {(now - self._began) / done * (self._total - done):.0f} s left"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shows and self._drawn:
            sys.stderr.write("\r\033[K")


def each(items: Sequence[T], what: str) -> Iterator[T]:
    """Yield `items`, telling how many are done and how long the rest will take."""
    with Progress(what, total=len(items)) as progress:
        for i, item in enumerate(items):
            progress.at(i)
            yield item
