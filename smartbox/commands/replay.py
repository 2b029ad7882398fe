"""Runs recordings through the rules and prints the events as JSON lines."""

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2

from smartbox import cloudevent, score, timeline
from smartbox import config as configuration
from smartbox.commands._args import UsageError, duration
from smartbox.errors import SourceError, StorageError
from smartbox.evidence import EvidenceStore
from smartbox.explain import Tracer
from smartbox.inference import keep_pictures
from smartbox.progress import Progress
from smartbox.replay import KINDS, START_UTC, Replay, Replayed, input_settings
from smartbox.types import AudioChunk, Event

EXAMPLE = "smartbox replay -c smartbox.yaml --input gate=gate.mp4 --truth gate.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=True, help="the configuration")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SOURCE=PATH",
        help="a video, a sound file or detections (.jsonl), in place of a source; simulators then stay out",
    )
    parser.add_argument("--speed", choices=("max", "real"), default="max", help="the events are the same at both")
    parser.add_argument("--until", type=duration, metavar="30s", help="stop at this time of the recording")
    parser.add_argument(
        "--start",
        type=_moment,
        default=START_UTC,
        metavar="TIME",
        help="when the recording began (ISO 8601)",
    )
    parser.add_argument("--truth", type=Path, metavar="FILE", help="print the score against these truth lines")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the pictures of each begin")
    parser.add_argument(
        "--explain",
        type=Path,
        nargs="?",
        const=Path("explain"),
        metavar="DIR",
        help="print what each rule made of every sample, and write a timeline of each to DIR (default: explain)",
    )
    parser.add_argument("--json", action="store_true", help="nothing but JSON lines; the score is the last")


def main(args: argparse.Namespace) -> int:
    config, lines = _load(args.config, args.input)
    if args.truth:
        score.truth_for(config, args.truth)  # an hour of replay is no time to find a typing error
    store = _store(args.pictures) if args.pictures else None
    if args.explain:
        _made(args.explain, "--explain")
    kinds = ("file",) if args.input else KINDS  # beside recordings that end, a simulator would play for ever
    real = args.speed == "real"
    replay = Replay(config, lines, args.start, real=real, kinds=kinds, pictures=store is not None)
    endless = [s for s in replay.sources if s not in lines and config.kinds[f"sources.{s}"] == "simulator"]
    if endless and args.until is None:
        print(f"{', '.join(endless)}: a simulator has no end; --until 3min stops, or Ctrl-C", file=sys.stderr)
    tracers = {source: Tracer(replay.runners(source)) for source in replay.sources} if args.explain else {}
    documents = []
    try:
        with Progress("replay", "s") as progress, _interruptible() as stop:
            for step in _steps(replay, args.until, stop):
                progress.at(step.item.time if step else None)
                if step and tracers:
                    sound = isinstance(step.item, AudioChunk)
                    _trace(tracers[step.item.source].lines(step.result.scene, step.events, sound=sound))
                for event in step.events if step else replay.finish():
                    documents.append(_print(event, config))
                if step and store:
                    _save(step, store)
    finally:
        replay.close()
    if args.explain:
        _draw(tracers, args.explain)
    if args.truth:
        _print_score(config, args, documents)
    if stop.is_set():
        raise KeyboardInterrupt
    return 0


def _steps(replay: Replay, until: float | None, stop: threading.Event) -> Iterator[Replayed | None]:
    """Every step, to the end or until `stop`; then None."""
    for step in replay.run(until):
        yield step
        if stop.is_set():
            break
    yield None


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Set by the first Ctrl-C: what was played so far is still scored and drawn. The second ends the program."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupted(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _print(event: Event, config: configuration.Config) -> bytes:
    document = cloudevent.to_json(event, config.box.site, config.box.id)
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.buffer.flush()
    return document


def _trace(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        sys.stdout.buffer.write(cloudevent.dump(line) + b"\n")


def _draw(tracers: dict[str, Tracer], directory: Path) -> None:
    written = []
    for source, tracer in tracers.items():
        for rule, plan in tracer.timelines():
            path = directory / f"{rule}.{source}.png"
            done, content = cv2.imencode(".png", timeline.draw(plan))
            assert done  # of an 8-bit BGR picture in memory
            try:
                path.write_bytes(content.tobytes())
            except OSError as error:
                raise StorageError(f"{path} cannot be written: {error.strerror}") from error
            written.append(path.name)
    print(f"{directory}: {', '.join(written) or 'no rule watches these sources'}", file=sys.stderr)


def _save(step: Replayed, store: EvidenceStore) -> None:
    for shot in step.result.snapshots:
        keep_pictures(store, shot)


def _load(path: Path, inputs: list[str]) -> tuple[configuration.Config, dict[str, Path]]:
    """The configuration with its sources replaced by files, and the detections files by source."""
    if not inputs:
        return configuration.load(path), {}
    written = _written_sources(path)
    replaced: dict[str, Any] = {}
    lines: dict[str, Path] = {}
    for pair in inputs:
        source, equals, file = pair.partition("=")
        if not equals or source not in written:
            raise UsageError(f"--input {pair}: write SOURCE=PATH; sources are {', '.join(written) or 'none'}")
        if not Path(file).is_file():
            what = "is a directory" if Path(file).is_dir() else "is no file" if Path(file).exists() else "no such file"
            raise SourceError(f"--input {pair}: {what}; give a video, a sound file or detections (.jsonl)")
        if Path(file).suffix == ".jsonl":
            lines[source] = Path(file)
        else:
            kind, settings = written[source]
            replaced[source] = input_settings(settings, Path(file), kind)
    return configuration.load(path, replaced), lines


def _written_sources(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Each source's type and settings."""
    configured = configuration.load(path)
    return {name: (configured.kinds[f"sources.{name}"], s.model_dump()) for name, s in configured.sources.items()}


def _moment(text: str) -> float:
    """ISO 8601 -> epoch seconds; UTC where it names no zone."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 2026-11-24T22:00:00+01:00") from None


def _store(directory: Path) -> EvidenceStore:
    return EvidenceStore(_made(directory, "--pictures"), limits=None)


def _made(directory: Path, argument: str) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{argument} {directory}: {error.strerror}; give a directory") from error
    return directory


def _print_score(config: configuration.Config, args: argparse.Namespace, documents: list[bytes]) -> None:
    result = score.score_documents(config, args.truth, documents)
    print(result.to_json() if args.json else result.table())
