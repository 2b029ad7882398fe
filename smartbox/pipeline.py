"""From one source's frames to events, without threads and without I/O.

    plan(sample) -> Plan(requests)  ...the caller runs the models...  step(plan, answers) -> StepResult

One Pipeline per source. The daemon, `smartbox replay` and the tests call exactly these two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox.closeup import Closeup, Looking
from smartbox.decoders import Decoder
from smartbox.episodes import RuleRunner
from smartbox.foreground import Foreground
from smartbox.geometry import Zone
from smartbox.hearing import Hearing, Window
from smartbox.manifest import Manifest
from smartbox.motion import Gate, MotionMeter, MotionSettings
from smartbox.picture import PictureCheck
from smartbox.preprocess import prepare
from smartbox.regions import choose, merge
from smartbox.rules._base import expand
from smartbox.stills import Still, Stills
from smartbox.tracker import Tracker, TrackerSettings
from smartbox.types import (
    AudioChunk,
    Box,
    Detections,
    Event,
    Fault,
    Frame,
    ModelRef,
    Motion,
    Point,
    Sample,
    Scene,
    SlotState,
    Sounds,
    Static,
    Track,
    View,
)

WHOLE = View((1.0, 1.0), (0.0, 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What a pipeline knows of its model: how to feed it and how to read it. The session is the caller's."""

    model: str
    manifest: Manifest
    decoder: Decoder


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One tensor to be looked at by `model`, without a batch axis, and the way back to the frame."""

    model: str
    tensor: NDArray[Any]
    view: View
    about: tuple[int, str] | None = None
    """Of a crop: which of the source's closeups asks, and about which slot or track."""
    region: Box | None = None
    """Of the detector: the part of the frame that is looked at once more; None: all of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A model's outputs for one request, without a batch axis."""

    outputs: Mapping[str, NDArray[Any]]
    model: ModelRef


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A sample, what is to be asked about it, and what was measured on the way."""

    sample: Sample
    requests: tuple[Request, ...] = ()
    motion: Motion | None = None
    faults: frozenset[Fault] = frozenset()
    windows: tuple[Window, ...] = ()
    """Of sound: what each request is about, in the same order."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The picture that goes with an event, and the zones to draw on it."""

    event: Event
    frame: Frame
    zones: tuple[Zone, ...]
    masks: tuple[tuple[Point, ...], ...] = ()
    stills: tuple[Still, ...] = ()
    """Earlier pictures of the same candidate, in order of time."""


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """What one sample led to."""

    scene: Scene
    events: tuple[Event, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()


class Pipeline:
    """All state of one source: tracks, motion, episodes."""

    def __init__(
        self,
        source: str,
        settings: Any,
        head: Head | None,
        runners: Sequence[RuleRunner],
        synchronised: Callable[[], bool] = lambda: True,
        closeups: Sequence[tuple[Closeup, Decoder]] = (),
        ears: Head | None = None,
        pictures: bool = True,
    ) -> None:
        """pictures: keep those of the start and of the middle for events to come."""
        self.source = source
        self.runners = tuple(runners)
        self._head = head
        self._synchronised = synchronised
        self._ears = ears
        sound = ears.manifest.inputs[0].sound if ears else None
        self._hearing = Hearing(sound) if sound else None
        self._listeners = frozenset(runner.rule_id for runner in runners if runner.rule.hears)
        self._heard_by: ModelRef | None = None
        self._faults: frozenset[Fault] = frozenset()
        self._groups = _group_of_label(head.manifest) if head else {}
        self._regions: int = settings.crops
        self._sought = expand(label for runner in runners for label in runner.rule.needs_labels())
        self._tracker = Tracker(TrackerSettings(groups=self._groups))
        self._meter = MotionMeter()
        self._gate = Gate(MotionSettings(min_interval=settings.min_interval)) if settings.gate else None
        self._check = PictureCheck()
        self._foreground = Foreground() if any(r.rule.wants_static() for r in self.runners) else None
        self._model: ModelRef | None = None
        self._looking = [Looking(closeup) for closeup, _ in closeups]
        self._decoders = [decoder for _, decoder in closeups]
        self._close_refs: list[ModelRef | None] = [None for _ in closeups]
        self._tracks: tuple[Track, ...] = ()
        self._masks: tuple[tuple[Point, ...], ...] = settings.masks
        self._stills = Stills() if pictures else None

    def plan(self, sample: Sample) -> Plan:
        """What the models are to be asked about this sample; empty when nothing moves and none is due."""
        if isinstance(sample, AudioChunk):
            return self._listen(sample)
        motion = self._meter.update(sample.time, sample.luma)
        faults = self._check.update(sample.time, sample.luma)
        crops = self._crops(sample)
        if self._head is None or self._head.manifest.task == "sound":
            return Plan(sample, crops, motion, faults)
        if self._gate is not None and not self._gate.opens(sample.time, motion):
            return Plan(sample, crops, motion, faults)
        return Plan(sample, (*self._looks(sample, motion, self._head), *crops), motion, faults)

    def _looks(self, frame: Frame, motion: Motion, head: Head) -> list[Request]:
        """The whole picture, and what of it the detector is to see larger."""
        spec = head.manifest.inputs[0]
        regions: list[Box | None] = [None]
        if self._regions:
            known = motion if self._model else None  # before the first answer nothing is known
            regions += choose((frame.width, frame.height), spec.size, self._regions, known, self._tracks)
        return [Request(head.model, *prepare(frame, spec, region), region=region) for region in regions]

    def _crops(self, frame: Frame) -> tuple[Request, ...]:
        """What the classifiers are to be shown of this frame."""
        return tuple(
            Request(look.closeup.model, tensor, WHOLE, (i, subject))
            for i, look in enumerate(self._looking)
            for subject, tensor in look.wanted(frame, self._tracks).items()
        )

    def _listen(self, chunk: AudioChunk) -> Plan:
        if self._ears is None:
            return Plan(chunk)
        if self._hearing is not None:
            windows = self._hearing.hear(chunk)
        else:  # a model of somebody's own, that takes the samples as they come
            windows = [Window(chunk.time, chunk.utc, chunk.samples)]
        requests = tuple(Request(self._ears.model, window.tensor, WHOLE) for window in windows)
        return Plan(chunk, requests, windows=tuple(windows))

    def step(self, plan: Plan, answers: Sequence[Answer | None]) -> StepResult:
        """Decode, track and judge one sample. `answers` match `plan.requests`, None where a model failed; or none."""
        sample = plan.sample
        if isinstance(sample, AudioChunk):
            return self._heard(sample, plan, answers)
        self._faults = plan.faults
        for request, answer in zip(plan.requests, answers, strict=bool(answers)):
            if answer is not None and request.about is not None:
                self._take(request.about, sample.time, answer)
            elif answer is not None:
                self._model = answer.model
        found = self.see(plan, answers)
        if found is not None:
            tracks = self._tracker.update(sample.time, found)
            if self._gate is not None:
                self._gate.passed(sample.time)
        else:
            tracks = self._tracker.carry(sample.time)
        self._tracks = tracks
        static = self._foreground.update(sample.time, sample.luma, tracks, plan.faults) if self._foreground else ()
        scene = self._scene(sample, tracks, None, found is not None, plan.motion, static, plan.faults)
        return self._judge(self._with_closeups(scene), sample)

    def _with_closeups(self, scene: Scene) -> Scene:
        """The scene with what classifiers said lately."""
        if not self._looking:
            return scene
        slots, postures = {}, {}
        for look in self._looking:
            said = look.said(scene.time)
            if look.closeup.kind == "slots":
                slots.update(said)
            else:
                postures.update({int(track): scores for track, scores in said.items()})
        return replace(scene, slots=slots, postures=postures)

    def _take(self, about: tuple[int, str], time: float, answer: Answer) -> None:
        which, subject = about
        self._close_refs[which] = answer.model
        said = self._decoders[which].decode(answer.outputs, WHOLE)
        if isinstance(said, Sounds):  # scores per label, whatever they are of
            scores = dict(zip(said.labels, map(float, said.score), strict=True))
            self._looking[which].take(subject, time, scores)

    def see(self, plan: Plan, answers: Sequence[Answer | None]) -> Detections | None:
        """What the model saw on one frame, its crops included, without tracking or judging."""
        whole, crops = None, []
        for request, answer in zip(plan.requests, answers, strict=bool(answers)):
            if answer is None or request.about is not None:
                continue
            assert self._head is not None  # a request was made by it
            found = self._head.decoder.decode(answer.outputs, request.view)
            if not isinstance(found, Detections):
                continue
            if request.region is None:
                whole = found
            else:
                crops.append((request.region, self._wanted(found)))
        return merge(whole, crops, self._groups) if whole is not None and crops else whole

    def _wanted(self, found: Detections) -> Detections:
        """What rules look for: in a crop, enlarged, a bag may look like a car that nobody asks about."""
        if not self._sought:
            return found
        return found[np.array([found.label(i) in self._sought for i in range(len(found))], bool)]

    def recorded(self, time: float, utc: float, found: Detections | None, sounds: Sounds | None) -> StepResult:
        """A step from recorded detections: enters after decoding, everything behind is the same."""
        tracks = self._tracker.update(time, found) if found is not None else ()
        scene = Scene(self.source, time, utc, tracks=tracks, sounds=sounds)
        return self._judge(scene, None)

    def idle(self, time: float, utc: float) -> tuple[Event, ...]:
        """The source is silent: open episodes are held, then ended as source_lost."""
        return self._complete([event for runner in self.runners for event in runner.idle(time, utc)])

    def end_all(self, time: float, utc: float, reason: Any) -> tuple[Event, ...]:
        """End every open episode for `reason` (a changed configuration, a finished replay)."""
        return self._complete([event for runner in self.runners for event in runner.end_all(time, utc, reason)])

    def open_episodes(self) -> tuple[Event, ...]:
        return tuple(event for runner in self.runners for event in runner.open)

    def restore(self, events: Sequence[Event], time: float, utc: float) -> tuple[Event, ...]:
        """Take up the episodes that were open before a restart; returns ends of those no rule owns."""
        out: list[Event] = []
        for runner in self.runners:
            mine = [e for e in events if e.rule == runner.rule_id]
            out += runner.restore(mine, time, utc)
        return self._complete(out)

    def silence(self, rule: str, until: float) -> bool:
        """Tell no begin and no update of that rule before `until` (monotonic s); False: it does not watch here."""
        mine = [runner for runner in self.runners if runner.rule_id == rule]
        for runner in mine:
            runner.silence(until)
        return bool(mine)

    def acknowledge(self, episode: str, by: str, time: float, utc: float) -> tuple[Event, ...]:
        """The update that says who has seen an open episode; empty when it is none of this source."""
        return self._complete([e for runner in self.runners for e in runner.acknowledge(episode, by, time, utc)])

    @property
    def closeups(self) -> tuple[Closeup, ...]:
        """What classifiers are shown of this source."""
        return tuple(look.closeup for look in self._looking)

    def _heard(self, chunk: AudioChunk, plan: Plan, answers: Sequence[Answer | None]) -> StepResult:
        """A scene for each window. Only rules that hear judge it: of what is to be seen, sound says nothing."""
        scene = Scene(self.source, chunk.time, chunk.utc, picture=self._faults)
        events: list[Event] = []
        for window, answer in zip(plan.windows, answers, strict=bool(answers)):
            if answer is None or self._ears is None:
                continue
            self._heard_by = answer.model
            found = self._ears.decoder.decode(answer.outputs, WHOLE)
            if isinstance(found, Sounds):
                scene = replace(scene, time=window.time, utc=window.utc, sounds=found)
                events += self._complete([e for r in self.runners if r.rule.hears for e in r.step(scene)])
        return StepResult(scene, tuple(events))

    @property
    def occupancy(self) -> dict[str, SlotState]:
        """State of every slot that a parking rule watches on this source."""
        return {slot: state for runner in self.runners for slot, state in (runner.occupancy or {}).items()}

    def _scene(
        self,
        sample: Sample,
        tracks: tuple[Track, ...],
        sounds: Sounds | None = None,
        inferred: bool = True,
        motion: Motion | None = None,
        static: tuple[Static, ...] = (),
        picture: frozenset[Fault] = frozenset(),
    ) -> Scene:
        since = self._check.since if picture else {}
        return Scene(
            self.source, sample.time, sample.utc, tracks, sounds, inferred, motion, static, picture, faulty_since=since
        )

    def _judge(self, scene: Scene, frame: Frame | None) -> StepResult:
        events: list[Event] = []
        snapshots: list[Snapshot] = []
        for runner in self.runners:
            made = self._complete(runner.step(scene))
            events += made
            if frame is not None:
                snapshots += self._snapshots(runner, made, frame)
        return StepResult(scene, tuple(events), tuple(snapshots))

    def _snapshots(self, runner: RuleRunner, events: Sequence[Event], frame: Frame) -> list[Snapshot]:
        """The pictures of what begins now, and those that are kept for what may begin."""
        count, made = runner.rule.evidence_count, []
        for event in events if count else ():
            if event.phase == "begin":
                number = runner.number_of(event.episode)
                stills = self._stills.take(runner.rule_id, number) if self._stills else ()
                made.append(Snapshot(event, frame, runner.zones, self._masks, stills))
        if self._stills:
            self._stills.look(runner.rule_id, runner.waiting, frame, count)
        return made

    def _complete(self, events: Sequence[Event]) -> tuple[Event, ...]:
        synchronised = self._synchronised() if events else True
        return tuple(replace(event, model=self._model_of(event), synchronised=synchronised) for event in events)

    def _model_of(self, event: Event) -> ModelRef | None:
        """Which model an event rests on: the classifier that its rule asks, else the source's own."""
        if event.rule in self._listeners:
            return self._heard_by
        wanted = next((r.rule.closeup() for r in self.runners if r.rule_id == event.rule), None)
        for look, ref in zip(self._looking, self._close_refs, strict=True):
            if wanted == (look.closeup.kind, look.closeup.model) and event.detail.get("basis") != "still":
                return ref
        return self._model


def _group_of_label(manifest: Manifest) -> dict[str, str]:
    return {label: group for group, labels in manifest.groups.items() for label in labels}
