"""A narrower LRSSD out of a trained one: the channels that matter most, with their weights (structured pruning).

A group of channels is one set of indices wherever sums and depthwise layers tie them together. What a channel is worth:
the size of what produces it (batch norm's factors, Liu et al., Network Slimming, 2017) times that of what reads it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from smartbox.lab.nets.layers import ConvBN, Predict
from smartbox.lab.nets.lrssd import Lrssd, LrssdSpec
from smartbox.lab.nets.muffnet import NODES, MuffSpec

Reader = tuple[Any, int]
"""A layer that reads the group, and where the group begins among its inputs."""


def spec_of(state: dict[str, Any]) -> LrssdSpec:
    """Widths of the net that `state` was saved from."""

    def outputs(name: str) -> int:
        return int(state[name].shape[0])

    blocks = [len({k.split(".")[3] for k in state if k.startswith(f"backbone.stages.{i}.")}) for i in range(3)]
    stages = [outputs(f"backbone.stages.{i}.0.federate.conv.weight") for i in range(3)]
    widths = [outputs(f"backbone.stages.{i}.0.enter.conv.weight") for i in range(3)]
    backbone = MuffSpec(
        outputs("backbone.stem.conv.weight"),
        (stages[0], stages[1], stages[2]),
        (widths[0], widths[1], widths[2]),
        (blocks[0], blocks[1], blocks[2]),
    )
    return LrssdSpec(backbone, outputs("classify.conv.weight"), outputs("lateral.0.conv.weight"))


@torch.no_grad()
def slim(wide: Lrssd, spec: LrssdSpec) -> Lrssd:
    """`wide` cut down to `spec`; ValueError for a larger width, or other classes or numbers of blocks."""
    _check(wide.spec, spec)
    net = Lrssd(spec)
    old: Any = wide.backbone
    new: Any = net.backbone
    inputs = _best([old.stem], [(old.stages[0][0].enter, 0)], spec.backbone.stem)
    _copy(new.stem, old.stem, inputs, torch.arange(3))
    ends = []
    for i in range(3):
        wanted = spec.backbone.stages[i]
        readers = [(block.enter, 0) for block in old.stages[i][1:]] + [(wide.lateral[i], 0)]
        readers += [(old.stages[i + 1][0].enter, 0)] if i < 2 else []
        outputs = _best([block.federate for block in old.stages[i]], readers, wanted)
        for target, source in zip(new.stages[i], old.stages[i], strict=True):
            _block(target, source, inputs, outputs, spec.backbone.widths[i])
            inputs = outputs
        ends.append(outputs)
    _head(net, wide, ends, spec.features)
    return net


def _check(wide: LrssdSpec, spec: LrssdSpec) -> None:
    a, b = wide.backbone, spec.backbone
    pairs = zip(
        (a.stem, *a.stages, *a.widths, wide.features), (b.stem, *b.stages, *b.widths, spec.features), strict=True
    )
    if a.blocks != b.blocks or wide.classes != spec.classes or any(more < less for more, less in pairs):
        raise ValueError(f"{spec} cannot be cut out of {wide}: blocks and classes must be equal, no width larger")


def _block(new: Any, old: Any, inputs: Any, outputs: Any, width: int) -> None:
    whole = old.enter.conv.out_channels
    readers: list[Reader] = [(old.federate, part * whole) for part in range(3)]
    keep = _best([old.enter, *old.mix], readers + [(mix, 0) for mix in old.mix], width)
    _copy(new.enter, old.enter, keep, inputs)
    for k in range(NODES):
        _copy(new.spread[k], old.spread[k], keep, None)
        _copy(new.mix[k], old.mix[k], keep, keep)
    _copy(new.federate, old.federate, outputs, torch.cat([keep + part * whole for part in range(3)]))


def _head(net: Any, wide: Any, ends: Sequence[Any], features: int) -> None:
    """Pyramid, first and second layer of the tower: three groups, since only the pyramid's scales are summed."""
    coarse, fine = wide.coarse_step, wide.fine_step
    pyramid = _best([*wide.lateral], [(coarse.mix[0], 0)], features)
    near = _best([*coarse.mix], [(fine.mix[0], 0), (wide.coarse, 0)], features)
    last = _best([*fine.mix], [(wide.classify, 0), (wide.refine, 0)], features)
    for i, end in enumerate(ends):
        _copy(net.lateral[i], wide.lateral[i], pyramid, end)
        _copy(net.smooth[i], wide.smooth[i], pyramid, None)
    for target, source, ins, outs in (
        (net.coarse_step, coarse, pyramid, near),
        (net.fine_step, fine, near, last),
    ):
        for scale in range(len(source.mix)):
            _copy(target.spread[scale], source.spread[scale], ins, None)
            _copy(target.mix[scale], source.mix[scale], outs, ins)
    for name, ins in (("classify", last), ("refine", last), ("coarse", near)):
        theirs, ours = getattr(wide, name).conv, getattr(net, name).conv
        ours.weight.copy_(theirs.weight[:, ins])
        ours.bias.copy_(theirs.bias)


def _best(producers: Sequence[ConvBN], readers: Sequence[Reader], keep: int) -> Any:
    """Indices of the `keep` channels that are worth most, in their order."""
    count = producers[0].conv.out_channels
    made = torch.stack([p.bn.weight.abs() for p in producers]).mean(0)
    read = torch.stack([_norms(layer, start, count) for layer, start in readers]).mean(0)
    return (made * read).topk(keep).indices.sort().values


def _norms(layer: ConvBN | Predict, start: int, count: int) -> Any:
    """Size of the weights that read each of `count` inputs, against the layer's own mean."""
    norms = layer.conv.weight[:, start : start + count].flatten(2).square().sum((0, 2)).sqrt()
    return norms / norms.mean()


def _copy(new: ConvBN, old: ConvBN, outputs: Any, inputs: Any) -> None:
    """inputs: None for a depthwise layer."""
    weight = old.conv.weight[outputs]
    new.conv.weight.copy_(weight if inputs is None else weight[:, inputs])
    for name in ("weight", "bias", "running_mean", "running_var"):
        getattr(new.bn, name).copy_(getattr(old.bn, name)[outputs])
