"""One run of a comparison: trained as its recipe says, and scored."""

import time
from dataclasses import replace
from pathlib import Path

from smartbox.lab import evaluate, export, export_classify, train_classify, train_detect
from smartbox.lab.compare import Comparison, Run
from smartbox.lab.macs import count
from smartbox.lab.recipe import Recipe
from smartbox.lab.recipe_classify import ClassifyRecipe

PUBLISHED = (224, 224)  # what the classifiers' names say that they cost


def trained(plan: Comparison, recipe: ClassifyRecipe | Recipe, empty: Run, out: Path, threads: int) -> Run:
    """`empty` with its figures. out: directory of the run, from whose checkpoint it goes on."""
    busy = time.process_time()
    if isinstance(recipe, Recipe):
        run = _detector(plan, recipe, empty, out, threads)
    else:
        run = _classifier(recipe, empty, out, threads)
    return replace(run, seconds=round(time.process_time() - busy, 1))


def _classifier(recipe: ClassifyRecipe, empty: Run, out: Path, threads: int) -> Run:
    net = export_classify.restore(recipe, train_classify.train(recipe, out, threads))
    arrays, truth = train_classify.plain(recipe, train_classify.gather(recipe, "val"))
    top1, recall = train_classify.scored(train_classify.predict(net, arrays, recipe.input), truth)
    height, width, channels = recipe.input.shape
    own, published = count(net, (height, width), channels), count(net, PUBLISHED, channels)
    run = replace(empty, score=round(top1, 4), second=round(recall, 4), examples=len(truth))
    return replace(run, macs=own.macs, macs_224=published.macs, params=own.params)


def _detector(plan: Comparison, recipe: Recipe, empty: Run, out: Path, threads: int) -> Run:
    net = export.restore(recipe, train_detect.train(recipe, out, threads))
    bundle = export.write(out / "float", recipe, net, None, export.Release("0"))
    assert plan.score.data is not None  # of a detector's plan
    names = evaluate.Names(plan.score.groups, frozenset(plan.score.ignore))
    found = evaluate.evaluate(bundle, plan.score.data, names, prefix=plan.score.prefix)
    own = count(net, (recipe.size, recipe.size))
    run = replace(empty, score=found["mAP"], second=found["mAP50"], examples=found["images"])
    return replace(run, macs=own.macs, params=own.params)
