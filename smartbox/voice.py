"""A word on site acknowledges alarms: who is there says so, and the cloud is told that somebody has seen to it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smartbox.types import Event


def acknowledged(
    events: Sequence[Event], rules: Mapping[str, Any], pipelines: Iterable[Any], time: float, utc: float
) -> list[Event]:
    """The updates of open episodes that one of these events, a word that was heard, acknowledges.

    rules: settings by id; those that hear may have `acknowledges`. pipelines: every source's.
    """
    updates: list[Event] = []
    for event in events:
        wanted = getattr(rules.get(event.rule), "acknowledges", ())
        if not wanted or event.phase != "begin":
            continue
        by = f"voice:{event.objects[0].label}@{event.camera}" if event.objects else f"voice@{event.camera}"
        for pipeline in pipelines:
            mine = [e for e in pipeline.open_episodes() if e.rule in wanted and "acknowledged" not in e.detail]
            updates += [update for e in mine for update in pipeline.acknowledge(e.episode, by, time, utc)]
    return updates
