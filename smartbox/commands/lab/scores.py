"""The parts that score a bundle and make its scores mean something: evaluate, calibrate."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from smartbox import build, peers
from smartbox.bundle import Bundle
from smartbox.commands._args import UsageError, count
from smartbox.commands.lab import _given as given
from smartbox.commands.lab._part import Part, share

FOLDER = "images/, labels/ and classes.txt"
TAKES = {
    "detect": ("--group", "--ignore", "--prefix", "--pipeline", "--peer"),
    "classify": ("--prefix",),
    "sound": ("--group", "--split"),
}
"""Task -> the options that say something about it."""


def _evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="its directory, or the name of one that is shipped or installed here")
    parser.add_argument("--data", type=Path, required=True, help=f"holds {FOLDER}; of a classifier a folder per class")
    parser.add_argument("--backend", help="default: the first that the manifest lists")
    parser.add_argument("--group", action="append", default=[], metavar="NAME=A,B", help="score A and B as one class")
    parser.add_argument("--ignore", action="append", default=[], metavar="A,B", help="neither hits nor misses")
    parser.add_argument("--prefix", default="", help="only pictures whose name begins so")
    parser.add_argument("--pipeline", action="store_true", help="score what a pipeline sees, region crops included")
    parser.add_argument(
        "--crops", type=count, default=4, metavar="N", help="of --pipeline: crops a picture (default 4)"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="FILE[=A,B]",
        help="also another's detector on the same pictures: a bundle, a YOLOX (.onnx) or an OpenVINO IR (.xml), with "
        "the names of its classes in order (of a YOLOX: COCO's)",
    )
    parser.add_argument(
        "--split",
        choices=("test", "dev", "train", "all"),
        help="of sounds: the part of the recordings that is scored, by smartbox/lab/soundclips.py (default test)",
    )


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import evaluate, evaluate_classify, evaluate_sound

    names = _names(args.group, args.ignore)
    bundle = build.bundle_of(args.bundle)
    _applies(args, bundle)
    if bundle.manifest.task == "classify":
        given.folder("--data", args.data, f"a directory for each of {', '.join(bundle.labels)}")
        return evaluate_classify.evaluate(bundle, args.data, backend=args.backend, prefix=args.prefix)
    if bundle.manifest.task == "sound":
        given.folder("--data", args.data, "a directory of sounds for each class")
        part: Any = args.split or "test"
        part = None if part == "all" else part
        return evaluate_sound.evaluate(bundle, args.data, backend=args.backend, part=part, groups=names.groups)
    given.folder("--data", args.data, FOLDER)
    others = [_other(text) for text in args.peer]
    _known(names, [args.data], [*bundle.labels, *(label for other in others for label in other.labels)])
    crops = args.crops if args.pipeline else None
    found = evaluate.evaluate(bundle, args.data, names, backend=args.backend, prefix=args.prefix, crops=crops)
    if not others:
        return found
    figures = [_measured(other, args.data, names, args.prefix) for other in others]
    return found | {"peers": dict(zip(_keys(others), figures, strict=True))}


def _applies(args: argparse.Namespace, bundle: Bundle) -> None:
    """Tell of options that say nothing about bundles of this task."""
    said = {option for task in TAKES.values() for option in task if getattr(args, option.removeprefix("--"))}
    if strange := sorted(said - set(TAKES[bundle.manifest.task])):
        task = bundle.manifest.task
        _warn(f"{', '.join(strange)}: left out, for {bundle.name} is a bundle for {task}")


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


@dataclass(frozen=True)
class _Other:
    """A peer as it was given: a bundle, which has labels and a threshold of its own, or a bare file."""

    path: Path
    name: str
    labels: tuple[str, ...]
    bundle: Bundle | None = None


def _other(text: str) -> _Other:
    from smartbox.lab.bring import COCO

    file, _, labels = text.partition("=")
    path, known = Path(file), tuple(filter(None, labels.split(",")))
    if path.is_dir():
        bundle = build.bundle_of(file)
        return _Other(path, bundle.name, bundle.labels, bundle)
    if path.suffix == ".onnx":
        known = known or tuple(COCO.read_text(encoding="utf-8").splitlines())
    return _Other(path, path.stem, known)


def _measured(other: _Other, data: Path, names: Any, prefix: str) -> dict[str, Any]:
    from smartbox.lab import evaluate

    if other.bundle is not None:
        return evaluate.evaluate(other.bundle, data, names, prefix=prefix)
    with TemporaryDirectory(prefix="smartbox-peer-") as scratch:
        peer = peers.read(other.path, Path(scratch), other.labels, evaluate.FLOOR)
        return evaluate.evaluate_peer(peer, data, names, prefix)


def _keys(others: Sequence[_Other]) -> list[str]:
    """The names; of those that several share the paths."""
    names = [other.name for other in others]
    return [other.name if names.count(other.name) == 1 else str(other.path) for other in others]


def _calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="directory of the bundle; its decoder must be lrssd")
    parser.add_argument("--data", type=Path, action="append", required=True, help="YOLO folders; never validation's")
    parser.add_argument("--group", action="append", default=[], metavar="NAME=A,B", help="match A and B as one class")
    parser.add_argument("--threshold", type=share, help="new score threshold, in calibrated scores")


def _calibrate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import platt

    names, bundle = _names(args.group, []), given.to_rewrite("calibrate", args.bundle)
    for folder in args.data:
        given.folder("--data", folder, FOLDER)
    _known(names, args.data, bundle.labels)
    bundle = platt.calibrate(bundle, args.data, names, args.threshold)
    return {"bundle": str(bundle.path), "decoder": bundle.manifest.decoder.model_dump()}


def _names(groups: Sequence[str], ignore: Sequence[str]) -> Any:
    from smartbox.lab import evaluate

    return evaluate.Names(dict(map(_group, groups)), frozenset(c for i in ignore for c in i.split(",")))


def _known(names: Any, folders: Iterable[Path], labels: Iterable[str]) -> None:
    """Tell of names that are known to no folder and to no model."""
    from smartbox.lab.data import classes_of

    known = {*labels, *(name for folder in folders for name in classes_of(folder))}
    if strange := names.unknown(known):
        which = ", ".join(sorted(known)[:20])
        _warn(f"{', '.join(strange)}: left out, neither the data nor the model has such a class; there are {which}")


def _group(text: str) -> tuple[str, tuple[str, ...]]:
    name, found, members = text.partition("=")
    if not (name and found and members):
        raise UsageError(f"--group {text}: write it as vehicle=car,bus,truck")
    return name, tuple(members.split(","))


PARTS = (
    Part(
        "evaluate",
        "score a bundle: AP of a detector on a YOLO folder, a classifier's answers, alarms that are heard",
        "smartbox lab evaluate lrssd-park --data var/lab/pictures --group vehicle=car,bus,truck --json",
        "pycocotools",
        _evaluate_arguments,
        _evaluate,
    ),
    Part(
        "calibrate",
        "make a score of 0.5 mean: as often right as wrong; rewrites the manifest",
        "smartbox lab calibrate models/lrssd-park --data var/lab/pictures",
        "scipy",
        _calibrate_arguments,
        _calibrate,
    ),
)
