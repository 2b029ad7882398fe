"""The parts that make bundles: export, formats, import."""

import argparse
import importlib.util
import math
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from smartbox.bundle import Bundle
from smartbox.commands._args import UsageError, count
from smartbox.commands.lab import _given as given
from smartbox.commands.lab._part import Part, share, threads, word
from smartbox.errors import ConfigError, SourceError
from smartbox.manifest import Name

KINDS = ("yolox", "yolov5", "yolov8", "nanodet", "boxes")


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="the one that it was trained by")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt, as train writes it")
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory of the bundle")
    parser.add_argument("--version", type=word, required=True, help="of the bundle")
    parser.add_argument("--calibrate", type=count, default=256, metavar="N", help="pictures to find scales on")
    parser.add_argument("--float", action="store_true", help="not quantized, ONNX only: to compare with")
    parser.add_argument("--note", default="", help="goes into the manifest's provenance")
    threads(parser)


def _export(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import export, export_classify, recipe, recipe_classify, train_detect, training

    training.limit(args.threads)
    release = export.Release(args.version, args.note)
    if recipe_classify.task_of(args.recipe) == "detect":
        plan = recipe.read(args.recipe)
        net = given.weights(args.checkpoint, args.recipe, partial(export.restore, plan))
        given.out_folder(args.out)
        fake = None if args.float else export.quantized(net, plan, train_detect.gather(plan)[0], args.calibrate)
        bundle = export.write(args.out, plan, net, fake, release)
    else:
        wanted = recipe_classify.read(args.recipe)
        net = given.weights(args.checkpoint, args.recipe, partial(export_classify.restore, wanted))
        given.out_folder(args.out)
        fake = None if args.float else export_classify.quantized(net, wanted, args.calibrate)
        bundle = export_classify.write(args.out, wanted, net, fake, release)
    return {**_told(bundle), "macs": bundle.manifest.cost.macs}


def _told(bundle: Bundle) -> dict[str, Any]:
    sizes = {backend: file.bytes for backend, file in bundle.manifest.files.items()}
    return {"bundle": str(bundle.path), "sha256": bundle.sha256, "bytes": sizes}


def _formats_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="directory of the bundle")
    parser.add_argument("--recipe", type=Path, help="with --checkpoint: the one that it was trained by")
    kept = "what it was exported from: golden outputs become those of the float net"
    parser.add_argument("--checkpoint", type=Path, help=kept)


def _formats(args: argparse.Namespace) -> dict[str, Any]:
    if bool(args.recipe) != bool(args.checkpoint):
        raise UsageError("--recipe and --checkpoint go together")
    if args.checkpoint and importlib.util.find_spec("torch") is None:
        raise ConfigError("lab formats --checkpoint needs the package torch: pip install 'smartbox[lab]'")
    bundle = given.to_rewrite("formats", args.bundle)
    from smartbox.lab import reformat

    if args.checkpoint:
        from smartbox.lab import export, recipe

        plan = recipe.read(args.recipe)
        given.weights(args.checkpoint, args.recipe, partial(export.restore, plan))
        bundle = reformat.float_golden(reformat.add_formats(bundle), plan, args.checkpoint)
    else:
        bundle = reformat.add_formats(bundle)
    golden = bundle.manifest.golden
    tolerance = {backend: t.model_dump(exclude_none=True) for backend, t in golden.tolerance.items()} if golden else {}
    return {**_told(bundle), "tolerance": tolerance}


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = "YOLOX, YOLOv5 to 11, NanoDet, or a graph that ends in boxes and scores"
    parser.add_argument("model", type=Path, help=kinds)
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory of the bundle, and its name")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="one per line, in class order; default COCO's 80")
    parser.add_argument("--kind", choices=KINDS, help="default: by its shapes")
    parser.add_argument("--size", type=_size, metavar="WxH", help="of the input, where the model leaves it open")
    parser.add_argument("--colour", choices=("RGB", "BGR"), help="default: as is usual for its kind")
    parser.add_argument("--scale", type=float, help="of pixels 0-255 before mean and std; default: usual for its kind")
    parser.add_argument("--mean", type=_numbers, metavar="A,B,C", help="one number, or one per channel")
    parser.add_argument("--std", type=_numbers, metavar="A,B,C", help="one number, or one per channel")
    parser.add_argument("--offset", type=share, help="of a point in its cell, nanodet only: PicoDet has 0.5")
    parser.add_argument("--threshold", type=_threshold, default=0.35, help="of scores (default 0.35)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="to try it on; default: simulated ones")


def _import(args: argparse.Namespace) -> dict[str, Any]:
    given.file("model", args.model, "an ONNX file")
    if args.pictures:
        given.folder("--pictures", args.pictures, "some pictures")
    labels = _labels(args.labels) if args.labels else ()
    name, picture = _bundle_name(args.out), _picture(args)
    given.out_folder(args.out)
    from smartbox.lab import bring

    wish = bring.Wish(name, "1", labels, args.kind, args.size, picture, args.threshold, args.offset)
    return bring.bring(args.model, args.out, wish, args.pictures)


def _bundle_name(out: Path) -> str:
    name = out.resolve().name
    try:
        return TypeAdapter(Name).validate_python(name)
    except ValidationError:
        want = "at most 64 letters, digits, `.`, `_` and `-`, a letter or digit first"
        raise ConfigError(f"-o {out}: {name!r} is to be the bundle's name; give one of {want}") from None


def _picture(args: argparse.Namespace) -> dict[str, Any]:
    """What is said of the picture's values."""
    if args.scale is not None and not 0 < args.scale < math.inf:
        raise ConfigError(f"--scale {args.scale:g}: must be a number above 0")
    for option, values, least in (("--mean", args.mean, -math.inf), ("--std", args.std, 0)):
        text = ",".join(f"{value:g}" for value in values or ())
        if values and len(values) not in (1, 3):
            raise ConfigError(f"{option} {text}: are {len(values)} numbers; give one, or one per channel, which are 3")
        if values and not all(least < value < math.inf for value in values):
            raise ConfigError(f"{option} {text}: must be {'numbers above 0' if option == '--std' else 'numbers'}")
    said = {key: getattr(args, key) for key in ("colour", "scale", "mean", "std")}
    return {key: value for key, value in said.items() if value is not None}


def _labels(path: Path) -> tuple[str, ...]:
    what = "a text file with one label per line"
    given.file("--labels", path, what)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise SourceError(f"--labels {path}: is no text; give {what}") from None
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise SourceError(f"--labels {path}: holds no label; give {what}")
    if twice := sorted({label for label in found if found.count(label) > 1}):
        raise ConfigError(f"--labels {path}: {', '.join(twice)} is there twice; give every class a name of its own")
    return found


def _threshold(text: str) -> float:
    value = share(text)
    if value == 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be below 1, which no score exceeds")
    return value


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 640x640, width first")
    return int(width), int(height)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write one number, or one per channel: 103.5,116.3,123.7") from None


PARTS = (
    Part(
        "export",
        "checkpoint -> int8 bundle in the format of every engine",
        "smartbox lab export models/muffnet-slot/recipe-simulated.yaml "
        "--checkpoint var/lab/slot-simulated/checkpoint.pt -o build/my-slot --version 1",
        "torch",
        _export_arguments,
        _export,
    ),
    Part(
        "formats",
        "add the formats that a bundle lacks, from its own int8 file",
        "smartbox lab formats build/my-slot",
        "onnx",
        _formats_arguments,
        _formats,
    ),
    Part(
        "import",
        "your own ONNX detector as a bundle",
        "smartbox lab import yolox_nano.onnx -o build/yolox_nano",
        "onnxruntime",
        _import_arguments,
        _import,
    ),
)
