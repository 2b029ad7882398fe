"""`active/{rule}/{source}`: the open episodes, retained for those who connect late."""

from collections.abc import Iterable
from typing import Any

from smartbox import cloudevent
from smartbox.outbox import Outbox
from smartbox.retained import Retained
from smartbox.types import Event

Pair = tuple[str, str]
_MOST = 200  # episodes in one document, the newest: beyond that it would outgrow what brokers take


class Active:
    """Follows the outbox' open episodes. One thread calls."""

    def __init__(self, outbox: Outbox, retained: Retained, pairs: Iterable[Pair]) -> None:
        """pairs: every (rule, source), so that its topic is emptied too when nothing is open."""
        self._outbox = outbox
        self._retained = retained
        self._pairs = set(pairs)
        self._told: dict[Pair, list[Any]] = {}
        self._version = -1

    def watch(self, pairs: Iterable[Pair]) -> None:
        """The rules have changed. Any thread."""
        self._pairs = set(pairs)
        self._version = -1

    def refresh(self, anew: bool = False) -> None:
        """Set the topics that changed; anew: look even if nothing was put since."""
        version = self._outbox.version
        if version == self._version and not anew:
            return
        self._version = version
        found: dict[Pair, list[Event]] = {}
        for event in self._outbox.open_episodes():
            found.setdefault((event.rule, event.camera), []).append(event)
        for pair in self._pairs | self._outbox.pairs():
            episodes = [cloudevent.summary(event) for event in found.get(pair, [])[-_MOST:]]
            if pair not in self._told or episodes != self._told[pair]:
                self._told[pair] = episodes
                self._retained.set(f"active/{pair[0]}/{pair[1]}", episodes or None)
