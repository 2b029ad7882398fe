"""The inference worker: takes samples fairly, asks the models in batches, judges, commits events."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from smartbox.clips import Clips
from smartbox.clock import Clock
from smartbox.errors import BackendError, StorageError
from smartbox.evidence import EvidenceStore, Overlay, Ready, picture, thumbnail
from smartbox.health import Timings
from smartbox.mailbox import Mailboxes
from smartbox.model import Model
from smartbox.outbox import Entry, Outbox
from smartbox.pipeline import Answer, Pipeline, Plan, Snapshot, StepResult
from smartbox.supervise import chain
from smartbox.types import Event, Evidence, Match, Sample

log = logging.getLogger(__name__)

Pictures = tuple[tuple[Evidence, ...], bytes]

BATCH = 8
TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Committed:
    """What the rest of the box may know after a step: events stand on the disk already."""

    result: StepResult
    pipeline: Pipeline
    events: tuple[Event, ...]


class Inference:
    """Owns the models and pipelines; `run(stop)` until stopped. All puts into the outbox happen on this thread."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        pipelines: Mapping[str, Pipeline],
        models: Mapping[str, Model],
        outbox: Outbox,
        evidence: EvidenceStore,
        clock: Clock,
        *,
        thumbnails: bool,
        beat: Callable[[], None],
        on_step: Callable[[Committed], None],
        on_tick: Callable[[], Sequence[Event]],
        clips: Clips | None = None,
    ) -> None:
        """on_tick: called about twice a second; the events that it returns are committed."""
        self._mailboxes = mailboxes
        self._pipelines = pipelines
        self._models = models
        self._outbox = outbox
        self._evidence = evidence
        self._clock = clock
        self._thumbnails = thumbnails
        self._beat = beat
        self._on_step = on_step
        self._on_tick = on_tick
        self._clips = clips
        self.warm = threading.Event()
        self.timings = {name: Timings() for name in models}
        self.failing: dict[str, str] = {}

    def run(self, stop: threading.Event) -> bool:
        """Work until `stop`; False then."""
        self._warm_up()
        next_tick = self._clock.monotonic()
        while not stop.is_set():
            self._beat()
            samples = self._mailboxes.take(BATCH, TICK_S / 2)
            if samples:
                self.process(samples)
            if self._clock.monotonic() >= next_tick:
                next_tick = self._clock.monotonic() + TICK_S
                self.commit(self._on_tick())
        return False

    def _warm_up(self) -> None:
        for name, model in self._models.items():
            try:
                model.open()
                self.failing.pop(name, None)
            except BackendError as error:
                self._failed(name, error)
        self.warm.set()

    def process(self, samples: Sequence[Sample]) -> None:
        """One round: plan all, run each model once over all its requests, step each."""
        plans = [self._pipelines[sample.source].plan(sample) for sample in samples]
        answers = self._ask(plans)
        steps: list[tuple[Pipeline, StepResult]] = []
        try:
            for plan, mine in zip(plans, answers, strict=True):
                pipeline = self._pipelines[plan.sample.source]
                steps.append((pipeline, pipeline.step(plan, mine)))
        finally:  # a defect that shows with one source must not cost the others their events
            committed = self._commit_steps(steps)
        for step in committed:
            self._on_step(step)

    def _ask(self, plans: Sequence[Plan]) -> list[list[Answer | None]]:
        """Answers per plan, in the order of its requests; None where the model failed."""
        answers: list[list[Answer | None]] = [[None] * len(plan.requests) for plan in plans]
        every = [(i, j, request) for i, plan in enumerate(plans) for j, request in enumerate(plan.requests)]
        for name, model in self._models.items():
            asked = [(i, j, request) for i, j, request in every if request.model == name]
            if not asked:
                continue
            began = self._clock.monotonic()
            try:
                outputs = model.run([request.tensor for _, _, request in asked])
            except BackendError as error:
                self._failed(name, error)
                continue
            self.timings[name].add((self._clock.monotonic() - began) / len(asked))
            self.failing.pop(name, None)
            for (i, j, _), output in zip(asked, outputs, strict=True):
                answers[i][j] = Answer(output, model.ref)
        return answers

    def _failed(self, name: str, error: BackendError) -> None:
        reason = chain(error)
        if self.failing.get(name) != reason:
            log.error("model %s: %s", name, reason)
        self.failing[name] = reason

    def _commit_steps(self, steps: Sequence[tuple[Pipeline, StepResult]]) -> list[Committed]:
        """All pictures of a round together, then all its events: a busy disk is waited for twice, not for each."""
        pictures = self._pictures([shot for _, result in steps for shot in result.snapshots])
        entries = []
        for event in (event for _, result in steps for event in result.events):
            files, thumbnail = pictures.get(event.id, ((), None))
            entries.append(Entry(event, files, thumbnail if self._thumbnails else None))
        events = iter(self._put(entries))
        return [Committed(result, pipeline, tuple(islice(events, len(result.events)))) for pipeline, result in steps]

    def commit(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Put events that have no picture."""
        return self._put([Entry(event) for event in events])

    def _put(self, entries: Sequence[Entry]) -> tuple[Event, ...]:
        if not entries:
            return ()
        events = tuple(self._outbox.put_all([self._with_clip(entry) for entry in entries]))
        for event in events:
            log.info("%s", describe(event))
            if self._clips:
                self._clips.want(event)
        return events

    def _with_clip(self, entry: Entry) -> Entry:
        """An end names the clip of its episode, where that is finished by then."""
        clip = self._clips.of(entry.event.episode) if self._clips and entry.event.phase == "end" else None
        return replace(entry, evidence=(*entry.evidence, clip)) if clip else entry

    def _pictures(self, shots: Sequence[Snapshot]) -> dict[str, Pictures]:
        """By event; where they cannot all be kept, as many as can."""
        try:
            return keep_all(self._evidence, shots)
        except StorageError:
            pass
        kept: dict[str, Pictures] = {}
        for shot in shots:
            try:
                kept[shot.event.id] = keep_pictures(self._evidence, shot)
            except StorageError as error:
                log.error("%s: the event goes without its pictures: %s", shot.event.rule, chain(error))
        return kept


def keep_pictures(store: EvidenceStore, shot: Snapshot) -> Pictures:
    """(references, thumbnail) of one event; where not all can be kept, of the alarm alone, else StorageError."""
    try:
        return keep_all(store, [shot])[shot.event.id]
    except StorageError as error:
        kept = store.save_all(pictures(shot)[:1])
        log.error("%s: the event goes without all of its pictures: %s", shot.event.rule, chain(error))
        return tuple(kept), small(shot)


def keep_all(store: EvidenceStore, shots: Sequence[Snapshot]) -> dict[str, Pictures]:
    """(references, thumbnail) by event. StorageError: none is kept."""
    drawn = [pictures(shot) for shot in shots]
    kept = iter(store.save_all([file for files in drawn for file in files]))
    return {
        shot.event.id: (tuple(islice(kept, len(files))), small(shot)) for shot, files in zip(shots, drawn, strict=True)
    }


def pictures(shot: Snapshot) -> list[Ready]:
    """Of the alarm, drawn and clean, and of the start and the middle."""
    event, image = shot.event, shot.frame.image
    files = [
        picture(image, overlay(shot, event.objects), event.id, event.time_utc),
        picture(image, overlay(shot, ()), event.id, event.time_utc, "clean"),
    ]
    for still in shot.stills:
        files.append(picture(still.image, overlay(shot, (still.match,)), event.id, still.utc, still.moment))
    return files


def small(shot: Snapshot) -> bytes:
    """What goes over MQTT."""
    return thumbnail(shot.frame.image, overlay(shot, shot.event.objects), shot.event.time_utc)


def overlay(shot: Snapshot, objects: Sequence[Match]) -> Overlay:
    """What to draw on a picture of an event, with the objects as they were then."""
    event = shot.event
    boxes = [(m.xyxy, m.label, m.score, True) for m in objects if m.xyxy is not None]
    zones = [(zone.id, shape) for zone in shot.zones for shape in (zone.polygon, zone.line or ()) if shape]
    zones += [(slot, polygon) for zone in shot.zones for slot, polygon in zone.slots.items()]
    return Overlay(zones, boxes, event.rule, f"{event.kind} · {event.camera}", shot.masks)


def describe(event: Event) -> str:
    """One line for a person: what, where, since when."""
    place = f"{event.camera}/{event.zone}" if event.zone else event.camera
    what = ", ".join(f"{m.label} {m.score:.2f}" for m in event.objects[:3])
    parts = [f"{event.cls} {event.kind} {event.phase}", f"rule {event.rule}", place, f"{event.dwell_s:.1f} s", what]
    parts.append(event.end_reason or str(event.detail.get("reason") or ""))
    return " · ".join(part for part in parts if part)
