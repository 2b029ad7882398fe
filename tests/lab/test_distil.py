"""A teacher beside the labels: any picture size, its scores as they are, and a student that comes nearer to it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from smartbox.errors import ConfigError
from smartbox.lab.distil import SCALES, Imitation, Teacher

WIDTH, CLASSES, SIDE = 6, 4, 96


def yolox(path: Path, prefix: str = "head") -> Path:
    """The last layers of a YOLOX, fed by pooled pictures: same names and order, flattened for one size only."""
    rng = np.random.default_rng(0)
    nodes, weights, flat = [], [], []

    def conv(source: str, out: str, name: str, inputs: int, outputs: int) -> None:
        values = rng.normal(0, 0.1, (outputs, inputs, 1, 1)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        nodes.append(helper.make_node("Conv", [source, name], [out]))

    for i in range(SCALES):
        stride = 8 << i
        nodes.append(
            helper.make_node("AveragePool", ["images"], [f"p{i}"], kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        conv(f"p{i}", f"c{i}", f"stem.c{i}", 3, WIDTH)
        conv(f"p{i}", f"r{i}", f"stem.r{i}", 3, WIDTH)
        conv(f"c{i}", f"cls{i}", f"{prefix}.cls_preds.{i}.weight", WIDTH, CLASSES)
        conv(f"r{i}", f"obj{i}", f"{prefix}.obj_preds.{i}.weight", WIDTH, 1)
        nodes.append(helper.make_node("Concat", [f"obj{i}", f"cls{i}"], [f"all{i}"], axis=1))
        weights.append(numpy_helper.from_array(np.array([1, 1 + CLASSES, (SIDE // stride) ** 2]), f"shape{i}"))
        nodes.append(helper.make_node("Reshape", [f"all{i}", f"shape{i}"], [f"flat{i}"]))
        flat.append(f"flat{i}")
    nodes.append(helper.make_node("Concat", flat, ["output"], axis=2))
    graph = helper.make_graph(
        nodes,
        "yolox",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_teacher_takes_batches_of_any_size(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    lesson = Teacher(yolox(tmp_path / "t.onnx"))(images)
    assert [tuple(f.shape) for f in lesson.features] == [(2, 2 * WIDTH, s, s) for s in (8, 4, 2)]
    assert [tuple(s.shape) for s in lesson.scores] == [(2, 1 + CLASSES, s, s) for s in (8, 4, 2)]
    assert all(s.min() >= 0 and s.max() <= 1 for s in lesson.scores)


def test_what_is_no_yolox_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"t\.onnx: is not an export of YOLOX.*head\.cls_preds\.0\.weight"):
        Teacher(yolox(tmp_path / "t.onnx", prefix="other"))


def test_imitation_can_be_learned(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    lesson = Teacher(yolox(tmp_path / "t.onnx"))(images)
    imitation = Imitation(16, 2 * WIDTH, 1 + CLASSES)
    pyramid = [torch.randn(2, 16, s, s, requires_grad=True) for s in (8, 4, 2)]
    optimizer = torch.optim.Adam([*imitation.parameters(), *pyramid], lr=0.05)
    losses = []
    for _ in range(60):
        loss = imitation(pyramid, pyramid, lesson)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
