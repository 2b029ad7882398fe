"""The nets that ours are measured against cost what their authors published."""

from typing import Any

import pytest
import torch

from smartbox.lab.macs import count
from smartbox.lab.nets import ghostnet, shufflenetv2

PUBLISHED = [  # net, 10^6 MACs at 224, 10^6 parameters, 1000 classes
    (shufflenetv2.classifier(1000, width="0.5"), 41, 1.4),
    (shufflenetv2.classifier(1000, width="1.0"), 146, 2.3),
    (shufflenetv2.classifier(1000, width="1.5"), 299, 3.5),
    (ghostnet.classifier(1000, width=0.5), 42, 2.6),
    (ghostnet.classifier(1000, width=1.0), 141, 5.2),
]


@pytest.mark.parametrize(("net", "macs", "params"), PUBLISHED)
def test_the_counter_agrees_with_the_papers(net: Any, macs: float, params: float) -> None:
    """Within 2 %, or the half of the last digit that was published."""
    cost = count(net, (224, 224))
    assert cost.macs / 1e6 == pytest.approx(macs, rel=0.02, abs=0.5)
    assert cost.params / 1e6 == pytest.approx(params, rel=0.02, abs=0.05)


@pytest.mark.parametrize("module", [shufflenetv2, ghostnet])
def test_they_take_small_and_grey_pictures_and_learn(module: Any) -> None:
    torch.manual_seed(0)
    net = module.classifier(3, channels=1)
    x, wanted = torch.randn(6, 1, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    first = last = 0.0
    for step in range(6):
        loss = torch.nn.functional.cross_entropy(net(x), wanted)
        first, last = (loss.item() if step == 0 else first), loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last < 0.8 * first
