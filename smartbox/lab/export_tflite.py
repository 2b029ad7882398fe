"""QuantGraph -> TFLite int8, written directly: the same integers as the ONNX file, so that both give equal results.

Input 1 x H x W x C uint8; outputs as those of the ONNX file, batch 1. int8 tensors hold the unsigned value minus 128.
TFLite's SAME padding is lopsided at stride 2, so those are padded explicitly.
"""

import math
from pathlib import Path

import numpy as np
import tflite

from smartbox.lab.flat import FlatModel
from smartbox.lab.graph import Op
from smartbox.lab.quantize import QuantGraph, QuantOp

_RELU = tflite.ActivationFunctionType.RELU
_NONE = tflite.ActivationFunctionType.NONE
Shape = tuple[int, int, int]  # H, W, C


class _Writer:
    def __init__(self, quant: QuantGraph, shape: Shape) -> None:
        self.quant, self.flat = quant, FlatModel()
        self.index: dict[str, int] = {}
        self.shape: dict[str, Shape] = {quant.graph.input: shape}

    def stored(self, name: str, shape: Shape, owner: str | None = None) -> int:
        """A new int8 tensor, with the scale of tensor `owner`."""
        scale = self.quant.scale(owner or name)
        index = self.flat.tensor(name, (1, *shape), "int8", [scale.scale], [scale.zero - 128])
        self.index[name], self.shape[name] = index, shape
        return index

    def image(self, source: str) -> int:
        name = self.quant.graph.input
        scale, shape = self.quant.scale(name), self.shape[name]
        image = self.flat.tensor(source, (1, *shape), "uint8", [scale.scale], [scale.zero])
        self.flat.operator("QUANTIZE", [image], self.stored(name, shape), "QuantizeOptions")
        return image

    def write(self, item: QuantOp) -> None:
        op = item.op
        height, width, channels = self.shape[op.inputs[0]]
        inputs = [self.index[n] for n in op.inputs]
        after = _RELU if op.relu else _NONE
        flat = self.flat
        if op.kind == "conv":
            self.conv(item)
        elif op.kind == "add":
            out = self.stored(op.name, (height, width, channels))
            flat.operator("ADD", inputs, out, "AddOptions", 2, FusedActivationFunction=after)
        elif op.kind == "concat":
            out = self.stored(op.name, (height, width, sum(self.shape[n][2] for n in op.inputs)))
            flat.operator("CONCATENATION", inputs, out, "ConcatenationOptions", 2, Axis=3)
        elif op.kind == "pool":
            out = self.stored(op.name, (height // 2, width // 2, channels))
            box = {"StrideW": 2, "StrideH": 2, "FilterWidth": 2, "FilterHeight": 2, "Padding": tflite.Padding.VALID}
            flat.operator("MAX_POOL_2D", inputs, out, "Pool2DOptions", 2, **box)
        elif op.kind == "mean":
            out = self.stored(op.name, (1, 1, channels))
            axes = flat.constant(f"{op.name}_axes", np.array([1, 2], np.int32))
            flat.operator("MEAN", [*inputs, axes], out, "ReducerOptions", 2, KeepDims=True)
        else:
            out = self.stored(op.name, (height * 2, width * 2, channels))
            size = flat.constant(f"{op.name}_size", np.array([height * 2, width * 2], np.int32))
            flat.operator("RESIZE_NEAREST_NEIGHBOR", [*inputs, size], out, "ResizeNearestNeighborOptions", 2)

    def conv(self, item: QuantOp) -> None:
        op = item.op
        assert item.weight is not None and item.steps is not None and item.bias is not None
        outputs, k = len(item.weight), item.weight.shape[-1]
        depthwise = op.groups > 1
        if depthwise and op.groups != outputs:
            raise ValueError(f"{op.name}: {op.groups} groups for {outputs} channels; only 1 or one per channel")
        source, (height, width), padding = self.padded(op, k)
        weight = item.weight[:, 0].transpose(1, 2, 0)[None] if depthwise else item.weight.transpose(0, 2, 3, 1)
        zeros, axis = [0] * outputs, 3 if depthwise else 0
        steps = item.steps.tolist()
        kernel = self.flat.tensor(f"{op.name}_w", weight.shape, "int8", steps, zeros, axis=axis, data=weight)
        scale = self.quant.scale(op.inputs[0]).scale
        bias_steps = [s * scale for s in steps]
        bias = self.flat.tensor(f"{op.name}_b", (outputs,), "int32", bias_steps, zeros, data=item.bias)
        options = {
            "Padding": padding,
            "StrideW": op.stride,
            "StrideH": op.stride,
            "FusedActivationFunction": _RELU if op.relu else _NONE,
        }
        if depthwise:
            options["DepthMultiplier"] = 1
        code, kind = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if depthwise else ("CONV_2D", "Conv2D")
        out = self.stored(op.name, (height, width, outputs))
        self.flat.operator(code, [source, kernel, bias], out, f"{kind}Options", 3, **options)

    def padded(self, op: Op, k: int) -> tuple[int, tuple[int, int], int]:
        """(source tensor, output h and w, padding mode) of a convolution."""
        name = op.inputs[0]
        height, width, channels = self.shape[name]
        if op.stride == 1:
            return self.index[name], (height, width), tflite.Padding.SAME
        side = k // 2
        amounts = np.array([[0, 0], [side, side], [side, side], [0, 0]], np.int32)
        wide = self.stored(f"{op.name}_padded", (height + 2 * side, width + 2 * side, channels), owner=name)
        self.flat.operator(
            "PAD", [self.index[name], self.flat.constant(f"{op.name}_pad", amounts)], wide, "PadOptions", 2
        )
        size = ((height + 2 * side - k) // op.stride + 1, (width + 2 * side - k) // op.stride + 1)
        return wide, size, tflite.Padding.VALID

    def rows(self, name: str, channels: int) -> int:
        """1 x H x W x (k channels) int8 -> 1 x kHW x channels float, as `layers.rows`."""
        height, width, every = self.shape[name]
        boxes, cells = every // channels, height * width
        if boxes == 1:
            return self.reshaped(name, f"{name}_rows", [1, cells, channels])
        each = self.reshaped(name, f"{name}_each", [1, cells, boxes, channels])
        order = self.flat.constant(f"{name}_order", np.array([0, 2, 1, 3], np.int32))
        turned = self.flat.tensor(f"{name}_turned", (1, boxes, cells, channels), "float32")
        self.flat.operator("TRANSPOSE", [each, order], turned, "TransposeOptions")
        return self.shaped(turned, f"{name}_rows", [1, boxes * cells, channels])

    def reshaped(self, name: str, label: str, shape: list[int]) -> int:
        real = self.flat.tensor(f"{name}_real", (1, *self.shape[name]), "float32")
        self.flat.operator("DEQUANTIZE", [self.index[name]], real, "DequantizeOptions", 2)
        return self.shaped(real, label, shape)

    def shaped(self, real: int, label: str, shape: list[int]) -> int:
        wanted = self.flat.constant(f"{label}_shape", np.array(shape, np.int32))
        flat = self.flat.tensor(label, shape, "float32")
        return self.flat.operator("RESHAPE", [real, wanted], flat, "ReshapeOptions", NewShape=shape)

    def sides(self, names: tuple[str, ...]) -> int:
        """The boxes of one scale: one map, or the sum of two."""
        first, *more = (self.rows(name, 4) for name in names)
        if not more:
            return first
        height, width, channels = self.shape[names[0]]
        out = self.flat.tensor(f"{names[-1]}_sum", (1, height * width, channels), "float32")
        return self.flat.operator("ADD", [first, *more], out, "AddOptions")

    def joined(self, name: str, parts: list[int], cells: int, channels: int) -> int:
        out = self.flat.tensor(name, (1, cells, channels), "float32")
        return self.flat.operator("CONCATENATION", parts, out, "ConcatenationOptions", Axis=1)

    def detections(self) -> list[int]:
        levels, classes = self.quant.graph.outputs, self.quant.graph.classes
        cells = sum(math.prod(self.shape[logits]) // classes for logits, *_ in levels)
        scores = [self.rows(logits, classes) for logits, *_ in levels]
        boxes = [self.sides(tuple(names)) for _, *names in levels]
        return [self.joined("scores", scores, cells, classes), self.joined("boxes", boxes, cells, 4)]

    def classes(self) -> int:
        name = self.quant.graph.outputs[0][0]
        return self.reshaped(name, "scores", [1, self.quant.graph.classes])


def to_tflite(quant: QuantGraph, shape: Shape, path: Path, source: str = "image") -> None:
    """Write `path` for one input `source` of `shape`."""
    writer = _Writer(quant, shape)
    image = writer.image(source)
    for item in quant.ops:
        writer.write(item)
    outputs = writer.detections() if quant.graph.detects else [writer.classes()]
    path.write_bytes(writer.flat.finish([image], outputs, "smartbox int8"))
