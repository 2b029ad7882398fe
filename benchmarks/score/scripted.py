"""A scenario without pixels: the exact boxes as detections, and what the box's other measurements would say."""

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.score.scenario import FPS, Scenario
from smartbox.build import runners
from smartbox.config import Config
from smartbox.geometry import iou
from smartbox.score import Alarm
from smartbox.simulation.actors import Actor, Move
from smartbox.simulation.staged import Staged, boxes
from smartbox.simulation.tricks import FAULTS
from smartbox.tracker import Tracker
from smartbox.types import Box, Detections, Fault, Motion, Scene, Static, Track

UTC = 1_790_000_000.0
LABELS = ("person", "car", "bus", "truck")
TOLD_AFTER = 4.0  # s from an object's coming to rest to stationary foreground, as Foreground takes it
SURE_AFTER = {"frozen": 10.0}  # s from a fault's start to PictureCheck's saying so
STIRS = {"work": 0.4, "talk": 0.3, "read": 0.08, "phone": 0.06, "stand": 0.04}  # share of changed pixels a second
ROWS, COLS = 9, 16


See = Callable[[float, Detections], None]
"""Told of the time and the detections of each frame."""


def scripted(scenario: Scenario, config: Config, see: See) -> list[Alarm]:
    """The begins of all rules."""
    run, tracker = runners(config, "camera", iter(map(str, range(10**9))).__next__), Tracker()
    shot, told = scenario.shot(), list[Alarm]()
    for scene in scenes(scenario, shot, tracker, see):
        for runner in run:
            told += [
                Alarm(e.rule, e.camera, e.objects[0].subject if e.objects else "", e.monotonic)
                for e in runner.step(scene)
                if e.phase == "begin"
            ]
    return told


def scenes(scenario: Scenario, shot: Staged, tracker: Tracker, see: See) -> Iterator[Scene]:
    for index in range(int(scenario.duration * FPS)):
        time = index / FPS
        seen = boxes(shot, time)
        found = _detections([(a.label, b) for a, b in seen if a.label in LABELS])
        see(time, found)
        tracks = tracker.update(time, found)
        faults, since = _faults(shot, time)
        yield Scene(
            "camera", time, UTC + time, tracks,
            motion=_motion(seen, time),
            static=_static(seen, time),
            picture=faults,
            postures=_postures(tracks, seen, time),
            faulty_since=since,
        )  # fmt: skip


def _detections(found: list[tuple[str, Box]]) -> Detections:
    xyxy = np.array([box for _, box in found], np.float32).reshape(-1, 4)
    class_id = np.array([LABELS.index(label) for label, _ in found], np.int64)
    return Detections(xyxy, np.full(len(found), 0.9, np.float32), class_id, LABELS)


def _motion(seen: list[tuple[Actor, Box]], time: float) -> Motion:
    rate = np.zeros((ROWS, COLS), np.float32)
    for actor, (x0, y0, x1, y1) in seen:
        part = actor.part(time)
        share = 0.5 if isinstance(part, Move) else STIRS.get(part.manner, 0.0) if part else 0.0
        cells = slice(int(y0 * ROWS), int(np.ceil(y1 * ROWS))), slice(int(x0 * COLS), int(np.ceil(x1 * COLS)))
        rate[cells] = np.maximum(rate[cells], share)
    return Motion(rate)


def _static(seen: list[tuple[Actor, Box]], time: float) -> tuple[Static, ...]:
    out = []
    for actor, box in seen:
        if actor.label == "object" and time >= actor.plan[0].start + TOLD_AFTER:
            number = int(actor.key.removeprefix("object").split(".")[0])
            out.append(Static(number, box, 0.9, actor.plan[0].start))
    return tuple(out)


def _postures(tracks: tuple[Track, ...], seen: list[tuple[Actor, Box]], time: float) -> dict[int, dict[str, float]]:
    """What a perfect posture model says of each person."""
    said = {}
    people = [(a, b) for a, b in seen if a.label == "person"]
    for track in tracks:
        near = max(people, key=lambda p: iou(p[1], track.xyxy), default=None)
        if track.label != "person" or near is None:
            continue
        manner = getattr(near[0].part(time), "manner", "")
        label = {"asleep": "head-down", "lie": "lying"}.get(manner, "upright")
        said[track.id] = {label: 0.9}
    return said


def _faults(shot: Staged, time: float) -> tuple[frozenset[Fault], dict[Fault, float]]:
    played = shot.tampered(time)
    fault = FAULTS.get(played.trick) if played else None
    if played is None or fault is None or time < played.start + SURE_AFTER.get(fault, 3.0):
        return frozenset(), {}
    return frozenset({fault}), {fault: played.start}
