"""The guide's examples are what the rules accept."""

import re
from pathlib import Path

import yaml

from smartbox import plugins
from smartbox.rules._base import RuleSettings
from smartbox.types import Scene, Track
from tests.rules.script import LANE, SPOT

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "rules.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_example_has_a_rule_of_every_type() -> None:
    (text,) = blocks("yaml")
    rules = yaml.safe_load(text)["rules"].values()
    assert sorted(rule.pop("type") for rule in map(dict, rules)) == plugins.names("rules")
    for rule in rules:
        plugins.load("rules", rule["type"]).model_validate({k: v for k, v in rule.items() if k != "type"})


def test_the_rule_of_ones_own_works() -> None:
    (text,) = blocks("python")
    scope: dict[str, object] = {}
    imports = "from pydantic import Field\nfrom smartbox.settings import Duration\n"
    exec(imports + "from smartbox.rules._base import RuleSettings, track_match\n" + text, scope)
    cls = scope["Plugin"]
    assert isinstance(cls, type)
    assert issubclass(cls, RuleSettings)
    rule = cls.model_validate({"zones": ["lane"], "dwell": "90s"})
    bicycle = Track(1, "bicycle", SPOT, 0.9, 0, 0, 0, ((0.5, 0.7), (0.5, 0.7)))
    assert [m.subject for m in rule.matches(Scene("east", 1, 1, (bicycle,)), [LANE], frozenset())] == ["track:1"]
    assert rule.alarm_after("track:1") == 90
