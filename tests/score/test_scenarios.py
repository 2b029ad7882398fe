"""The scored scenarios: a few played on scripted boxes, and what the list itself must keep to."""

from dataclasses import replace

import pytest

from benchmarks.score.pixels import pixels
from benchmarks.score.scenario import FIRST_SEED, Scenario, config_of, scenarios
from benchmarks.score.scripted import scripted
from smartbox.score import Truth, score
from smartbox.simulation.acts import ActError, perform
from smartbox.simulation.stages import SCENES

LISTED = {s.name: s for s in scenarios()}


@pytest.mark.parametrize("name", ["lane-day-1", "post-left-2", "lot-quiet", "gate-bag-1", "gate-tamper-1"])
def test_scripted_boxes_give_exactly_the_truth(name: str) -> None:
    scenario = LISTED[name]
    config = config_of(scenario.scene)
    truth = scenario.truth(config)
    told = [a.rule for a in truth]
    assert {rule: told.count(rule) for rule in told} == dict(scenario.due)
    due = [Truth(a.rule, "camera", a.subject, a.start_s, a.end_s, a.alarm_s) for a in truth]
    result = score(due, scripted(scenario, config, lambda time, found: None), lambda *_: 0.0)
    assert result.f1 == 1.0, result.table()


def test_seeds_are_their_own() -> None:
    seeds = [s.seed for s in LISTED.values()]
    assert len(set(seeds)) == len(seeds) and min(seeds) >= FIRST_SEED


@pytest.mark.parametrize("scenario", LISTED.values(), ids=LISTED)
def test_names_only_rules_and_acts_that_exist(scenario: Scenario) -> None:
    rules = config_of(scenario.scene).rules
    assert scenario.rule in rules and set(scenario.due) <= set(rules)
    scenario.shot()
    assert scenario.scene in SCENES and scenario.duration <= 180


@pytest.mark.parametrize(
    ("act", "problem"),
    [({"act": "flies"}, "lane knows stops"), ({"act": "stops", "at": 1, "stay": 2, "speed": 3}, "'speed' is none")],
)
def test_what_no_act_takes_is_named(act: dict[str, object], problem: str) -> None:
    with pytest.raises(ActError, match=problem):
        perform("lane", [act], 3_000_001, False)


@pytest.mark.slow
def test_a_bag_that_looks_like_a_car_when_enlarged_is_left_all_the_same() -> None:
    """Nobody at the gate asks about cars: what a crop shows of them is none of its business."""
    scenario = replace(LISTED["gate-bag-7"], duration=45.0)
    told = pixels(scenario, config_of("gate", None), lambda time, found: None)
    assert [a.rule for a in told].count("left-object") == 1
