"""The lab: train, quantize, export and score models (needs the extra `lab`)."""

import argparse
import importlib.util
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smartbox.commands._args import UsageError, count, not_after, seed
from smartbox.errors import ConfigError

EXAMPLE = (
    "smartbox lab evaluate models/lrssd-park --data detect/val --group vehicle=car,bus,truck --ignore motorcycle --json"
)
SIMULATED = "person,bicycle,car,motorcycle,bus,truck"
KINDS = ("yolox", "yolov5", "yolov8", "nanodet", "boxes")
NEEDS = {
    "train": "torch",
    "compare": "torch",
    "rebuild": "torch",
    "export": "torch",
    "formats": "onnx",
    "examples": "torch",
    "teach": "cv2",
    "simulate": "cv2",
    "evaluate": "pycocotools",
    "calibrate": "scipy",
    "import": "onnxruntime",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    train = parts.add_parser("train", help="train a model as a recipe says; goes on where it was stopped")
    train.add_argument("recipe", type=Path, help="YAML: data, net, schedule")
    train.add_argument("-o", "--out", type=Path, required=True, help="directory for checkpoint.pt and curve.csv")
    export = parts.add_parser("export", help="checkpoint -> int8 bundle (ONNX and TFLite)")
    export.add_argument("recipe", type=Path, help="the one that it was trained by")
    export.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt, as train writes it")
    export.add_argument("-o", "--out", type=Path, required=True, help="directory of the bundle")
    export.add_argument("--version", required=True, help="of the bundle")
    export.add_argument("--calibrate", type=count, default=256, metavar="N", help="pictures to find scales on")
    export.add_argument("--float", action="store_true", help="not quantized, ONNX only: to compare with")
    export.add_argument("--note", default="", help="goes into the manifest's provenance")
    examples, bring = _examples_parser(parts), _import_parser(parts)
    versus, anew = _compare_parser(parts), _rebuild_parser(parts)
    teach = parts.add_parser("teach", help="boxes of another detector for classes that a data set does not label")
    teach.add_argument("bundle", help="the teacher's; its labels are matched by name")
    teach.add_argument("--data", type=Path, required=True, help="holds images/ and classes.txt")
    teach.add_argument("-o", "--out", type=Path, required=True, help="npz that a recipe names as `teacher`")
    simulate = parts.add_parser("simulate", help="a YOLO folder of simulated pictures")
    simulate.add_argument("-o", "--out", type=Path, required=True, help="directory of the folder")
    simulate.add_argument("--labels", default=SIMULATED, metavar="A,B", help=f"in class order; of {SIMULATED}")
    simulate.add_argument("--seed", type=seed, required=True, help="training's are 1000000 and more")
    simulate.add_argument("--count", type=count, default=1000, help="of pictures (default 1000)")
    simulate.add_argument("--park", action="store_true", help="the park's own scenes instead of random places")
    simulate.add_argument("--above", type=float, default=0.0, help="share of places seen from straight above")
    score = _evaluate_parser(parts)
    platt = parts.add_parser(
        "calibrate", help="make a score of 0.5 mean: as often right as wrong; rewrites the manifest"
    )
    platt.add_argument("bundle", help="directory of the bundle")
    platt.add_argument("--data", type=Path, action="append", required=True, help="YOLO folders; never validation's")
    platt.add_argument("--group", action="append", default=[], metavar="NAME=A,B", help="match A and B as one class")
    platt.add_argument("--threshold", type=float, help="new score threshold, in calibrated scores")
    seal = parts.add_parser("seal", help="a bundle as one signed file that only some boxes can open")
    seal.add_argument("bundle", help="directory of the bundle")
    seal.add_argument("--key", type=Path, required=True, metavar="FILE", help="the publisher's private key: it signs")
    seal.add_argument(
        "--for", dest="readers", action="extend", nargs="+", required=True, metavar="BOX",
        help="public keys of boxes (`smartbox models key` prints a box's), or files that hold one",
    )  # fmt: skip
    seal.add_argument("--release", type=seed, metavar="N", help="rises with every release; default: the time")
    seal.add_argument("--not-after", type=not_after, metavar="TIME", help="not to be installed later; default 1 year")
    seal.add_argument("--hardware", action="append", default=[], metavar="NAME", help="only for these, e.g. aarch64")
    seal.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the sealed file, NAME.sealed")
    keygen = parts.add_parser("keygen", help="a new pair of keys; the public one is printed and written to FILE.pub")
    keygen.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the private key; keep it safe")
    keygen.add_argument("--reader", action="store_true", help="to open sealed pictures with, instead of to sign models")
    for part in (train, export, versus, anew):
        part.add_argument("--threads", type=count, metavar="N", default=0, help="CPU threads of torch; default its own")
    more = (examples, bring, versus, anew)
    for part in (train, export, _formats_parser(parts), teach, simulate, score, platt, seal, keygen, *more):
        part.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _compare_parser(parts: Any) -> argparse.ArgumentParser:
    versus: argparse.ArgumentParser = parts.add_parser(
        "compare",
        help="nets trained alike, against one another, several seeds; goes on where it stopped",
    )
    versus.add_argument("recipe", type=Path, help="YAML: nets, seeds, recipe; finished runs stand beside it as .jsonl")
    versus.add_argument("-o", "--out", type=Path, required=True, help="directory for checkpoints of runs under way")
    versus.add_argument("--net", action="append", default=[], metavar="NET", help="train only this; may be repeated")
    versus.add_argument("--report", type=Path, metavar="FILE", help="put the table between its <!-- compare --> lines")
    versus.add_argument("--table", action="store_true", help="train nothing, tell what is finished")
    return versus


def _rebuild_parser(parts: Any) -> argparse.ArgumentParser:
    anew: argparse.ArgumentParser = parts.add_parser(
        "rebuild", help="the shipped models from their recipes: tiny, on simulated data, in minutes; or in full"
    )
    anew.add_argument("model", nargs="*", help="of models/; default: all")
    anew.add_argument("-o", "--out", type=Path, default=Path("build/models"), help="default build/models")
    anew.add_argument("--full", action="store_true", help="the whole recipes, hours; needs ../shared/data")
    return anew


def _formats_parser(parts: Any) -> argparse.ArgumentParser:
    formats: argparse.ArgumentParser = parts.add_parser(
        "formats", help="add the formats that a bundle lacks, from its own int8 file"
    )
    formats.add_argument("bundle", help="directory of the bundle")
    formats.add_argument("--recipe", type=Path, help="with --checkpoint: the one that it was trained by")
    kept = "what it was exported from: golden outputs become those of the float net"
    formats.add_argument("--checkpoint", type=Path, help=kept)
    return formats


def _evaluate_parser(parts: Any) -> argparse.ArgumentParser:
    score: argparse.ArgumentParser = parts.add_parser("evaluate", help="AP of a bundle on a YOLO folder")
    score.add_argument("bundle", help="directory of the bundle")
    score.add_argument("--data", type=Path, required=True, help="holds images/, labels/ and classes.txt")
    score.add_argument("--backend", help="default: the first that the manifest lists")
    score.add_argument("--group", action="append", default=[], metavar="NAME=A,B", help="score A and B as one class")
    score.add_argument("--ignore", action="append", default=[], metavar="CLASS", help="neither hits nor misses")
    score.add_argument("--prefix", default="", help="only pictures whose name begins so")
    score.add_argument("--pipeline", action="store_true", help="score what a pipeline sees, region crops included")
    score.add_argument("--crops", type=count, default=4, metavar="N", help="of --pipeline: crops a picture (default 4)")
    score.add_argument(
        "--split",
        choices=("test", "dev", "train", "all"),
        default="test",
        help="of sounds: the part of the recordings that is scored, by smartbox/lab/soundclips.py (default test)",
    )
    return score


def _examples_parser(parts: Any) -> argparse.ArgumentParser:
    examples: argparse.ArgumentParser = parts.add_parser(
        "examples", help="a classifier's held out examples as pictures, a folder per class"
    )
    examples.add_argument("recipe", type=Path, help="of the classifier")
    examples.add_argument("-o", "--out", type=Path, required=True, help="directory of the folders")
    examples.add_argument(
        "--part", dest="of", choices=("val", "train"), default="val", help="of the split (default val)"
    )
    return examples


def _import_parser(parts: Any) -> argparse.ArgumentParser:
    bring: argparse.ArgumentParser = parts.add_parser("import", help="your own ONNX detector as a bundle")
    bring.add_argument(
        "model", type=Path, help="YOLOX, YOLOv5 to 11, NanoDet, or a graph that ends in boxes and scores"
    )
    bring.add_argument("-o", "--out", type=Path, required=True, help="directory of the bundle; its name is the model's")
    bring.add_argument("--labels", type=Path, metavar="FILE", help="one per line, in class order; default COCO's 80")
    bring.add_argument(
        "--kind", choices=("yolox", "yolov5", "yolov8", "nanodet", "boxes"), help="default: by its shapes"
    )
    bring.add_argument("--size", type=_size, metavar="WxH", help="of the input, where the model leaves it open")
    bring.add_argument("--colour", choices=("RGB", "BGR"), help="default: as is usual for its kind")
    bring.add_argument("--scale", type=float, help="of pixels 0-255 before mean and std; default: usual for its kind")
    bring.add_argument("--mean", type=_numbers, metavar="A,B,C", help="one number, or one per channel")
    bring.add_argument("--std", type=_numbers, metavar="A,B,C", help="one number, or one per channel")
    bring.add_argument("--threshold", type=float, default=0.35, help="of scores (default 0.35)")
    bring.add_argument("--pictures", type=Path, metavar="DIR", help="to try it on; default: simulated ones")
    return bring


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 640x640, width first")
    return int(width), int(height)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write one number, or one per channel: 103.5,116.3,123.7") from None


def main(args: argparse.Namespace) -> int:
    needed = NEEDS.get(args.part, "numpy")
    if importlib.util.find_spec(needed) is None:
        raise ConfigError(f"lab {args.part} needs the package {needed}: pip install 'smartbox[lab]'")
    result = _PARTS[args.part](args)
    if args.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{key}: {json.dumps(value)}" for key, value in result.items()))
    return 0


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import recipe, recipe_classify, train_classify, train_detect

    if recipe_classify.task_of(args.recipe) == "detect":
        checkpoint = train_detect.train(recipe.read(args.recipe), args.out, args.threads)
    else:
        checkpoint = train_classify.train(recipe_classify.read(args.recipe), args.out, args.threads)
    return {"checkpoint": str(checkpoint), "curve": str(args.out / "curve.csv")}


def _compare(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import compare, compare_report

    plan = compare.read(args.recipe)
    if strange := sorted(set(args.net) - set(plan.nets)):
        raise UsageError(f"--net {', '.join(strange)}: {args.recipe} has {', '.join(plan.nets)}")
    table = compare.Table(args.recipe.with_suffix(".jsonl"))
    if args.table:
        runs = list(compare.finished(plan, table))
    else:
        runs = compare.compare(plan, table, args.out, args.net, args.threads)
    if args.report:
        compare_report.insert(compare_report.markdown(plan, runs), args.report, "compare")
    return compare_report.summary(plan, runs)


def _export(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import export, export_classify, recipe, recipe_classify, train_detect, training

    training.limit(args.threads)
    release = export.Release(args.version, args.note)
    if recipe_classify.task_of(args.recipe) == "detect":
        plan = recipe.read(args.recipe)
        net = export.restore(plan, args.checkpoint)
        fake = None if args.float else export.quantized(net, plan, train_detect.gather(plan)[0], args.calibrate)
        bundle = export.write(args.out, plan, net, fake, release)
    else:
        wanted = recipe_classify.read(args.recipe)
        net = export_classify.restore(wanted, args.checkpoint)
        fake = None if args.float else export_classify.quantized(net, wanted, args.calibrate)
        bundle = export_classify.write(args.out, wanted, net, fake, release)
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "bytes": {backend: file.bytes for backend, file in bundle.manifest.files.items()},
        "macs": bundle.manifest.cost.macs,
    }


def _rebuild(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import rebuild

    return rebuild.rebuild(args.model, args.out, full=args.full, threads=args.threads)


def _examples(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import evaluate_classify, recipe_classify

    return evaluate_classify.write(recipe_classify.read(args.recipe), args.of, args.out)


def _formats(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.bundle import Bundle

    if bool(args.recipe) != bool(args.checkpoint):
        raise UsageError("--recipe and --checkpoint go together")
    if args.checkpoint and importlib.util.find_spec("torch") is None:
        raise ConfigError("lab formats --checkpoint needs the package torch: pip install 'smartbox[lab]'")
    from smartbox.lab import reformat

    bundle = reformat.add_formats(Bundle.open(args.bundle))
    if args.checkpoint:
        from smartbox.lab import recipe

        bundle = reformat.float_golden(bundle, recipe.read(args.recipe), args.checkpoint)
    tolerance = bundle.manifest.golden.tolerance if bundle.manifest.golden else {}
    return {
        "bundle": str(bundle.path),
        "sha256": bundle.sha256,
        "bytes": {backend: file.bytes for backend, file in bundle.manifest.files.items()},
        "tolerance": {backend: allowed.model_dump(exclude_none=True) for backend, allowed in tolerance.items()},
    }


def _import(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import bring

    try:
        labels = tuple(args.labels.read_text(encoding="utf-8").split("\n")) if args.labels else ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--labels {args.labels}: {error}; give a text file with one label per line") from error
    said = {key: getattr(args, key) for key in ("colour", "scale", "mean", "std")}
    wish = bring.Wish(
        name=args.out.name,
        labels=tuple(label.strip() for label in labels if label.strip()),
        kind=args.kind,
        size=args.size,
        picture={key: value for key, value in said.items() if value is not None},
        threshold=args.threshold,
    )
    return bring.bring(args.model, args.out, wish, args.pictures)


def _teach(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.bundle import Bundle
    from smartbox.lab import data, teacher

    teacher.write(Bundle.open(args.bundle), args.data, data.classes_of(args.data), args.out)
    return {"teacher": str(args.out)}


def _simulate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import simulated

    labels = tuple(args.labels.split(","))
    if strange := sorted(set(labels) - set(SIMULATED.split(","))):
        raise UsageError(f"--labels {args.labels}: {', '.join(strange)} cannot be drawn; write some of {SIMULATED}")
    simulated.write(args.out, labels, args.seed, args.count, park=args.park, above=args.above)
    return {"folder": str(args.out), "images": args.count}


def _evaluate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.bundle import Bundle
    from smartbox.lab import evaluate, evaluate_classify, evaluate_sound

    names = _names(args.group, args.ignore)
    bundle = Bundle.open(args.bundle)
    if bundle.manifest.task == "classify":
        return evaluate_classify.evaluate(bundle, args.data, backend=args.backend, prefix=args.prefix)
    if bundle.manifest.task == "sound":
        part = None if args.split == "all" else args.split
        return evaluate_sound.evaluate(bundle, args.data, backend=args.backend, part=part, groups=names.groups)
    crops = args.crops if args.pipeline else None
    return evaluate.evaluate(bundle, args.data, names, backend=args.backend, prefix=args.prefix, crops=crops)


def _calibrate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.bundle import Bundle
    from smartbox.lab import platt

    bundle = platt.calibrate(Bundle.open(args.bundle), args.data, _names(args.group, []), args.threshold)
    return {"bundle": str(bundle.path), "decoder": bundle.manifest.decoder.model_dump()}


def _seal(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.bundle import Bundle
    from smartbox.lab import sealing

    release = int(time.time()) if args.release is None else args.release
    terms = sealing.Terms(release, args.not_after or sealing.in_a_year(), tuple(args.hardware))
    return sealing.seal(Bundle.open(args.bundle), args.out, args.key, args.readers, terms)


def _keygen(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import sealing

    return sealing.generate(args.out, "x25519" if args.reader else "ed25519")


def _names(groups: Sequence[str], ignore: Sequence[str]) -> Any:
    from smartbox.lab import evaluate

    return evaluate.Names(dict(map(_group, groups)), frozenset(c for i in ignore for c in i.split(",")))


def _group(text: str) -> tuple[str, tuple[str, ...]]:
    name, found, members = text.partition("=")
    if not (name and found and members):
        raise UsageError(f"--group {text}: write it as vehicle=car,bus,truck")
    return name, tuple(members.split(","))


_PARTS = {
    "train": _train,
    "compare": _compare,
    "rebuild": _rebuild,
    "examples": _examples,
    "export": _export,
    "formats": _formats,
    "import": _import,
    "teach": _teach,
    "simulate": _simulate,
    "evaluate": _evaluate,
    "calibrate": _calibrate,
    "seal": _seal,
    "keygen": _keygen,
}
