"""Shapes and costs of the nets."""

import pytest
import torch

from smartbox.lab.graph import capture, run
from smartbox.lab.macs import count
from smartbox.lab.nets.lrssd import STRIDES, Lrssd, LrssdSpec, flatten
from smartbox.lab.nets.muffnet import SPECS, MuffClassifier, MuffNet, MuffSpec

TINY = LrssdSpec(MuffSpec(8, (16, 24, 32), (8, 8, 16)), 3, 16)


@pytest.mark.parametrize(("name", "macs"), [("40M", 41.4e6), ("140M", 140.6e6), ("300M", 303.2e6)])
def test_muffnet_costs_what_the_design_counted(name: str, macs: float) -> None:
    assert count(MuffClassifier(SPECS[name], 1000), (224, 224)).macs == pytest.approx(macs, rel=0.002)


def test_muffnet_40m_has_the_published_size() -> None:
    assert count(MuffClassifier(SPECS["40M"], 1000), (224, 224)).params == pytest.approx(1.39e6, rel=0.01)


def test_the_backbone_gives_an_eighth_a_sixteenth_and_a_thirty_second() -> None:
    spec = SPECS["40M"]
    shapes = [tuple(f.shape) for f in MuffNet(spec).eval()(torch.zeros(2, 3, 64, 128))]
    assert shapes == [(2, 48, 8, 16), (2, 96, 4, 8), (2, 192, 2, 4)]


def test_lrssd_gives_logits_and_boxes_for_every_cell() -> None:
    net = Lrssd(TINY).eval()
    logits, coarse, final = flatten(net(torch.zeros(2, 3, 128, 192)))
    cells = sum((128 // s) * (192 // s) for s in STRIDES)
    assert logits.shape == (2, cells, 3)
    assert coarse.shape == final.shape == (2, cells, 4)


def test_the_tower_is_one_set_of_weights_for_all_scales() -> None:
    net = Lrssd(TINY)
    assert len({id(layer.conv.weight) for layer in net.fine_step.mix}) == 1
    assert len({id(layer.bn) for layer in net.fine_step.mix}) == len(STRIDES)


def test_counting_leaves_the_net_as_it_was() -> None:
    net = Lrssd(TINY).train()
    count(net, (64, 64))
    assert net.training
    assert not any(m._forward_hooks for m in net.modules())


def test_the_captured_graph_computes_what_the_net_does() -> None:
    torch.manual_seed(3)
    net = Lrssd(TINY).train()
    for _ in range(3):  # so that batch norms have something to fold
        net(torch.randn(4, 3, 64, 64))
    x = torch.randn(2, 3, 64, 64)
    expected, got = flatten(net.eval()(x)), flatten(run(capture(net), x))
    for a, b in zip(expected, got, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_an_operation_that_no_exporter_knows_is_refused() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(x)

    with pytest.raises(ValueError, match="not an operation that the exporters know"):
        capture(Odd())
