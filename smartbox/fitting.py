"""Whether a release would run on this box: tried before it is made current."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smartbox import bench, configured, plugins
from smartbox import config as configuration
from smartbox.bench import Measurement
from smartbox.build import parts
from smartbox.bundle import Bundle
from smartbox.cloud.desired import Sections
from smartbox.config import Config
from smartbox.errors import ConfigError, Problem
from smartbox.keys import SealError


def check(path: Path, sections: Sections, release: Bundle) -> Sequence[tuple[str, str]]:
    """As `configured.check`, were this release the current one: (key's path, message)."""
    try:
        _build(configuration.load(path, above=sections), release)
    except ConfigError as error:
        return configured.problems_of(error)
    return ()


def _build(config: Config, release: Bundle) -> None:
    place = str(release.path.absolute())
    models = {
        name: model.model_copy(update={"bundle": place}) if model.bundle == release.name else model
        for name, model in config.models.items()
    }
    parts(replace(config, models=models))


def _problems(config: Config, release: Bundle) -> Sequence[Problem]:
    try:
        _build(config, release)
    except ConfigError as error:
        return error.problems
    return ()


def misfits(config: Config, release: Bundle) -> Sequence[Problem]:
    """What the release makes wrong with the configuration; other things may be, say a model not installed yet."""
    others = {str(problem) for problem in _problems(config, replace(release, path=release.path / "nothing"))}
    return [problem for problem in _problems(config, release) if str(problem) not in others]


def tried(config: Config, release: Bundle) -> str:
    """Each model of that name opened and run once on the first of its backends that does: what was found.

    SealError when none of those that are installed runs it as its golden outputs say.
    """
    used = [name for name, model in config.models.items() if model.bundle == release.name]
    found = [_run(release, engines) for engines in ([*_engines(config, release, name)] for name in used)]
    return "; ".join(dict.fromkeys(found)) or "no model of the configuration is called so; it was not run"


def _engines(config: Config, release: Bundle, model: str) -> Iterator[tuple[str, Any, bool]]:
    """(name, settings, whether `auto` may take it) of what can be tried here; recorded answers are no engine."""
    for name, settings in config.backends(model):
        if name == "auto":
            yield from ((each, plugins.load("backends", each)(), True) for each in bench.candidates(release))
        elif name != "scripted" and settings.installed():
            yield name, settings, False


def _run(release: Bundle, engines: Sequence[tuple[str, Any, bool]]) -> str:
    if not engines:
        return "none of its backends is installed here; it was not run"
    reasons = []
    for name, settings, auto in engines:
        found = bench.measure(release, settings, name, runs=1)
        if found.agrees:
            return f"{name} runs it as its golden outputs say"
        if found.error is None and not auto and (found.caveat or found.max_abs_error is None):
            return f"{name} runs it; {found.caveat or 'it has no golden outputs to compare with'}"
        reasons.append(" ".join(found.error.split()) if found.error else f"{name}: {_off(found)}")
    raise SealError(f"{release.name} {release.manifest.version} does not run here: {'; '.join(dict.fromkeys(reasons))}")


def _off(found: Measurement) -> str:
    if found.max_abs_error is None:
        return "it has no golden outputs, and `auto` needs them"
    return f"off its golden outputs by {found.max_abs_error:.3g}, allowed {found.atol:.3g}"
