"""One YAML file -> plain values, with `!secret`, `!include`, and the line that each key stands on."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from smartbox.errors import ConfigError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 20
MAX_VALUES = 100_000  # aliases of aliases would otherwise grow without end

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")  # with a colon to base 60, which nobody means

# What PyYAML says -> what an installer may do about it.
_HINTS = {
    "'\\t'": "; indent with spaces, not with tabs",
    "mapping values are not allowed": "; is this line indented like its neighbours? Text with a colon needs quotes",
    "expected <block end>": "; is this line indented like its neighbours?",
    "could not find expected ':'": "; is a colon missing here, or a quote above?",
    "undefined alias": "; text that begins with * needs quotes",
    "expected ',' or": "; a comma or a closing bracket is missing here or above",
}


@dataclass
class Document:
    """The values of a file, the line of each key's path, and what was wrong already while reading."""

    path: Path
    values: Any = None
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    switches: dict[str, str] = field(default_factory=dict)
    """Of the paths where YAML took `yes`, `NO`, `on` … for true or false: `NO for false`."""
    count: int = 0
    above: frozenset[str] = frozenset()
    """Sections that were laid over those of the file."""

    def where(self, path: str) -> str:
        if path.partition(".")[0] in self.above:
            return "from the cloud"
        return where(self.path, self.lines, path)

    def lay_over(self, sections: Mapping[str, Any]) -> None:
        """Let plain values take the place of whole sections; the text `!secret name` is one."""
        self.above = frozenset(sections)
        self.switches = {path: said for path, said in self.switches.items() if path.partition(".")[0] not in sections}
        self.values |= {name: self._resolved(value, name) for name, value in sections.items()}

    def _resolved(self, value: Any, path: str) -> Any:
        self.count += 1
        if path.count(".") > MAX_DEPTH or self.count > MAX_VALUES:
            self.problems.append(Problem(path, f"is nested more than {MAX_DEPTH} deep, or there are too many values"))
            return None
        if isinstance(value, dict):
            return {key: self._resolved(inner, f"{path}.{key}") for key, inner in value.items()}
        if isinstance(value, list):
            return [self._resolved(inner, f"{path}.{i}") for i, inner in enumerate(value)]
        if not isinstance(value, str) or not value.startswith("!secret "):
            return value
        try:
            text = find_secret(value.removeprefix("!secret ").strip(), self.path.parent)
        except ConfigError as error:
            self.problems.append(Problem(path, str(error)))
            return None
        self.secrets.add(text)
        return text


def where(file: Path, lines: Mapping[str, int], path: str) -> str:
    """`file:line` of a key's path, or of its nearest parent that stands in the file."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    line = lines.get(path)
    return f"{file}:{line}" if line else str(file)


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
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise ConfigError(f"{path}: is a device or a pipe, a YAML file is needed")  # reading it might never end
        if status.st_size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; a configuration is a few kilobytes")
        text = path.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, a YAML file is needed") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error)
        hint = next((text for words, text in _HINTS.items() if words in problem), "")
        raise ConfigError(f"{path}{at}: not valid YAML: {problem}{hint}") from error
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
        self._document.count += 1
        if self._document.count > MAX_VALUES:
            raise ConfigError(f"{self._document.path}: holds more than {MAX_VALUES} values; do its aliases grow?")
        if path.count(".") > MAX_DEPTH:
            self._wrong(path, f"is nested more than {MAX_DEPTH} deep")
            return None
        if node.tag.startswith("!"):
            return self._tagged(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, f"{path}.{i}") for i, item in enumerate(node.value)]
        if ":" in node.value and node.tag in _NUMBERS:
            return node.value
        try:
            made = self._scalars.construct_object(node)
            if isinstance(made, bool) and node.value.lower() not in ("true", "false"):
                self._document.switches[path] = f"{node.value} for {str(made).lower()}"
            return made
        except (yaml.YAMLError, ValueError) as error:
            self._wrong(path, f"{node.value[:80]!r} is not understood: {getattr(error, 'problem', error)}")
            return None

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value  # as it is written: `on`, `17` and dates too
            if not isinstance(key_node, yaml.ScalarNode) or not key:
                line = key_node.start_mark.line + 1
                self._wrong(path, f"has a key that is no plain word, on line {line}; text with a bracket needs quotes")
                continue
            below = f"{path}.{key}" if path else key
            if key in result:
                self._wrong(below, f"stands twice; the second time on line {key_node.start_mark.line + 1}")
            self._document.lines.setdefault(below, key_node.start_mark.line + 1)
            result[key] = self.value(value_node, below)
        return result

    def _tagged(self, node: yaml.Node, path: str) -> Any:
        known = {"!secret": self._secret, "!include": self._include}
        if node.tag not in known:
            self._wrong(path, f"{node.tag} is not a known tag; known are {' and '.join(known)}")
        elif not isinstance(node, yaml.ScalarNode) or not node.value:
            self._wrong(path, f"write it as `{node.tag} name`")
        else:
            return known[node.tag](node, path)
        return None

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
        target = folder / str(node.value)
        target = (target if target.suffix else target.parent / f"{target.name}.yaml").resolve()  # links followed
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
            text = place.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            if isinstance(error, PermissionError):
                why += "; run this as root, or hand it over as a systemd credential"
            raise ConfigError(f"!secret {name}: {place} cannot be read: {why}") from error
        if not text:
            raise ConfigError(f"!secret {name}: {place} is empty")
        return text
    return _secret_of_file(name, folder / "secrets.yaml", places)


def _secret_of_file(name: str, file: Path, places: list[Path]) -> str:
    """The text as it is written there: a password of digits keeps its zeros."""
    node = _compose(file) if file.exists() else None
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == name:
            if not isinstance(value, yaml.ScalarNode) or not value.value:
                raise ConfigError(f"!secret {name}: {file} has no text for it; write `{name}: the-secret`")
            return str(value.value).strip()
    tried = ", ".join(map(str, [*places, file]))
    raise ConfigError(f"!secret {name}: found in none of {tried}; write it into one of them")
