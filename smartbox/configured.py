"""The configuration that is in force: that of the file, with what the cloud wants laid over it."""

import logging
from collections.abc import Sequence
from pathlib import Path

from smartbox import config as configuration
from smartbox.build import parts
from smartbox.cloud.desired import Desired, Sections
from smartbox.config import Config
from smartbox.errors import ConfigError, StorageError
from smartbox.supervise import chain

log = logging.getLogger(__name__)


def load(path: Path) -> tuple[Config, Desired]:
    """For a start of the box: a configuration on trial counts this one. ConfigError when the file itself is bad.

    What comes from above and does not fit any more (the file beside it changed, a bundle is gone) is left out and
    reported; the box always starts.
    """
    base = configuration.load(path)
    desired = Desired(base.box.state_dir)
    desired.load()
    if not base.cloud.keys:
        desired.ignore()
        return base, desired
    while True:
        try:
            wanted = desired.begin()
        except StorageError as error:
            log.error("%s; a configuration on trial has to wait", chain(error))
            wanted = desired.state.active
        if wanted is None:
            return base, desired
        try:
            config = configuration.load(path, above=wanted.sections)
            parts(config)
        except ConfigError as error:
            was_trial = desired.state.trial is not None
            log.error("configuration version %d from the cloud does not fit: %s", wanted.version, error)
            if not _given_up(desired, problems_of(error)) or not was_trial:
                return base, desired
        else:
            log.info("configuration version %d from the cloud lies over %s", wanted.version, path)
            return config, desired


def in_force(desired: Desired | None) -> Sections:
    """What lies over the file now."""
    wanted = desired and (desired.state.trial or desired.state.active)
    return wanted.sections if wanted else {}


def check(path: Path, sections: Sections) -> Sequence[tuple[str, str]]:
    """What would be wrong with these sections laid over the file: (key's path, message)."""
    try:
        parts(configuration.load(path, above=sections))
    except ConfigError as error:
        return problems_of(error)
    return ()


def problems_of(error: ConfigError) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in error.problems]


def _given_up(desired: Desired, problems: Sequence[tuple[str, str]]) -> bool:
    try:
        desired.unusable(problems)
    except StorageError as error:
        log.error("%s", chain(error))
        return False
    return True
