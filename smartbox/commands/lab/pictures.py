"""The parts that make pictures to learn from and be scored on: simulate, examples, teach."""

import argparse
from pathlib import Path
from typing import Any

from smartbox import build
from smartbox.commands._args import UsageError, count, seed
from smartbox.commands.lab import _given as given
from smartbox.commands.lab._part import Part, share

SIMULATED = "person,bicycle,car,motorcycle,bus,truck"


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory of the folder")
    parser.add_argument("--labels", default=SIMULATED, metavar="A,B", help=f"in class order; of {SIMULATED}")
    parser.add_argument("--seed", type=seed, required=True, help="training's are 1000000 and more")
    parser.add_argument("--count", type=count, default=1000, help="of pictures (default 1000)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--park", action="store_true", help="the park's own scenes instead of random places")
    kind.add_argument("--carparks", action="store_true", help="random car parks, many slots of them free")
    parser.add_argument("--above", type=share, default=0.0, help="share of places seen from straight above")


def _simulate(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import simulated

    labels = tuple(args.labels.split(","))
    if strange := sorted(set(labels) - set(SIMULATED.split(","))):
        raise UsageError(f"--labels {args.labels}: {', '.join(strange)} cannot be drawn; write some of {SIMULATED}")
    given.out_folder(args.out)
    order = simulated.Order(labels, args.seed, args.count, args.park, args.above, args.carparks)
    simulated.write(args.out, order)
    return {"folder": str(args.out), "images": args.count}


def _examples_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="of the classifier")
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory of the folders")
    parser.add_argument("--part", dest="of", choices=("val", "train"), default="val", help="of the split (default val)")


def _examples(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import evaluate_classify, recipe_classify

    plan = recipe_classify.read(args.recipe)
    given.out_folder(args.out)
    return evaluate_classify.write(plan, args.of, args.out)


def _teach_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", help="the teacher's, a detector: its directory or name; its labels are matched by name"
    )
    parser.add_argument("--data", type=Path, required=True, help="holds images/ and classes.txt")
    parser.add_argument("-o", "--out", type=Path, required=True, help="npz that a recipe names as `teacher`")


def _teach(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import data, teacher

    bundle = build.bundle_of(args.bundle)
    given.folder("--data", args.data, "images/ and classes.txt")
    given.out_file(args.out)
    teacher.write(bundle, args.data, data.classes_of(args.data), args.out)
    return {"teacher": str(args.out)}


PARTS = (
    Part(
        "examples",
        "a classifier's held out examples as pictures, a folder per class",
        "smartbox lab examples models/muffnet-slot/recipe-simulated.yaml -o var/lab/slots",
        "torch",
        _examples_arguments,
        _examples,
    ),
    Part(
        "simulate",
        "a YOLO folder of simulated pictures",
        "smartbox lab simulate -o var/lab/pictures --seed 2100000 --count 200",
        "cv2",
        _simulate_arguments,
        _simulate,
    ),
    Part(
        "teach",
        "boxes of another detector for classes that a data set does not label",
        "smartbox lab teach lrssd-park --data var/lab/pictures -o var/lab/taught.npz",
        "cv2",
        _teach_arguments,
        _teach,
    ),
)
