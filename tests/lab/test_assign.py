"""Which cell answers for which object, and what the loss is silent about."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smartbox.lab.assign import Targets, assign, cells, decode, giou, losses, silence

SIZE = 128
WHERE = cells((SIZE, SIZE), (8, 16, 32, 64))


def objects(count: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, SIZE - 30, (count, 2)), rng.uniform(8, 30, (count, 2))
    return torch.tensor(np.concatenate([corner, corner + side], 1), dtype=torch.float32)


def guesses(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.randn(len(WHERE.stride), 3), decode(torch.rand(len(WHERE.stride), 4) * 2, WHERE)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 12), seed=st.integers(0, 99))
def test_every_answer_lies_at_its_object_and_quality_is_its_overlap(count: int, seed: int) -> None:
    boxes, things = guesses(seed)[1], objects(count, seed)
    answer, quality = assign(guesses(seed)[0], boxes, WHERE, things, torch.zeros(count, dtype=torch.long))
    for cell in (answer >= 0).nonzero()[:, 0]:
        thing, (x, y) = things[answer[cell]], WHERE.centre[cell]
        middle = (thing[:2] + thing[2:]) / 2
        inside = thing[0] < x < thing[2] and thing[1] < y < thing[3]
        assert inside or (WHERE.centre[cell] - middle).norm() < WHERE.stride[cell]
    assert ((quality >= 0) & (quality <= 1.0001)).all()
    assert (quality[answer < 0] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99))
def test_a_lone_object_always_gets_a_cell(seed: int) -> None:
    answer, _ = assign(*guesses(seed), WHERE, objects(1, seed), torch.zeros(1, dtype=torch.long))
    assert (answer == 0).any()


def test_a_picture_without_objects_is_all_background() -> None:
    answer, quality = assign(*guesses(0), WHERE, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert (answer == -1).all()
    assert (quality == 0).all()


def test_decode_measures_from_the_middle_of_the_cell() -> None:
    box = decode(torch.ones(len(WHERE.stride), 4), WHERE)
    assert box[0].tolist() == [-4.0, -4.0, 12.0, 12.0]
    assert box[-1].tolist() == [32.0, 32.0, 160.0, 160.0]


def test_giou_is_one_for_equal_boxes_and_negative_for_distant_ones() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [90, 90, 100, 100]])
    assert giou(a, b)[0] == pytest.approx(1.0)
    assert giou(a, b)[1] < -0.9


def test_an_ignore_box_silences_only_its_class_and_minus_one_silences_all() -> None:
    target = Targets(
        torch.zeros(0, 4),
        torch.zeros(0, dtype=torch.long),
        torch.tensor([[0.0, 0, 64, 128], [64, 0, 128, 64]]),
        torch.tensor([1, -1]),
    )
    weight = silence(WHERE, 3, target)
    for (x, y), row in zip(WHERE.centre.tolist(), weight.tolist(), strict=True):
        if x < 64:
            assert row == [1, 0, 1]
        elif y < 64 and x > 64:
            assert row == [0, 0, 0]
        elif x > 64 and y > 64:
            assert row == [1, 1, 1]


def test_false_boxes_in_an_ignored_place_cost_nothing() -> None:
    a = len(WHERE.stride)
    sure = torch.full((1, a, 2), 3.0)
    flat = torch.ones(1, a, 4)
    nothing = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    everywhere = Targets(*nothing, torch.tensor([[0.0, 0, SIZE, SIZE]]), torch.tensor([-1]))
    nowhere = Targets(*nothing, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    assert losses(sure, flat, flat, WHERE, [everywhere]).total.item() == 0.0
    assert losses(sure, flat, flat, WHERE, [nowhere]).total.item() > 1.0


def test_only_boxes_that_miss_cost_anything() -> None:
    thing = torch.tensor([[24.0, 24, 72, 72]])
    target = Targets(thing, torch.tensor([0]), torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    reach = torch.cat([WHERE.centre - thing[0, :2], thing[0, 2:] - WHERE.centre], 1) / WHERE.stride[:, None]
    logits = torch.full((1, len(reach), 1), -6.0)
    good = losses(logits, reach[None], reach[None], WHERE, [target]).parts
    poor = losses(logits, reach[None] * 0.5, reach[None] * 0.5, WHERE, [target]).parts
    assert good["box"] == pytest.approx(0.0, abs=1e-5)
    assert poor["box"] > 0.2
