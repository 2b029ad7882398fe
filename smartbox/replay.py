"""Recordings through the same pipeline, with the recording's own time as the clock: same result at any speed."""

import heapq
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smartbox.asking import ask
from smartbox.build import Parts, closeups, parts
from smartbox.clock import ManualClock
from smartbox.config import Config
from smartbox.episodes import RuleRunner
from smartbox.errors import ConfigError
from smartbox.ids import Uuid7
from smartbox.model import Model
from smartbox.pipeline import Pipeline, StepResult
from smartbox.recording import Recorded, recorded
from smartbox.sources._base import SourceSettings
from smartbox.types import Event, Sample
from smartbox.voice import acknowledged

START_UTC = 1_767_268_800.0  # 2026-01-01T12:00:00Z; the same for every replay unless told otherwise
KINDS = ("file", "simulator")


@dataclass(frozen=True, slots=True, eq=False)
class Replayed:
    """One sample's result; `events` carry their sequence numbers."""

    item: Sample | Recorded
    result: StepResult
    events: tuple[Event, ...]


def input_settings(config_source: Mapping[str, Any], path: Path, kind: str) -> dict[str, Any]:
    """Settings of a `file` source that plays `path` in place of a configured one of that kind."""
    kept = {key: config_source[key] for key in SourceSettings.model_fields if key in config_source and key != "enabled"}
    heard = kind == "microphone" or config_source.get("audio") is True
    return {"type": "file", "path": str(path), **kept, **({"audio": True} if heard else {})}


class Replay:
    """Iterate `run()`; then `close()`. Raises ConfigError when nothing in the configuration can be replayed."""

    def __init__(
        self,
        config: Config,
        lines: Mapping[str, Path] | None = None,
        start_utc: float = START_UTC,
        *,
        real: bool = False,
        kinds: Sequence[str] = KINDS,
        pictures: bool = False,
    ) -> None:
        """lines: source -> detections file. real: no faster than the recording. kinds: of sources that take part.

        pictures: keep those of the start and of the middle, as the box does.
        """
        self._lines = dict(lines or {})
        self._real = real
        self._start = start_utc
        self._clock = ManualClock(0.0, start_utc)
        ids = Uuid7(self._clock.utc, random.Random(0))
        self._parts: Parts = parts(config, ids, pictures=pictures)
        self.sources = [s for s in config.sources if s in self._lines or config.kinds[f"sources.{s}"] in kinds]
        if not self.sources:
            raise ConfigError("no source can be replayed; give --input SOURCE=PATH")
        live = [s for s in self.sources if s not in self._lines]
        used = {config.sources[s].model for s in live} | {c.model for s in live for c in closeups(config, s)}
        used |= {config.sources[s].sound_model for s in live}
        self._models = {
            name: Model(bundle, config.backends(name), config.box.state_dir)
            for name, bundle in self._parts.bundles.items()
            if name in used
        }
        self._seq = 0

    def run(self, until: float | None = None) -> Iterator[Replayed]:
        """Every sample of all sources in order of time, up to `until` s; open episodes end with the recording."""
        for model in self._models.values():
            model.open()
        stop = threading.Event()
        began = time.monotonic()
        last = 0.0
        streams = [self._stream(source, stop) for source in self.sources]
        for item in heapq.merge(*streams, key=lambda item: (item.time, item.source)):
            if until is not None and item.time > until:
                break
            if self._real and (ahead := item.time - (time.monotonic() - began)) > 0:
                time.sleep(ahead)
            self._clock.advance(max(0.0, item.time - self._clock.monotonic()))
            last = max(last, item.time)
            result = self._step(self._parts.pipelines[item.source], item)
            yield Replayed(item, result, self._numbered((*result.events, *self._acknowledged(result, item))))
        stop.set()

    def runners(self, source: str) -> Sequence[RuleRunner]:
        """The rules that watch a source, to be asked after each of its steps."""
        return self._parts.pipelines[source].runners

    def finish(self) -> tuple[Event, ...]:
        """The recording has ended: so have the episodes that were open."""
        now, utc = self._clock.monotonic(), self._clock.utc()
        ends = [e for s in self.sources for e in self._parts.pipelines[s].end_all(now, utc, "source_lost")]
        return self._numbered(ends)

    def close(self) -> None:
        for model in self._models.values():
            model.close()

    def _stream(self, source: str, stop: threading.Event) -> Iterator[Sample | Recorded]:
        if source in self._lines:
            yield from recorded(self._lines[source], source, self._start)
            return
        settings = self._parts.config.sources[source].model_copy(update={"paced": False})
        yield from settings.read(source, ManualClock(0.0, self._start), stop)

    def _step(self, pipeline: Pipeline, item: Sample | Recorded) -> StepResult:
        if isinstance(item, Recorded):
            return pipeline.recorded(item.time, item.utc, item.detections, item.sounds)
        plan = pipeline.plan(item)
        return pipeline.step(plan, ask(self._models, plan.requests))

    def _acknowledged(self, result: StepResult, item: Sample | Recorded) -> Sequence[Event]:
        """What a word that was heard acknowledges, of all sources."""
        everywhere = self._parts.pipelines.values()
        return acknowledged(result.events, self._parts.config.rules, everywhere, item.time, item.utc)

    def _numbered(self, events: Sequence[Event]) -> tuple[Event, ...]:
        numbered = []
        for event in events:
            self._seq += 1
            numbered.append(replace(event, seq=self._seq, session=1))
        return tuple(numbered)
