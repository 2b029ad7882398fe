"""Renders simulated cameras: a video of each, and the truth about them.

DIR/truth.jsonl gets a line for each episode that the rules must report, and one for each frame with its boxes.
With -c the cameras are the simulator sources of a configuration, and the episodes those that its rules must report.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, cast

from smartbox import config as configuration
from smartbox.commands._args import UsageError, duration, positive, seed
from smartbox.errors import ConfigError, StorageError
from smartbox.progress import Progress
from smartbox.simulation.compose import Seen
from smartbox.simulation.film import Film, Shot
from smartbox.simulation.park import WATCHES
from smartbox.simulation.scripts import ROUND
from smartbox.simulation.sound import SOUNDS, Sound, sound, write_wav
from smartbox.simulation.stages import SCENES, Scene
from smartbox.simulation.truth import Watch, alarms, slot_states
from smartbox.simulation.video import write_video
from smartbox.types import Image

EXAMPLE = "smartbox simulate park -o /tmp/park --seed 7"


@dataclass(frozen=True)
class Camera:
    """One simulated source, and what watches it."""

    source: str
    shot: Shot
    fps: float
    watches: tuple[Watch, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "scenario",
        nargs="?",
        choices=(*SCENES, "park", *SOUNDS),
        metavar="SCENARIO",
        help="a camera (post, lane, lot, gate), all four (park), or a sound (t3, t4, siren, background)",
    )
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="the simulator sources and rules of this file"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("simulation"), metavar="DIR", help="default: simulation"
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="who comes and when, colours and weather (default 1)")
    parser.add_argument("--night", action="store_true", help="in the dark")
    parser.add_argument("--fps", type=positive, default=5.0, help="frames per second (default 5)")
    parser.add_argument("--duration", type=duration, default=ROUND, metavar="180s", help="of each recording")
    parser.add_argument("--json", action="store_true", help="print the episodes as JSON lines and nothing else")


def main(args: argparse.Namespace) -> int:
    if (args.scenario is None) == (args.config is None):
        raise UsageError("give either SCENARIO or -c FILE")
    _make(args.output)
    if args.scenario in SOUNDS:
        write_wav(args.output / "audio.wav", sound(cast(Sound, args.scenario), args.duration, args.seed or 1))
        _say(args, f"{args.output / 'audio.wav'}: {args.scenario}, {args.duration:g} s")
        return 0
    cameras = _configured(args) if args.config else _park(args)
    truth = args.output / "truth.jsonl"
    try:
        with truth.open("w", encoding="utf-8") as file:
            for camera in cameras:
                _record(camera, args, file)
    except OSError as error:
        raise StorageError(f"{truth} cannot be written: {error.strerror}") from error
    _say(args, f"{truth}: the truth about {', '.join(c.source for c in cameras)}")
    return 0


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}") from error


def _say(args: argparse.Namespace, text: str) -> None:
    print(text, file=sys.stderr if args.json else sys.stdout)


def _park(args: argparse.Namespace) -> list[Camera]:
    scenes: Sequence[Scene] = SCENES if args.scenario == "park" else (args.scenario,)
    seed = 1 if args.seed is None else args.seed
    return [Camera(scene, Shot(scene, seed, args.night), args.fps, WATCHES[scene]) for scene in scenes]


def _configured(args: argparse.Namespace) -> list[Camera]:
    config = configuration.load(args.config)
    cameras = cameras_of(config, args.seed)
    if not cameras:
        raise ConfigError(f"{args.config}: sources has none of type simulator")
    return cameras


def cameras_of(config: configuration.Config, seed: int | None = None) -> list[Camera]:
    """The simulator sources of a configuration with the rules that watch them; `seed` takes the place of theirs."""
    cameras = []
    for name, source in config.sources.items():
        if config.kinds[f"sources.{name}"] != "simulator":
            continue
        chosen = seed if seed is not None else source.seed
        if chosen is None:
            raise ConfigError(f"sources.{name}.seed: null has no truth before it is drawn; write a number or --seed")
        cameras.append(Camera(name, source.shot(chosen), source.fps, tuple(_watches(config, name))))
    return cameras


def _watches(config: configuration.Config, source: str) -> Iterator[Watch]:
    """What the configured rules look for on one source."""
    for rule_id, rule in config.rules.items():
        kind = config.kinds[f"rules.{rule_id}"]
        for zone_id in rule.zones:
            zone = config.zones[zone_id]
            if zone.source != source or (rule.cameras and source not in rule.cameras):
                continue
            base = Watch(rule_id, kind, 0.0, zone.polygon, tuple(zone.slots))
            yield replace(base, **_times(kind, rule))


def _times(kind: str, rule: Any) -> Mapping[str, Any]:
    if kind == "parking":
        ratios = {"full_ratio": rule.full_ratio, "free_ratio": rule.free_ratio}
        return {"dwell": rule.hold, "overstay": rule.overstay, **ratios}
    if kind == "absence":
        return {"dwell": rule.leave, "min_people": rule.min_people}
    names = {"intrusion": "dwell", "fire_lane": "vehicle", "sleep": "sleep"}
    return {"dwell": getattr(rule, names[kind])} if kind in names else {}


def _record(camera: Camera, args: argparse.Namespace, truth: TextIO) -> None:
    """The video of one camera, and its lines of truth."""
    folder = args.output / camera.source
    _make(folder)
    film = Film(camera.shot)
    count = int(args.duration * camera.fps)

    def pictures() -> Iterator[Image]:
        with Progress(f"simulate {camera.source}", "frames", count) as progress:
            for index in range(count):
                time = index / camera.fps
                image, seen = film.take(time, index)
                truth.write(json.dumps(_frame(camera, index, time, seen)) + "\n")
                progress.at(index)
                yield image

    shot = camera.shot
    write_video(folder / "video.mp4", pictures(), (shot.width, shot.height), camera.fps)
    for alarm in alarms(shot, camera.watches, args.duration):
        line = json.dumps(alarm.line(camera.source))
        truth.write(line + "\n")
        if args.json:
            print(line)
    _say(args, f"{folder / 'video.mp4'}: scene {shot.scene}, seed {shot.seed}, {count} frames")


def _frame(camera: Camera, index: int, time: float, seen: Sequence[Seen]) -> dict[str, Any]:
    boxes = [
        {"id": s.key, "label": s.label, "xyxy": [round(v, 5) for v in s.xyxy], "visible": round(s.visible, 3)}
        for s in seen
    ]
    line = {"source": camera.source, "frame": index, "time": round(time, 4), "boxes": boxes}
    if camera.shot.scene == "lot":
        turn = int(time // ROUND)
        line["slots"] = slot_states(camera.shot.actors(turn), time - turn * ROUND)
    return line
