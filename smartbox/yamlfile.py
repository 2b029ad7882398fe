"""One YAML file -> plain values, with `!secret`, `!include`, and the line that each key stands on."""

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from smartbox.errors import ConfigError, Problem

MAX_BYTES = 1_000_000


@dataclass
class Document:
    """The values of a file, the line of each key's path, and what was wrong already while reading."""

    path: Path
    values: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)

    def where(self, path: str) -> str:
        """`file:line` of a key's path, or of its nearest parent that stands in the file."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        line = self.lines.get(path)
        return f"{self.path}:{line}" if line else str(self.path)


def read(path: Path) -> Document:
    """Read a YAML file; ConfigError when it cannot be read or is no YAML mapping."""
    document = Document(path)
    node = _compose(path)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}: must be a mapping of keys such as `box:` and `sources:`, see smartbox.example.yaml")
    document.values = _Reader(document).value(node, "")
    return document


def _compose(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; a configuration is a few kilobytes")
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the configuration with -c FILE") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, a YAML file is needed") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{at}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None


class _Reader:
    def __init__(self, document: Document, depth: int = 0) -> None:
        self._document = document
        self._depth = depth
        self._scalars = yaml.SafeLoader("")

    def value(self, node: yaml.Node, path: str) -> Any:
        if path not in self._document.lines:
            self._document.lines[path] = node.start_mark.line + 1
        if path.count(".") > 20:
            self._wrong(path, "nested too deeply")
            return None
        if node.tag == "!secret":
            return self._secret(node, path)
        if node.tag == "!include":
            return self._include(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}.{i}") for i, item in enumerate(node.value)]
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self._wrong(path, f"{node.value!r} is not understood: {getattr(error, 'problem', error)}")
            return None

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._scalars.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, Hashable) or key is None:
                self._wrong(path, "has a key that is no plain word")
                continue
            key = str(key)
            below = f"{path}.{key}" if path else key
            if key in result:
                self._wrong(below, f"stands twice; the second time on line {key_node.start_mark.line + 1}")
            self._document.lines.setdefault(below, key_node.start_mark.line + 1)
            result[key] = self.value(value_node, below)
        return result

    def _secret(self, node: yaml.Node, path: str) -> str | None:
        name = str(node.value)
        try:
            text = find_secret(name, self._document.path.parent)
        except ConfigError as error:
            self._wrong(path, str(error))
            return None
        self._document.secrets.add(text)
        return text

    def _include(self, node: yaml.Node, path: str) -> Any:
        folder = self._document.path.parent.resolve()
        target = (folder / str(node.value)).resolve()
        if not target.suffix:
            target = target.with_suffix(".yaml")
        if not target.is_relative_to(folder) or self._depth > 4:
            self._wrong(path, f"!include {node.value}: must be a file beside the configuration, at most 4 deep")
            return None
        try:
            included = _compose(target)
        except ConfigError as error:
            self._wrong(path, f"!include {node.value}: {error}")
            return None
        return None if included is None else _Reader(self._document, self._depth + 1).value(included, path)

    def _wrong(self, path: str, message: str) -> None:
        self._document.problems.append(Problem(path, message))


def find_secret(name: str, folder: Path) -> str:
    """The secret `name`: a systemd credential, else `secrets/NAME` or a key of `secrets.yaml` in `folder`."""
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f"!secret {name!r}: a secret's name has no slash")
    places = [folder / "secrets" / name]
    if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
        places[:0] = [Path(credentials) / name, Path(credentials) / f"smartbox_{name}"]  # alone, or of the directory
    for place in places:
        try:
            return place.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"!secret {name}: {place} cannot be read: {why}") from error
    return _secret_of_file(name, folder / "secrets.yaml", places)


def _secret_of_file(name: str, file: Path, places: list[Path]) -> str:
    node = _compose(file) if file.exists() else None
    values = yaml.SafeLoader("").construct_document(node) if isinstance(node, yaml.MappingNode) else {}
    if name not in values:
        tried = ", ".join(map(str, [*places, file]))
        raise ConfigError(f"!secret {name}: found in none of {tried}")
    return str(values[name])
