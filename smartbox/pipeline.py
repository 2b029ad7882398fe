"""From one source's frames to events, without threads and without I/O.

    plan(sample) -> Plan(requests)  ...the caller runs the models...  step(plan, answers) -> StepResult

One Pipeline per source. The daemon, `smartbox replay` and the tests call exactly these two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from smartbox.decoders import Decoder
from smartbox.episodes import RuleRunner
from smartbox.geometry import Zone
from smartbox.manifest import Manifest
from smartbox.motion import Gate, MotionMeter, MotionSettings
from smartbox.picture import PictureCheck
from smartbox.preprocess import prepare
from smartbox.tracker import Tracker, TrackerSettings
from smartbox.types import (
    AudioChunk,
    Detections,
    Event,
    Fault,
    Frame,
    ModelRef,
    Motion,
    Sample,
    Scene,
    SlotState,
    Sounds,
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


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The picture that goes with an event, and the zones to draw on it."""

    event: Event
    frame: Frame
    zones: tuple[Zone, ...]


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
    ) -> None:
        self.source = source
        self.runners = tuple(runners)
        self._head = head
        self._synchronised = synchronised
        groups = _group_of_label(head.manifest) if head else {}
        self._tracker = Tracker(TrackerSettings(groups=groups))
        self._meter = MotionMeter()
        self._gate = Gate(MotionSettings(min_interval=settings.min_interval)) if settings.gate else None
        self._check = PictureCheck()
        self._model: ModelRef | None = None

    def plan(self, sample: Sample) -> Plan:
        """What the models are to be asked about this sample; empty when nothing moves and none is due."""
        if isinstance(sample, AudioChunk):
            return Plan(sample, self._listen(sample))
        motion = self._meter.update(sample.time, sample.luma)
        faults = self._check.update(sample.time, sample.luma)
        if self._head is None or self._head.manifest.task == "sound":
            return Plan(sample, (), motion, faults)
        if self._gate is not None and not self._gate.opens(sample.time, motion):
            return Plan(sample, (), motion, faults)
        tensor, view = prepare(sample, self._head.manifest.inputs[0])
        return Plan(sample, (Request(self._head.model, tensor, view),), motion, faults)

    def _listen(self, chunk: AudioChunk) -> tuple[Request, ...]:
        if self._head is None or self._head.manifest.task != "sound":
            return ()
        return (Request(self._head.model, chunk.samples, WHOLE),)

    def step(self, plan: Plan, answers: Sequence[Answer]) -> StepResult:
        """Decode, track and judge one sample. `answers` match `plan.requests`, or are empty when a model failed."""
        sample, found = plan.sample, None
        for request, answer in zip(plan.requests, answers, strict=bool(answers)):
            assert self._head is not None  # a request was made by it
            self._model = answer.model
            found = self._head.decoder.decode(answer.outputs, request.view)
        if isinstance(sample, AudioChunk):
            scene = self._scene(sample, tracks=(), sounds=found if isinstance(found, Sounds) else None)
            # Nothing was listened to: sound must not make a video that stands still look alive.
            return StepResult(scene) if scene.sounds is None else self._judge(scene, None)
        if isinstance(found, Detections):
            tracks = self._tracker.update(sample.time, found)
            if self._gate is not None:
                self._gate.passed(sample.time)
        else:
            tracks = self._tracker.carry(sample.time)
        scene = self._scene(sample, tracks, inferred=found is not None, motion=plan.motion, picture=plan.faults)
        return self._judge(scene, sample)

    def see(self, plan: Plan, answers: Sequence[Answer]) -> Detections | None:
        """What the model saw on one frame, without tracking or judging."""
        for request, answer in zip(plan.requests, answers, strict=bool(answers)):
            assert self._head is not None  # a request was made by it
            found = self._head.decoder.decode(answer.outputs, request.view)
            return found if isinstance(found, Detections) else None
        return None

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
        picture: frozenset[Fault] = frozenset(),
    ) -> Scene:
        return Scene(self.source, sample.time, sample.utc, tracks, sounds, inferred, motion, (), picture)

    def _judge(self, scene: Scene, frame: Frame | None) -> StepResult:
        events: list[Event] = []
        snapshots: list[Snapshot] = []
        for runner in self.runners:
            made = self._complete(runner.step(scene))
            events += made
            if frame is not None:
                snapshots += [Snapshot(event, frame, runner.zones) for event in made if event.phase == "begin"]
        return StepResult(scene, tuple(events), tuple(snapshots))

    def _complete(self, events: Sequence[Event]) -> tuple[Event, ...]:
        synchronised = self._synchronised() if events else True
        return tuple(replace(event, model=self._model, synchronised=synchronised) for event in events)


def _group_of_label(manifest: Manifest) -> dict[str, str]:
    return {label: group for group, labels in manifest.groups.items() for label in labels}
