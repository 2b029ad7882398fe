"""Weights of a shipped bundle as a checkpoint, to go on training from: of its float or int8 ONNX file, as `lab export`
writes it.

In the file batch norms are folded into the convolutions. To train on they must be there again, and with a batch's own
statistics (training) they must give what the running ones give (eval): so the mean and deviation before each norm are
measured on examples, and the norm's factor and offset are set so that the net computes what the file's weights do.
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from smartbox.errors import ConfigError
from smartbox.lab import train_classify, train_detect, training
from smartbox.lab.graph import layers
from smartbox.lab.nets.layers import ConvBN
from smartbox.lab.recipe import Recipe
from smartbox.lab.recipe_classify import ClassifyRecipe

BATCHES = 8  # that the statistics are measured on


def detector(plan: Recipe, weights: Path, out: Path) -> None:
    """As `restore`, on examples of the recipe's last stage."""
    mixer = train_detect.Mixer(*train_detect.gather(plan), plan.stages[-1], plan.seed)
    drawn = (np.stack([example.image for example in batch]) for batch in islice(mixer, BATCHES))
    images = (train_detect.normalise(torch.from_numpy(stack)) for stack in drawn)
    restore(plan.net.build(len(plan.labels)), weights, images, out)


def classifier(plan: ClassifyRecipe, weights: Path, out: Path) -> None:
    """As `restore`, on examples of the recipe."""
    drawn = train_classify.Batches(plan, train_classify.gather(plan, "train"))
    arrays = (train_classify.normalise(drawn[i][0], plan.input) for i in range(BATCHES))
    restore(train_classify.build(plan), weights, arrays, out)


def restore(net: Any, weights: Path, batches: Iterable[Any], out: Path) -> None:
    """Give untrained `net` the weights of the ONNX file, and write it to `out` as a checkpoint.

    batches: N x C x H x W, normalised, drawn as for training. ConfigError where the file holds another net.
    """
    load(net, weights)
    settle(net, batches)
    out.parent.mkdir(parents=True, exist_ok=True)
    training.save({"ema": net.state_dict()}, out)


@torch.no_grad()
def load(net: Any, weights: Path) -> None:
    """The file's weights into `net` (in eval from then on); batch norms change nothing but by factor and offset."""
    net.eval()
    given = {entry.name: numpy_helper.to_array(entry) for entry in onnx.load(weights).graph.initializer}
    first: dict[int, Any] = {}  # convolutions that several scales share: the weights of the first that was folded
    for name, layer in layers(net).items():
        weight, bias = (_tensor(given, f"{name}_{part}", weights) for part in "wb")
        own = layer.weight if isinstance(layer, nn.Linear) else layer.conv.weight
        weight = weight.reshape(own.shape) if weight.numel() == own.numel() else weight
        if weight.shape != own.shape:
            sizes = f"{tuple(weight.shape)} where the recipe's net has {tuple(own.shape)}"
            raise ConfigError(f"{weights}: its layer {name} is {sizes}; is this the recipe that it was trained by?")
        shared = first.setdefault(id(own), weight)
        if shared is weight:
            own.copy_(weight)
        if isinstance(layer, ConvBN):
            _identity(layer.bn, _ratio(weight, shared), bias)
        else:
            (layer if isinstance(layer, nn.Linear) else layer.conv).bias.copy_(bias)


def _tensor(given: dict[str, Any], name: str, weights: Path) -> Any:
    """A float tensor of that name, or what an int8 one stands for (steps along its first axis)."""
    if name in given:
        return torch.from_numpy(given[name].copy())
    if f"{name}_q" not in given:
        raise ConfigError(f"{weights}: has no weights {name}; only files that lab export wrote can be gone on from")
    q, steps = given[f"{name}_q"], given[f"{name}_scale"]
    return torch.from_numpy(q.astype(np.float32) * steps.reshape(-1, *[1] * (q.ndim - 1)))


def _ratio(weight: Any, shared: Any) -> Any:
    """O: by what each output channel of `weight` is `shared` multiplied, in least squares."""
    size = shared.square().flatten(1).sum(1)
    return (weight * shared).flatten(1).sum(1) / size.clamp(min=1e-20)


def _identity(norm: Any, factor: Any, offset: Any) -> None:
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.copy_(factor)
    norm.bias.copy_(offset)


@torch.no_grad()
def settle(net: Any, batches: Iterable[Any]) -> None:
    """Batch norms get the statistics of `batches`, and factors and offsets with which `net` computes the same."""
    norms: list[Any] = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    sums = [torch.zeros(2, layer.num_features, dtype=torch.float64) for layer in norms]
    counts = [0] * len(norms)

    def watch(i: int) -> Any:
        def look(_layer: Any, inputs: Any) -> None:
            x = inputs[0].double()
            sums[i] += torch.stack([x.sum((0, 2, 3)), x.square().sum((0, 2, 3))])
            counts[i] += x.numel() // x.shape[1]

        return look

    hooks = [layer.register_forward_pre_hook(watch(i)) for i, layer in enumerate(norms)]
    for batch in batches:
        net(batch)
    for norm, (total, squares), count, hook in zip(norms, sums, counts, hooks, strict=True):
        hook.remove()
        if not count:
            continue
        mean, old = (total / count).float(), norm.weight / torch.sqrt(norm.running_var + norm.eps)
        spread = (squares / count - (total / count).square()).clamp(min=0).float()
        norm.bias += old * (mean - norm.running_mean)
        norm.weight.copy_(old * torch.sqrt(spread + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(spread)
