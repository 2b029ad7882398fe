"""The last layer fitted anew: it separates what can be separated, stays near what it was, and touches nothing else."""

from pathlib import Path

import pytest
import torch

from smartbox.lab import recipe_classify
from smartbox.lab.refit import fitted, refit
from smartbox.lab.train_classify import build
from tests.lab.conftest import EARS


@pytest.mark.parametrize(("pull", "moved"), [(1e-4, True), (1e6, False)])
def test_it_separates_classes_as_far_as_the_pull_lets_it(pull: float, moved: bool) -> None:
    chance = torch.Generator().manual_seed(0)
    classes = torch.arange(200) % 2
    given = torch.randn(200, 4, generator=chance) + 4 * classes[:, None]
    weight, bias = torch.zeros(2, 4), torch.zeros(2)
    fresh, offset = fitted(given, classes, weight, bias, smooth=0.0, pull=pull)
    right = ((given @ fresh.T + offset).argmax(1) == classes).float().mean()
    assert (float(fresh.norm()) > 0.1) == moved
    assert (float(right) > 0.95) == moved


def test_only_the_last_layer_changes(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(EARS)
    recipe = recipe_classify.read(tmp_path / "recipe.yaml")
    torch.manual_seed(0)
    old = build(recipe).state_dict()
    torch.save({"ema": old}, tmp_path / "old.pt")
    found = refit(recipe, tmp_path / "old.pt", tmp_path / "new.pt", batches=12, pull=1e-3)
    new = torch.load(tmp_path / "new.pt", weights_only=True)["ema"]
    assert found["examples"] == 48
    assert found["after"] >= found["before"]
    assert {name for name in old if not torch.equal(old[name], new[name])} == {"classify.weight", "classify.bias"}
