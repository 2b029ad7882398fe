"""A configuration that changes only rules and zones takes effect without a restart: pictures and models go on."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import fields, replace

from smartbox.build import watched
from smartbox.config import Config
from smartbox.pipeline import Pipeline
from smartbox.types import Event

# What may differ; all else is opened or connected once, at start.
_MAY = {"path", "rules", "zones", "kinds", "secrets", "where"}


def only_rules(old: Config, new: Config) -> bool:
    """Whether nothing else differs."""
    same = all(getattr(old, f.name) == getattr(new, f.name) for f in fields(Config) if f.name not in _MAY)
    return same and all(old.kinds[key] == new.kinds[key] for key in old.kinds if key.startswith("sources."))


def rules_of(config: Config, source: str) -> dict[str, object]:
    """Everything that makes each rule of a source what it is."""
    places = {rule: watched(config, rule) for rule in config.rules}
    return {
        rule: (config.kinds[f"rules.{rule}"], config.rules[rule], where[source])
        for rule, where in places.items()
        if source in where
    }


def swap(
    pipelines: MutableMapping[str, Pipeline],
    made: Mapping[str, Pipeline],
    old: Config,
    new: Config,
    episodes: Sequence[Event],
    new_id: Callable[[], str],
    now: float,
    utc: float,
) -> list[Event]:
    """Put the new pipelines in the place of those whose rules changed; returns the ends of what that ended.

    Episodes of a rule that stays as it is go on. Silences are the caller's to tell again.
    """
    events: list[Event] = []
    for source, pipeline in made.items():
        before, after = rules_of(old, source), rules_of(new, source)
        if before == after:
            continue
        same = {rule for rule in after if before.get(rule) == after[rule]}
        mine = [event for event in episodes if event.camera == source and event.cls != "system"]
        events += [ended(event, new_id(), now, utc) for event in mine if event.rule not in same]
        events += pipeline.restore([event for event in mine if event.rule in same], now, utc)
        pipelines[source] = pipeline
    return events


def ended(event: Event, event_id: str, now: float, utc: float) -> Event:
    """The end of an episode whose rule no longer exists, or is another one now."""
    return replace(
        event, id=event_id, phase="end", time_utc=utc, monotonic=now, ended_utc=utc, end_reason="config", evidence=()
    )
