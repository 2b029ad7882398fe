"""Graph -> ONNX in float, QuantGraph -> ONNX int8 with QuantizeLinear / DequantizeLinear pairs.

onnxruntime and OpenVINO fuse the pairs into int8 kernels. Input N x H x W x C uint8; outputs of a detector `scores`
N x A x C logits and `boxes` N x A x 4 ltrb in strides, of a classifier `scores` N x C logits, float. No Relu is written
for int8: an unsigned range that begins at zero clips as ReLU does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smartbox.lab.graph import Graph, Op
from smartbox.lab.quantize import QuantGraph, QuantOp

OPSET = 17
FIRST_LEVEL = 3  # a detector's finest scale has one cell in 2^3 x 2^3 pixels, each further one half as many a side
Shape = tuple[int, int, int]  # H, W, C


class _Float:
    """Writes operations as they are; what every tensor is between operations, the int8 writer overrides."""

    def __init__(self, graph: Graph, source: str) -> None:
        self.graph = graph
        self.source = source
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def image(self) -> None:
        """N x H x W x C uint8 -> the graph's input."""
        planes = self.node("Transpose", [self.source], "planes", perm=[0, 3, 1, 2])
        pixels = self.node("Cast", [planes], "pixels", to=TensorProto.FLOAT)
        grey = self.constant("grey", np.array(self.graph.mean, np.float32))
        centred = self.node("Sub", [pixels, grey], "centred")
        unit = self.constant("unit", np.array(1 / self.graph.deviation, np.float32))
        self.node("Mul", [centred, unit], self.graph.input)

    def real(self, name: str, _use: str) -> str:
        """The float form of tensor `name`, for one use."""
        return name

    def keep(self, value: str, op: Op) -> None:
        """`value` becomes the operation's tensor."""
        self.node("Relu" if op.relu else "Identity", [value], op.name)

    def parameters(self, op: Op) -> list[str]:
        """Names of weight and bias in float."""
        values = {"w": op.weight.detach().numpy(), "b": op.bias.detach().numpy()}
        return [self.constant(f"{op.name}_{key}", value) for key, value in values.items()]

    def compute(self, op: Op) -> str:
        inputs = [self.real(n, f"{op.name}_{i}") for i, n in enumerate(op.inputs)]
        out = f"{op.name}_real"
        if op.kind == "conv":
            k = op.weight.shape[-1]
            shape = {"kernel_shape": [k, k], "strides": [op.stride] * 2, "pads": [k // 2] * 4, "group": op.groups}
            return self.node("Conv", [*inputs, *self.parameters(op)], out, **shape)
        if op.kind == "add":
            return self.node("Add", inputs, out)
        if op.kind == "concat":
            return self.node("Concat", inputs, out, axis=1)
        if op.kind == "pool":
            return self.node("MaxPool", inputs, out, kernel_shape=[2, 2], strides=[2, 2])
        if op.kind == "mean":
            return self.node("GlobalAveragePool", inputs, out)
        twice = self.constant("twice", np.array([1, 1, 2, 2], np.float32))
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", [*inputs, "", twice], out, **how)

    def rows(self, name: str, channels: int) -> str:
        """N x (k channels) x H x W -> N x kHW x channels float, as `layers.rows`."""
        boxes = self.graph.channels(name) // channels
        if boxes > 1:
            parts = self.constant(f"parts_{boxes}_{channels}", np.array([0, boxes, channels, -1], np.int64))
            each = self.node("Reshape", [self.real(name, "output"), parts], f"{name}_each")
            last = self.node("Transpose", [each], f"{name}_last", perm=[0, 1, 3, 2])
            shape = self.constant(f"rows_{channels}", np.array([0, -1, channels], np.int64))
            return self.node("Reshape", [last, shape], f"{name}_rows")
        last = self.node("Transpose", [self.real(name, "output")], f"{name}_last", perm=[0, 2, 3, 1])
        shape = self.constant(f"rows_{channels}", np.array([0, -1, channels], np.int64))
        return self.node("Reshape", [last, shape], f"{name}_rows")

    def detections(self, height: int, width: int) -> list[Any]:
        """The outputs of a detector; the cells of all scales one after the other."""
        classes, cells = self.graph.classes, 0
        scores, boxes = [], []
        for scale, (logits, *sides) in enumerate(self.graph.outputs):
            scores.append(self.rows(logits, classes))
            terms = [self.rows(name, 4) for name in sides]
            boxes.append(self.node("Add", terms, f"{sides[-1]}_sum") if len(terms) == 2 else terms[0])
            each = self.graph.channels(logits) // classes
            cells += each * (height >> scale + FIRST_LEVEL) * (width >> scale + FIRST_LEVEL)
        self.node("Concat", scores, "scores", axis=1)
        self.node("Concat", boxes, "boxes", axis=1)
        info = helper.make_tensor_value_info
        return [
            info("scores", TensorProto.FLOAT, ["N", cells, classes]),
            info("boxes", TensorProto.FLOAT, ["N", cells, 4]),
        ]

    def classes(self) -> list[Any]:
        """The output of a classifier."""
        name = self.graph.outputs[0][0]
        self.node("Flatten", [self.real(name, "output")], "scores", axis=1)
        return [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", self.graph.classes])]

    def model(self, shape: Shape) -> Any:
        """All of the graph for inputs of `shape`, with a free batch."""
        self.image()
        for op in self.graph.ops:
            self.keep(self.compute(op), op)
        outputs = self.detections(*shape[:2]) if self.graph.detects else self.classes()
        inputs = [helper.make_tensor_value_info(self.source, TensorProto.UINT8, ["N", *shape])]
        graph = helper.make_graph(self.nodes, "smartbox", inputs, outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="smartbox")
        onnx.checker.check_model(model)
        return model


class _Int8(_Float):
    def __init__(self, quant: QuantGraph, source: str) -> None:
        super().__init__(quant.graph, source)
        self.quant = quant
        self.items: dict[str, QuantOp] = {item.op.name: item for item in quant.ops}

    def image(self) -> None:
        """The pixels are the quantized input already."""
        self.node("Transpose", [self.source], f"{self.graph.input}_q", perm=[0, 3, 1, 2])

    def step(self, name: str) -> tuple[str, str]:
        """Names of the constants scale and zero point of tensor `name`."""
        owner, scale = self.graph.shared.get(name, name), self.quant.scale(name)
        return (
            self.constant(f"{owner}_scale", np.array(scale.scale, np.float32)),
            self.constant(f"{owner}_zero", np.array(scale.zero, np.uint8)),
        )

    def real(self, name: str, use: str) -> str:
        return self.node("DequantizeLinear", [f"{name}_q", *self.step(name)], f"{name}_for_{use}")

    def keep(self, value: str, op: Op) -> None:
        self.node("QuantizeLinear", [value, *self.step(op.name)], f"{op.name}_q")

    def parameters(self, op: Op) -> list[str]:
        item = self.items[op.name]
        assert item.weight is not None and item.steps is not None and item.bias is not None
        source = self.quant.scale(op.inputs[0]).scale
        bias_steps = (item.steps.astype(np.float64) * source).astype(np.float32)
        found = []
        for key, value, steps in (("w", item.weight, item.steps), ("b", item.bias, bias_steps)):
            name = f"{op.name}_{key}"
            parts = {"q": value, "scale": steps, "zero": np.zeros(len(steps), value.dtype)}
            names = [self.constant(f"{name}_{part}", array) for part, array in parts.items()]
            found.append(self.node("DequantizeLinear", names, name, axis=0))
        return found


def to_onnx(model: QuantGraph | Graph, shape: Shape, path: Path, source: str = "image") -> None:
    """Write `path` for inputs `source` of `shape`: int8 from a QuantGraph, float from a Graph."""
    writer = _Int8(model, source) if isinstance(model, QuantGraph) else _Float(model, source)
    path.write_bytes(writer.model(shape).SerializeToString())
