"""A trained net as a short list of operations, batch norms folded: what quantization and every exporter work on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import fx, nn
from torch.nn import functional as F

from smartbox.lab.nets.layers import ConvBN, Predict

MEAN, DEVIATION = 114.0, 64.0  # of pictures, unless a recipe says otherwise
Kind = Literal["conv", "add", "concat", "pool", "up", "mean"]


@dataclass(frozen=True, eq=False)
class Op:
    """Makes tensor `name` from tensors `inputs`. conv: `weight` O x I/groups x k x k, `bias` O, padding k // 2."""

    kind: Kind
    name: str
    inputs: tuple[str, ...]
    relu: bool = False
    weight: Any = None
    bias: Any = None
    stride: int = 1
    groups: int = 1


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations in order.

    outputs: names of tensors; of a detector per scale (class logits, coarse boxes, correction) or, with k boxes a cell,
    (class logits, boxes); of a classifier once (class logits,). The input is (value - mean) / deviation of the uint8
    values that the box gives.
    """

    input: str
    ops: tuple[Op, ...]
    outputs: tuple[tuple[str, ...], ...]
    shared: Mapping[str, str] = field(default_factory=dict)
    """Tensor -> the tensor whose scale it must share: parts of a concat, pools and upsampling change no value."""
    mean: int = round(MEAN)
    deviation: float = DEVIATION

    @property
    def detects(self) -> bool:
        return len(self.outputs[0]) > 1

    def channels(self, name: str) -> int:
        """Of the output of a convolution."""
        return next(len(op.weight) for op in self.ops if op.name == name)

    @property
    def classes(self) -> int:
        """That the outputs tell apart; the last map of a detector holds the four sides of each box."""
        logits, last = self.channels(self.outputs[0][0]), self.channels(self.outputs[0][-1])
        return logits * 4 // last if self.detects else logits


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:  # noqa: ARG002  # torch names them
        return isinstance(m, ConvBN | Predict | nn.Linear)


def capture(net: Any, mean: float = MEAN, deviation: float = DEVIATION) -> Graph:
    """`net` (in eval) as a Graph. ValueError for an operation that the exporters do not know.

    mean, deviation: what the net was trained with. The mean is a whole number, so that the stored values are the
    quantized input already and are not rounded once more.
    """
    if mean != round(mean) or not 0 <= mean <= 255:
        raise ValueError(f"the input's mean is {mean:g}; int8 needs a whole number of 0 to 255")
    traced = _Tracer().trace(net.eval())
    modules = dict(net.named_modules())
    ops: dict[str, Op] = {}
    source = ""
    outputs: Any = ()
    for node in traced.nodes:
        if node.op == "placeholder":
            source = node.name
        elif node.op == "output":
            levels = node.args[0] if isinstance(node.args[0], list) else [[node.args[0]]]
            outputs = tuple(tuple(n.name for n in level) for level in levels)
        elif node.op == "call_module":
            ops[node.name] = _conv(node.name, node.args[0].name, modules[node.target])
        else:
            _function(node, ops)
    listed = tuple(ops.values())
    return Graph(source, listed, outputs, _shared(listed), round(mean), deviation)


def layers(net: Any) -> dict[str, Any]:
    """The name that a Graph gives each layer with weights, in order -> that layer of `net` (in eval)."""
    modules = dict(net.named_modules())
    traced = _Tracer().trace(net.eval())
    return {node.name: modules[node.target] for node in traced.nodes if node.op == "call_module"}


def _conv(name: str, source: str, layer: Any) -> Op:
    """Batch norm folded: w' = w g / sqrt(var + eps), b' = beta - mean g / sqrt(var + eps)."""
    if isinstance(layer, nn.Linear):  # a 1x1 convolution of a map of one pixel
        return Op("conv", name, (source,), weight=layer.weight.detach().clone()[:, :, None, None], bias=_bias(layer))
    conv = layer.conv
    weight = conv.weight.detach().clone().contiguous()
    if isinstance(layer, Predict):
        return Op("conv", name, (source,), weight=weight, bias=conv.bias.detach().clone())
    bn = layer.bn
    factor = (bn.weight / torch.sqrt(bn.running_var + bn.eps)).detach()
    bias = (bn.bias - bn.running_mean * factor).detach()
    weight = weight * factor[:, None, None, None]
    return Op("conv", name, (source,), layer.relu, weight, bias, conv.stride[0], conv.groups)


def _bias(layer: Any) -> Any:
    return torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias.detach().clone()


def _function(node: Any, ops: dict[str, Op]) -> None:
    if node.op == "call_method" and node.target == "mean" and tuple(node.args[1]) == (2, 3):
        ops[node.name] = Op("mean", node.name, (node.args[0].name,))
    elif node.target is torch.add:
        ops[node.name] = Op("add", node.name, tuple(n.name for n in node.args[:2]))
    elif node.target is torch.cat:
        ops[node.name] = Op("concat", node.name, tuple(n.name for n in node.args[0]))
    elif node.target is F.max_pool2d:
        ops[node.name] = Op("pool", node.name, (node.args[0].name,))
    elif node.target is F.interpolate:
        ops[node.name] = Op("up", node.name, (node.args[0].name,))
    elif node.target is F.relu:  # joins the sum before it
        before = ops.pop(node.args[0].name)
        ops[node.name] = Op(before.kind, node.name, before.inputs, relu=True)
    else:
        raise ValueError(f"{node.name}: {node.target} is not an operation that the exporters know")


def _shared(ops: tuple[Op, ...]) -> dict[str, str]:
    """Union-find over the operations that only move values."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for op in ops:
        if op.kind in ("concat", "pool", "up"):
            for source in op.inputs:
                parent[root(source)] = root(op.name)
    names = {n for op in ops for n in (op.name, *op.inputs)}
    return {name: root(name) for name in names}


def run(graph: Graph, x: Any, seen: Any = None, weights: Any = None) -> list[tuple[Any, ...]]:
    """Compute the graph's outputs, N x C x H x W each.

    `seen(name, tensor)` may replace each tensor, `weights(op)` each convolution's weight.
    """
    keep = seen or (lambda _name, tensor: tensor)
    values = {graph.input: keep(graph.input, x)}
    for op in graph.ops:
        y = _compute(op, [values[n] for n in op.inputs], weights(op) if weights and op.kind == "conv" else op.weight)
        values[op.name] = keep(op.name, F.relu(y) if op.relu else y)
    return [tuple(values[name] for name in level) for level in graph.outputs]


def _compute(op: Op, inputs: list[Any], weight: Any) -> Any:
    if op.kind == "conv":
        return F.conv2d(inputs[0], weight, op.bias, op.stride, weight.shape[-1] // 2, groups=op.groups)
    if op.kind == "add":
        return inputs[0] + inputs[1]
    if op.kind == "concat":
        return torch.cat(inputs, 1)
    if op.kind == "pool":
        return F.max_pool2d(inputs[0], 2)
    if op.kind == "mean":
        return inputs[0].mean((2, 3), keepdim=True)
    return F.interpolate(inputs[0], scale_factor=2.0, mode="nearest")
