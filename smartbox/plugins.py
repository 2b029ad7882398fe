"""Type name -> settings class, strict and lazy: only the configured plugin is imported.

A family is a package (`smartbox.sources`, `.backends`, `.decoders`, `.rules`); a member is one module in it that
defines `Plugin`, a frozen settings model. Third parties register modules through entry points of the same name.
"""

import importlib
import logging
import pkgutil
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, Literal

from smartbox.errors import ConfigError, Problem

log = logging.getLogger(__name__)

Family = Literal["sources", "backends", "decoders", "rules", "outputs"]


def names(family: Family) -> list[str]:
    """Every known type of a family, without importing any of them."""
    package = importlib.import_module(f"smartbox.{family}")
    own = [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]
    return sorted({*own, *(e.name for e in entry_points(group=f"smartbox.{family}"))})


def load(family: Family, name: str, path: str = "") -> type[Any]:
    """The settings class of `name`; ConfigError at `path` lists the known types, or says why it does not load."""
    known = names(family)
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError([Problem(path, f"{name!r} is not a known type; {hint}known are {', '.join(known)}")])
    try:
        return _plugin(family, name)
    except (ImportError, SyntaxError, AttributeError) as e:
        hint = "install what it needs, or leave it out"
        raise ConfigError([Problem(path, f"{name!r} cannot be loaded: {e}; {hint}")]) from e


def members(family: Family) -> dict[str, type[Any]]:
    """All of a family; one that does not load is left out and logged: whoever only looks need not have it."""
    found = {}
    for name in names(family):
        try:
            found[name] = load(family, name, f"smartbox.{family}")
        except ConfigError as error:
            log.warning("left out: %s", error)
    return found


def _plugin(family: Family, name: str) -> type[Any]:
    entry = next((e for e in entry_points(group=f"smartbox.{family}") if e.name == name), None)
    module = entry.load() if entry else importlib.import_module(f"smartbox.{family}.{name}")
    cls: type[Any] = module if isinstance(module, type) else module.Plugin
    return cls
