"""Recipes and plans from YAML: what cannot be read, and every bad key, is a ConfigError."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from smartbox.bundle import problems
from smartbox.errors import ConfigError, Problem

WANTED = "a recipe, as models/ and benchmarks/compare/ hold them"


def load(path: Path) -> dict[str, Any]:
    """The keys of the file."""
    if not path.is_file():
        raise ConfigError(f"{path}: {'is no file' if path.exists() else 'there is no such file'}; give {WANTED}")
    try:
        said = yaml.load(path.read_text(encoding="utf-8"), _Once)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give {WANTED}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise ConfigError(f"{path}: holds no keys, but {str(said)[:40]!r}; give {WANTED}")
    return said


class _Once(yaml.SafeLoader):
    """A key that stands twice in one place is an error; plain YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for i, (key, _) in enumerate(node.value):
            if key.value in keys[:i]:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} stands twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


@contextmanager
def checked(path: Path) -> Iterator[None]:
    """Of what is validated inside it every bad key is named, with the file."""
    try:
        yield
    except ValidationError as error:
        raise ConfigError(problems(error, str(path))) from error
    except ConfigError as error:
        raise ConfigError(
            [Problem(f"{path}: {p.path}" if p.path else str(path), p.message) for p in error.problems]
        ) from error
