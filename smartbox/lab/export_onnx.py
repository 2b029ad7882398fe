"""QuantGraph -> ONNX with QuantizeLinear / DequantizeLinear pairs, which onnxruntime fuses into int8 kernels.

Input `image` N x H x W x 3 uint8 BGR; outputs `scores` N x A x C logits, `boxes` N x A x 4 ltrb in strides, float.
No Relu is written: an unsigned range that begins at zero clips as ReLU does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smartbox.lab.quantize import QuantGraph, QuantOp

OPSET = 17


class _Writer:
    def __init__(self, quant: QuantGraph) -> None:
        self.quant = quant
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def step(self, name: str) -> tuple[str, str]:
        """Names of the constants scale and zero point of tensor `name`."""
        owner, scale = self.quant.graph.shared.get(name, name), self.quant.scale(name)
        return (
            self.constant(f"{owner}_scale", np.float32(scale.scale)),  # type: ignore[arg-type]
            self.constant(f"{owner}_zero", np.uint8(scale.zero)),  # type: ignore[arg-type]
        )

    def real(self, name: str, use: str) -> str:
        return self.node("DequantizeLinear", [f"{name}_q", *self.step(name)], f"{name}_for_{use}")

    def stored(self, value: str, name: str) -> str:
        return self.node("QuantizeLinear", [value, *self.step(name)], f"{name}_q")

    def conv(self, item: QuantOp) -> str:
        op = item.op
        assert item.weight is not None and item.steps is not None and item.bias is not None
        source = self.quant.scale(op.inputs[0]).scale
        steps = self.constant(f"{op.name}_w_scale", item.steps)
        zeros = self.constant(f"{op.name}_w_zero", np.zeros(len(item.steps), np.int8))
        weight = self.constant(f"{op.name}_w_q", item.weight)
        bias = self.constant(f"{op.name}_b_q", item.bias)
        bias_steps = self.constant(f"{op.name}_b_scale", (item.steps.astype(np.float64) * source).astype(np.float32))
        bias_zeros = self.constant(f"{op.name}_b_zero", np.zeros(len(item.steps), np.int32))
        inputs = [
            self.real(op.inputs[0], op.name),
            self.node("DequantizeLinear", [weight, steps, zeros], f"{op.name}_w", axis=0),
            self.node("DequantizeLinear", [bias, bias_steps, bias_zeros], f"{op.name}_b", axis=0),
        ]
        k = item.weight.shape[-1]
        return self.node(
            "Conv", inputs, f"{op.name}_real", kernel_shape=[k, k], strides=[op.stride] * 2, pads=[k // 2] * 4,
            group=op.groups,
        )  # fmt: skip

    def other(self, item: QuantOp) -> str:
        op = item.op
        inputs = [self.real(n, f"{op.name}_{i}") for i, n in enumerate(op.inputs)]
        out = f"{op.name}_real"
        if op.kind == "add":
            return self.node("Add", inputs, out)
        if op.kind == "concat":
            return self.node("Concat", inputs, out, axis=1)
        if op.kind == "pool":
            return self.node("MaxPool", inputs, out, kernel_shape=[2, 2], strides=[2, 2])
        twice = self.constant("twice", np.array([1, 1, 2, 2], np.float32))
        return self.node(
            "Resize", [*inputs, "", twice], out, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def rows(self, name: str, channels: int) -> str:
        """N x C x H x W quantized -> N x HW x C float."""
        last = self.node("Transpose", [self.real(name, "output")], f"{name}_last", perm=[0, 2, 3, 1])
        shape = self.constant(f"rows_{channels}", np.array([0, -1, channels], np.int64))
        return self.node("Reshape", [last, shape], f"{name}_rows")


def to_onnx(quant: QuantGraph, size: int, path: Path) -> None:
    """Write `path`: pictures of size x size, free batch."""
    writer, graph = _Writer(quant), quant.graph
    writer.node("Transpose", ["image"], f"{graph.input}_q", perm=[0, 3, 1, 2])
    for item in quant.ops:
        value = writer.conv(item) if item.op.kind == "conv" else writer.other(item)
        writer.stored(value, item.op.name)
    channels = {item.op.name: len(item.weight) for item in quant.ops if item.weight is not None}
    scores, boxes = [], []
    for logits, coarse, refine in graph.outputs:
        scores.append(writer.rows(logits, channels[logits]))
        boxes.append(writer.node("Add", [writer.rows(coarse, 4), writer.rows(refine, 4)], f"{refine}_sum"))
    writer.node("Concat", scores, "scores", axis=1)
    writer.node("Concat", boxes, "boxes", axis=1)
    cells = sum((size // stride) ** 2 for stride in (8, 16, 32, 64)[: len(scores)])
    classes = channels[graph.outputs[0][0]]
    info = helper.make_tensor_value_info
    model = helper.make_model(
        helper.make_graph(
            writer.nodes, "lrssd", [info("image", TensorProto.UINT8, ["N", size, size, 3])],
            [info("scores", TensorProto.FLOAT, ["N", cells, classes]),
             info("boxes", TensorProto.FLOAT, ["N", cells, 4])],
            list(writer.constants.values()),
        ),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="smartbox",
    )  # fmt: skip
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
