"""A narrower net out of a wide one."""

from dataclasses import replace

import pytest
import torch

from smartbox.lab.nets.lrssd import Lrssd, LrssdSpec, flatten
from smartbox.lab.nets.muffnet import MuffSpec
from smartbox.lab.slim import slim, spec_of

WIDE = LrssdSpec(MuffSpec(8, (16, 24, 32), (8, 12, 16), (1, 2, 1)), 3, 16)
NARROW = LrssdSpec(MuffSpec(6, (10, 20, 20), (6, 8, 10), (1, 2, 1)), 3, 12)


def outputs(net: Lrssd) -> torch.Tensor:
    torch.manual_seed(1)
    with torch.no_grad():
        return torch.cat(flatten(net.eval()(torch.randn(1, 3, 64, 64))), -1)


def test_widths_are_read_from_a_checkpoint() -> None:
    assert spec_of(Lrssd(WIDE).state_dict()) == WIDE


def test_all_channels_kept_is_the_same_net() -> None:
    wide = Lrssd(WIDE)
    assert torch.allclose(outputs(slim(wide, WIDE)), outputs(wide), atol=1e-6)


def test_channels_that_say_nothing_can_go_without_a_trace() -> None:
    """A wide net whose surplus channels are dead computes what its narrow one computes."""
    torch.manual_seed(0)
    wide = Lrssd(WIDE)
    first = wide.backbone.stages[0][0]
    for layer in (first.enter, *first.spread, *first.mix):  # two of the block's eight channels
        layer.bn.weight.data[[2, 5]] = 0
        layer.bn.bias.data[[2, 5]] = 0
    narrow = slim(wide, replace(WIDE, backbone=replace(WIDE.backbone, widths=(6, 12, 16))))
    assert torch.allclose(outputs(narrow), outputs(wide), atol=1e-5)


def test_a_narrow_net_has_the_widths_asked_for() -> None:
    assert spec_of(slim(Lrssd(WIDE), NARROW).state_dict()) == NARROW


def test_a_wider_net_cannot_be_cut_out() -> None:
    with pytest.raises(ValueError, match="no width larger"):
        slim(Lrssd(NARROW), WIDE)
