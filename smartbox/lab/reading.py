"""Recipes and plans from YAML: what cannot be read, and every bad key, is a ConfigError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from smartbox.errors import ConfigError, Problem


def load(path: Path) -> Any:
    """What the file says."""
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


@contextmanager
def checked() -> Iterator[None]:
    """Of what is validated inside it every bad key is named."""
    try:
        yield
    except ValidationError as error:
        wrong = [Problem(".".join(map(str, e["loc"])), f"{e['msg']}, got {e.get('input')!r}") for e in error.errors()]
        raise ConfigError(wrong) from error
