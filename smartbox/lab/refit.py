"""Fits a classifier's last layer anew, the rest as it is: minutes of one core where a training takes hours.

    smartbox lab refit RECIPE --checkpoint IN -o OUT

What a net computes before its last layer often serves, where only the weighing of it went wrong, because the training
examples had a property that the world has not (Kirichenko et al., 2023). The examples are the recipe's, augmented as
it says; the new weights are held near the old ones.
"""

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from smartbox.lab import training
from smartbox.lab.export_classify import restore
from smartbox.lab.recipe_classify import ClassifyRecipe
from smartbox.lab.train_classify import Batches, gather, normalise
from smartbox.progress import each

STEPS = 150  # of L-BFGS: the problem is convex, and it has long converged
PULL = 1e-3  # to the old weights


@torch.no_grad()
def features(net: Any, recipe: ClassifyRecipe, batches: int) -> tuple[Any, Any]:
    """(n x channels: what the last layer is given, n classes) of as many batches of the recipe's training part."""
    given: list[Any] = []
    net.classify.register_forward_hook(lambda _, inputs, __: given.append(inputs[0]))
    drawn, classes = Batches(recipe, gather(recipe, "train")), []
    for i in each(range(batches), "examples"):
        arrays, truth = drawn[i]
        net(normalise(arrays, recipe.input))
        classes.append(truth)
    return torch.cat(given), torch.cat(classes)


def fitted(given: Any, classes: Any, weight: Any, bias: Any, *, smooth: float, pull: float) -> tuple[Any, Any]:
    """Weights (labels x channels) and biases of the least cross entropy + `pull` * |change of the weights|^2."""
    fresh, offset = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([fresh, offset], max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe")

    def error() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(given, fresh, offset), classes, label_smoothing=smooth)
        loss = loss + pull * (fresh - weight).square().sum()
        loss.backward()
        return loss

    optimizer.step(error)  # type: ignore[no-untyped-call]
    return fresh.detach(), offset.detach()


def refit(recipe: ClassifyRecipe, checkpoint: Path, out: Path, batches: int, pull: float) -> dict[str, float]:
    """`checkpoint` with another last layer to `out`; the share of the examples that was and is right."""
    net = restore(recipe, checkpoint)
    last = net.classify
    given, classes = features(net, recipe, batches)
    before = _right(given, classes, last.weight, last.bias)
    weight, bias = fitted(given, classes, last.weight.detach(), last.bias.detach(), smooth=recipe.smooth, pull=pull)
    last.load_state_dict({"weight": weight, "bias": bias})
    out.parent.mkdir(parents=True, exist_ok=True)
    training.save({"ema": net.state_dict()}, out)
    return {"examples": len(classes), "before": before, "after": _right(given, classes, weight, bias)}


def _right(given: Any, classes: Any, weight: Any, bias: Any) -> float:
    return round(float((F.linear(given, weight, bias).argmax(1) == classes).float().mean()), 4)
