"""What the outbox keeps in memory while the disk refuses: bounded, the lowest priority goes first."""

from collections.abc import Sequence
from dataclasses import replace

from smartbox.outbox.rows import Loss, Row, account


class Memory:
    """At most `bound` rows, and the account of what did not fit."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self.rows: dict[int, Row] = {}
        self.losses: list[Loss] = []

    def __bool__(self) -> bool:
        return bool(self.rows or self.losses)

    def add(self, rows: Sequence[Row], held: set[int]) -> None:
        """Keep `rows`; beyond the bound drop pictures, then updates, then notices; the oldest first."""
        self.rows |= {row.n: row for row in rows}
        while len(self.rows) > self._bound:
            worst = max((row for row in self.rows.values() if row.n not in held), key=lambda r: (r.keep, -r.n))
            del self.rows[worst.n]
            self.losses = account(self.losses, "memory", worst)

    def gap(self, first: int, last: int) -> None:
        """Numbers first..last were skipped, no event has them."""
        if last >= first:
            self.losses.append(Loss("renumbered", "events", first, last, 0))

    def begun(self, begin: int) -> None:
        """Row `begin` is sent: its pictures may go."""
        self.rows |= {n: replace(row, after=None) for n, row in self.rows.items() if row.after == begin}

    def clear(self) -> None:
        """Everything has reached the disk."""
        self.rows.clear()
        self.losses.clear()
