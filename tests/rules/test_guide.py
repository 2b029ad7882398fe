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


def test_every_rule_has_its_example_and_says_what_it_will_not_see() -> None:
    sections = re.split(r"^### ", GUIDE.split("## Settings that all rules have")[0], flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections] == re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)[:12]
    assert sorted(section.splitlines()[0] for section in sections) == plugins.names("rules")
    assert all("**Will not " in section for section in sections)


def test_the_examples_are_accepted() -> None:
    first, *others = [yaml.safe_load(text) for text in blocks("yaml")]
    rules = [*first["rules"].values(), *(rule for block in others for rule in block.values())]
    assert {rule["type"] for rule in rules} == set(plugins.names("rules"))
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
