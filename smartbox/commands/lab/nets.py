"""The parts that make weights: train, restore, refit, compare, rebuild."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from smartbox import marked
from smartbox.commands._args import UsageError, count, positive
from smartbox.commands.lab import _given as given
from smartbox.commands.lab._part import Part, threads


def _train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="YAML: data, net, schedule")
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory for checkpoint.pt and curve.csv")
    threads(parser)


def _train(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import export, export_classify, parallel, recipe, recipe_classify, train_classify, train_detect

    with parallel.group() as ranks:
        if recipe_classify.task_of(args.recipe) == "detect":
            plan = recipe.read(args.recipe)
            given.started(args.recipe, start=plan.start, distil=plan.distil)
            given.resumable(args.out, args.recipe, partial(export.restore, plan))
            checkpoint = train_detect.train(plan, args.out, args.threads, ranks)
        else:
            wanted = recipe_classify.read(args.recipe)
            given.started(args.recipe, start=wanted.start)
            given.resumable(args.out, args.recipe, partial(export_classify.restore, wanted))
            checkpoint = train_classify.train(wanted, args.out, args.threads, ranks)
    return {"checkpoint": str(checkpoint), "curve": str(args.out / "curve.csv")} if ranks.first else {}


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="its directory or name; its ONNX file is read")
    of = "the one that it was trained by, or another with the same net; batch norms are measured on its examples"
    parser.add_argument("--recipe", type=Path, required=True, help=of)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the checkpoint, for `start:`")
    threads(parser)


def _restore(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import recipe, recipe_classify, restore, training

    weights = given.onnx_of(args.bundle)
    given.out_file(args.out)
    training.limit(args.threads)
    if recipe_classify.task_of(args.recipe) == "detect":
        restore.detector(recipe.read(args.recipe), weights, args.out)
    else:
        restore.classifier(recipe_classify.read(args.recipe), weights, args.out)
    return {"checkpoint": str(args.out)}


def _refit_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe", type=Path, help="whose examples it is fitted on; of the net that the checkpoint is of"
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint.pt, as train writes it")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the new checkpoint, for export")
    steps = "batches of examples to fit on; default: schedule.steps of the recipe"
    parser.add_argument("--batches", type=count, metavar="N", help=steps)
    pull = "how strongly the new weights are held near the old ones (default 0.001)"
    parser.add_argument("--pull", type=positive, metavar="X", default=1e-3, help=pull)
    threads(parser)


def _refit(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import export_classify, recipe_classify, refit, training

    plan = recipe_classify.read(args.recipe)
    given.weights(args.checkpoint, args.recipe, partial(export_classify.restore, plan))
    given.out_file(args.out)
    training.limit(args.threads)
    found = refit.refit(plan, args.checkpoint, args.out, args.batches or plan.schedule.steps, args.pull)
    return {"checkpoint": str(args.out), **found}


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", type=Path, help="YAML: nets, seeds, recipe; finished runs stand beside it as .jsonl")
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory for checkpoints of runs under way")
    parser.add_argument("--net", action="append", default=[], metavar="NET", help="train only this; may be repeated")
    parser.add_argument("--report", type=Path, metavar="FILE", help="put the table between its <!-- compare --> lines")
    parser.add_argument("--table", action="store_true", help="train nothing, tell what is finished")
    threads(parser)


def _compare(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import compare, compare_report

    plan = compare.read(args.recipe)
    if strange := sorted(set(args.net) - set(plan.nets)):
        raise UsageError(f"--net {', '.join(strange)}: {args.recipe} has {', '.join(plan.nets)}")
    if args.report:
        given.file("--report", args.report, f"one that has a line {marked.begin('compare')}")
        compare_report.with_table(args.report, "compare", "")  # is there a place?
    table = compare.Table(args.recipe.with_suffix(".jsonl"))
    if args.table:
        runs = list(compare.finished(plan, table))
    else:
        given.out_folder(args.out)
        runs = compare.compare(plan, table, args.out, args.net, args.threads)
    if args.report:
        compare_report.insert(compare_report.markdown(plan, runs), args.report, "compare")
    return compare_report.summary(plan, runs)


def _rebuild_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="*", help="of models/; default: all")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/models"), help="default build/models")
    parser.add_argument("--full", action="store_true", help="the whole recipes, hours; needs ../shared/data")
    threads(parser)


def _rebuild(args: argparse.Namespace) -> dict[str, Any]:
    from smartbox.lab import rebuild

    given.out_folder(args.out)
    return rebuild.rebuild(args.model, args.out, full=args.full, threads=args.threads)


PARTS = (
    Part(
        "train",
        "train a model as a recipe says; goes on where it was stopped",
        "smartbox lab train models/muffnet-slot/recipe-simulated.yaml -o var/lab/slot-simulated",
        "torch",
        _train_arguments,
        _train,
    ),
    Part(
        "restore",
        "a shipped bundle's weights as a checkpoint, to go on training from",
        "smartbox lab restore models/lrssd-park --recipe models/lrssd-park/recipe.yaml -o var/lab/start/checkpoint.pt",
        "torch",
        _restore_arguments,
        _restore,
    ),
    Part(
        "refit",
        "fit a classifier's last layer anew, the rest as it is; minutes where a training takes hours",
        "smartbox lab refit models/muffnet-sound/recipe-refit.yaml --checkpoint var/lab/sound/checkpoint.pt "
        "-o var/lab/sound-refit/checkpoint.pt",
        "torch",
        _refit_arguments,
        _refit,
    ),
    Part(
        "compare",
        "nets trained alike, against one another, several seeds; goes on where it stopped",
        "smartbox lab compare benchmarks/compare/muffnet.yaml -o var/lab/compare --table",
        "torch",
        _compare_arguments,
        _compare,
    ),
    Part(
        "rebuild",
        "the shipped models from their recipes: tiny, on simulated data, in minutes; or in full",
        "smartbox lab rebuild muffnet-posture --threads 1",
        "torch",
        _rebuild_arguments,
        _rebuild,
    ),
)
