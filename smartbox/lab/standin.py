"""A YOLOX that knows nothing: the real one's last layers over pooled pictures, where only its shape is needed."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SCALES = 3


def yolox(path: Path, width: int, classes: int, *, side: int = 96, prefix: str = "head") -> Path:
    """Write `path`, for pictures of side x side: names and order as YOLOX's export has them, and random weights."""
    rng = np.random.default_rng(0)
    nodes, weights, flat = [], [], []

    def conv(source: str, out: str, name: str, inputs: int, outputs: int) -> None:
        values = rng.normal(0, 0.1, (outputs, inputs, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        nodes.append(helper.make_node("Conv", [source, name], [out]))

    for i in range(SCALES):
        stride = 8 << i
        pool: dict[str, Any] = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes.append(helper.make_node("AveragePool", ["images"], [f"p{i}"], **pool))
        conv(f"p{i}", f"c{i}", f"stem.c{i}", 3, width)
        conv(f"p{i}", f"r{i}", f"stem.r{i}", 3, width)
        conv(f"c{i}", f"cls{i}", f"{prefix}.cls_preds.{i}.weight", width, classes)
        conv(f"r{i}", f"obj{i}", f"{prefix}.obj_preds.{i}.weight", width, 1)
        nodes.append(helper.make_node("Concat", [f"obj{i}", f"cls{i}"], [f"all{i}"], axis=1))
        weights.append(numpy_helper.from_array(np.array([1, 1 + classes, (side // stride) ** 2]), f"shape{i}"))
        nodes.append(helper.make_node("Reshape", [f"all{i}", f"shape{i}"], [f"flat{i}"]))
        flat.append(f"flat{i}")
    nodes.append(helper.make_node("Concat", flat, ["output"], axis=2))
    info = helper.make_tensor_value_info
    inputs, outputs = [info("images", TensorProto.FLOAT, [1, 3, side, side])], [info("output", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "yolox", inputs, outputs, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path
