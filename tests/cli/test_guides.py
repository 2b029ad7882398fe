"""What the guides show as configuration has no key and no type that the box does not know."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from smartbox import config
from smartbox.errors import ConfigError
from tests.conftest import ROOT

BOX: dict[str, Any] = {"version": 1, "box": {"site": "a", "id": "b"}, "mqtt": {"url": "mqtts://broker.example"}}
SECTIONS = {field.name for field in dataclasses.fields(config.Config)} - {"path", "kinds", "secrets", "where"}


class Loader(yaml.SafeLoader):
    """Secrets are text."""


Loader.add_constructor("!secret", lambda _, node: str(node.value))


def shown() -> list[Any]:
    """The blocks of all guides that are parts of a configuration."""
    found = []
    for path in sorted((ROOT / "docs" / "guide").glob("*.md")):
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)):
            block = yaml.load(text, Loader)
            if isinstance(block, dict) and block.keys() <= SECTIONS:
                found.append(pytest.param(block, id=f"{path.stem}-{number}"))
    return found


def problems(path: Path) -> str:
    try:
        config.load(path)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("block", shown())
def test_a_guide_shows_what_is_known(block: dict[str, Any], tmp_path: Path) -> None:
    """Names that stand elsewhere in a guide, and secrets, are missing here; misspelt keys would be told beside them."""
    whole = {key: {**part, **block.get(key, {})} if isinstance(part, dict) else part for key, part in BOX.items()}
    path = tmp_path / "smartbox.yaml"
    path.write_text(yaml.safe_dump(block | whole, sort_keys=False))
    wrong = [line for line in problems(path).splitlines() if re.search("not a known (key|type)", line)]
    assert not wrong


def test_most_guides_show_something() -> None:
    assert len(shown()) >= 12
