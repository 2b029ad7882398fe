"""A bundle's weights back in a net that can be trained on: it computes the same, in eval and in training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from smartbox.errors import ConfigError
from smartbox.lab.export_onnx import to_onnx
from smartbox.lab.graph import capture
from smartbox.lab.nets.lrssd import Lrssd, LrssdSpec
from smartbox.lab.nets.muffnet import MuffClassifier, MuffSpec
from smartbox.lab.quantize import FakeQuant, calibrate, freeze
from smartbox.lab.restore import restore

SPEC = MuffSpec(8, (16, 24, 32), (8, 8, 16))


def detector(classes: int = 3) -> Any:
    return Lrssd(LrssdSpec(SPEC, classes, 16))


def classifier() -> Any:
    return MuffClassifier(SPEC, 3, expand=32)


def answers(net: Any, x: torch.Tensor) -> torch.Tensor:
    """All outputs of one pass, one after the other."""
    with torch.no_grad():
        found = net(x)
    levels = [part for level in found for part in level] if isinstance(found, list) else [found]
    return torch.cat([part.flatten() for part in levels])


def trained(net: Any, x: torch.Tensor) -> Any:
    """`net` with batch norms as after a training on the like of `x`: none of them the identity."""
    with torch.no_grad():
        for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(std=0.3)
            norm.weight[0] *= -1
            norm.momentum = 0.5
    for _ in range(8):
        answers(net.train(), x)
    return net.eval()


@pytest.fixture
def pictures() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(16, 3, 128, 128)


@pytest.mark.parametrize("make", [detector, classifier])
def test_a_float_bundle_comes_back_as_it_was(make: Any, pictures: torch.Tensor, tmp_path: Path) -> None:
    net = trained(make(), pictures)
    to_onnx(capture(net), (128, 128, 3), tmp_path / "net.onnx")
    restore(make(), tmp_path / "net.onnx", [pictures], tmp_path / "made" / "checkpoint.pt")
    back = make()
    back.load_state_dict(torch.load(tmp_path / "made" / "checkpoint.pt", weights_only=True)["ema"])
    wanted = answers(net, pictures)
    assert torch.allclose(answers(back.eval(), pictures), wanted, atol=1e-3 * float(wanted.std()))
    # With the batch's own statistics, which are those that were measured, it is the same net.
    assert torch.allclose(answers(back.train(), pictures), wanted, atol=1e-2 * float(wanted.std()))


@pytest.mark.parametrize("make", [detector, classifier])
def test_an_int8_bundle_comes_back_but_for_rounding(make: Any, pictures: torch.Tensor, tmp_path: Path) -> None:
    net = trained(make(), pictures)
    graph = capture(net)
    to_onnx(freeze(FakeQuant(graph, calibrate(graph, [pictures]))), (128, 128, 3), tmp_path / "net.onnx")
    restore(make(), tmp_path / "net.onnx", [pictures], tmp_path / "checkpoint.pt")
    back = make()
    back.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["ema"])
    wanted = answers(net, pictures)
    assert float((answers(back.eval(), pictures) - wanted).std()) < 0.1 * float(wanted.std())


def test_a_bundle_of_another_net_is_refused(pictures: torch.Tensor, tmp_path: Path) -> None:
    to_onnx(capture(detector(2).eval()), (128, 128, 3), tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match=r"its layer classify is \(2, 16, 1, 1\) where .* \(3, 16, 1, 1\)"):
        restore(detector(3), tmp_path / "net.onnx", [pictures], tmp_path / "checkpoint.pt")
    to_onnx(capture(classifier().eval()), (128, 128, 3), tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match="has no weights lateral_2_w; only files that lab export wrote"):
        restore(detector(3), tmp_path / "other.onnx", [pictures], tmp_path / "checkpoint.pt")
