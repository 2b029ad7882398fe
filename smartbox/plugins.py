"""Type name -> settings class, strict and lazy: only the configured plugin is imported.

A family is a package (`smartbox.sources`, `.backends`, `.decoders`, `.rules`); a member is one module in it that
defines `Plugin`, a frozen settings model. Third parties register modules through entry points of the same name.
"""

import importlib
import pkgutil
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Literal

from smartbox.errors import ConfigError, Problem

Family = Literal["sources", "backends", "decoders", "rules", "outputs"]


def names(family: Family) -> list[str]:
    """Every known type of a family, without importing any of them."""
    package = importlib.import_module(f"smartbox.{family}")
    own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
    return sorted({*own, *(e.name for e in entry_points(group=f"smartbox.{family}"))})


def load(family: Family, name: str, path: str = "") -> type[Any]:
    """The settings class of `name`; ConfigError at `path` lists the known types, or the missing package."""
    known = names(family)
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError([Problem(path, f"{name!r} is not a known type; {hint}known are {', '.join(known)}")])
    for entry in entry_points(group=f"smartbox.{family}"):
        if entry.name == name:
            return _plugin(entry.load())
    return _plugin(importlib.import_module(f"smartbox.{family}.{name}"))


def _plugin(module: Any) -> type[Any]:
    cls: type[Any] = module if isinstance(module, type) else module.Plugin
    return cls
