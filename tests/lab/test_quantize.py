"""A tiny random net through quantization: torch with rounding, onnxruntime and TFLite agree."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from smartbox.lab.export_onnx import to_onnx
from smartbox.lab.export_tflite import to_tflite
from smartbox.lab.graph import capture
from smartbox.lab.nets.lrssd import Lrssd, LrssdSpec, flatten
from smartbox.lab.nets.muffnet import MuffSpec
from smartbox.lab.quantize import FakeQuant, QuantGraph, calibrate, channel_scale, fake_weight, freeze
from smartbox.lab.train_detect import normalise

SIZE = 128


class Case:
    """A net with lively outputs, its quantized forms, and two pictures."""

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.pixels = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
        net = Lrssd(LrssdSpec(MuffSpec(8, (16, 24, 32), (8, 8, 16)), 3, 16)).train()
        for predict in (net.classify, net.coarse, net.refine):
            torch.nn.init.normal_(predict.conv.weight, std=0.5)
        x = normalise(self.pixels)
        for _ in range(40):
            net(x)
        self.net = net.eval()
        graph = capture(net)
        self.fake = FakeQuant(graph, calibrate(graph, [x]))
        self.quant: QuantGraph = freeze(self.fake)
        with torch.no_grad():
            logits, _, boxes = flatten(self.fake(x))
            self.float_logits = flatten(self.net(x))[0]
        self.expected = {"scores": logits.numpy(), "boxes": boxes.numpy()}

    def step(self) -> float:
        return max(self.quant.scale(n).scale for level in self.quant.graph.outputs for n in level)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def agree(case: Case, name: str, got: NDArray[np.float32], index: slice, steps: float) -> None:
    """All within `steps` quantization steps, nearly all within one: rounding of halves differs between engines."""
    error = np.abs(got - case.expected[name][index]) / case.step()
    assert error.max() <= steps
    assert np.mean(error <= 1.01) > 0.98


def test_rounding_changes_little(case: Case) -> None:
    error = (torch.from_numpy(case.expected["scores"]) - case.float_logits).abs()
    assert error.mean() < 0.05 * case.float_logits.std()


def test_onnxruntime_computes_what_torch_with_rounding_does(case: Case, tmp_path: Path) -> None:
    to_onnx(case.quant, (SIZE, SIZE, 3), tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # as our backend does
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    scores, boxes = session.run(["scores", "boxes"], {"image": case.pixels.numpy()})
    agree(case, "scores", scores, slice(None), 4)
    agree(case, "boxes", boxes, slice(None), 4)


def test_tflite_computes_what_torch_with_rounding_does(case: Case, tmp_path: Path) -> None:
    interpreter = pytest.importorskip("tflite_runtime.interpreter")
    to_tflite(case.quant, (SIZE, SIZE, 3), tmp_path / "m.tflite")
    engine = interpreter.Interpreter(str(tmp_path / "m.tflite"))
    engine.allocate_tensors()
    outputs = {d["name"]: d["index"] for d in engine.get_output_details()}
    for i in range(2):
        engine.set_tensor(engine.get_input_details()[0]["index"], case.pixels[i : i + 1].numpy())
        engine.invoke()
        for name in ("scores", "boxes"):
            agree(case, name, engine.get_tensor(outputs[name]), slice(i, i + 1), 4)


def test_every_layer_is_int8(case: Case) -> None:
    convs = [item for item in case.quant.ops if item.op.kind == "conv"]
    assert all(item.weight is not None and item.weight.dtype == np.int8 for item in convs)
    assert len(convs) == sum(isinstance(m, torch.nn.Conv2d) for m in case.net.modules()) + 2 * 2 * 3 + 3 * 3


def test_tensors_that_only_move_share_a_scale(case: Case) -> None:
    for item in case.quant.ops:
        if item.op.kind in ("concat", "pool", "up"):
            scales = {case.quant.scale(n) for n in (item.op.name, *item.op.inputs)}
            assert len(scales) == 1


def test_each_output_channel_has_its_own_step() -> None:
    weight = torch.tensor([[1.0, -0.5], [0.001, 0.0005]])[:, :, None, None]
    assert channel_scale(weight).tolist() == pytest.approx([1 / 127, 0.001 / 127])
    assert (fake_weight(weight) - weight).abs().max() < 0.5 / 127


def test_gradients_pass_the_rounding(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logits, _, boxes = flatten(case.fake(normalise(case.pixels)))
        (logits.square().mean() + boxes.square().mean()).backward()
    grads = [p.grad for p in case.fake.weights.values()]
    assert all(g is not None and torch.isfinite(g).all() for g in grads)
