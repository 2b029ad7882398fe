"""Where the model that a configuration names is found: sealed or plain, installed or shipped."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smartbox import bundle as bundles
from smartbox.bundle import MANIFEST, Bundle
from smartbox.errors import ConfigError
from smartbox.keys import SealError
from smartbox.release import SUFFIX
from smartbox.sealed import is_sealed
from smartbox.shelf import POINTER, Shelf, Unfit
from smartbox.trials import DEATHS


@dataclass(frozen=True)
class Library:
    """The places that are searched, in order; one of them is the shelf's."""

    places: tuple[Path, ...]
    shelf: Shelf
    utc: Callable[[], float] = time.time
    killed: Callable[[str], bool] = lambda _: False
    """Whether the process died again and again with a bundle, `name sha256[:8]`."""

    def find(self, name_or_path: str, sealed_only: bool = False) -> tuple[Bundle, list[str]]:
        """The bundle, and why others of that name were passed over. ConfigError when there is none that may run.

        An installed release that kills the process gives way to what was there before, where there is such a thing.
        """
        if "/" in name_or_path or name_or_path.startswith("."):
            return self._at(bundles.at(name_or_path), sealed_only), []
        refused: list[str] = []
        for unfit in (self._deadly, None):
            refused = []
            for place in self.places:
                found, reasons = self._in(place, name_or_path, sealed_only, unfit)
                refused += reasons
                if found is not None:
                    return found, refused
        if refused:
            raise ConfigError("; ".join(refused))
        return bundles.find(name_or_path, self.places), []  # says what there is instead

    def install(self, path: Path, check: Callable[[Bundle], None] = lambda _: None) -> Bundle:
        """Make a sealed file the current release; what ran until now is kept for a rollback. SealError says why not.

        check: raises when it should not become current; nothing has changed then.
        """
        return self.shelf.install(path, self.utc(), self._deadly, check)

    def rollback(self, name: str, sealed_only: bool = False) -> Bundle:
        """Make the release before current, or what lies here beside installed ones. SealError says why not."""
        return self.shelf.rollback(name, lambda: self._elsewhere(name, sealed_only))

    def _elsewhere(self, name: str, sealed_only: bool) -> Bundle | None:
        """What would be found if none were installed; None: nothing. SealError when nothing of it may run."""
        refused: list[str] = []
        for place in self.places:
            found, reasons = self._lying(place, name, sealed_only)
            if found is not None:
                return found
            refused += reasons
        if refused:
            raise SealError(f"there is nothing to go back to: {'; '.join(dict.fromkeys(refused))}")
        return None

    def _at(self, path: Path, sealed_only: bool) -> Bundle:
        if path.is_file() and is_sealed(path):
            try:
                return self.shelf.offered(path, self.utc())
            except SealError as error:
                raise ConfigError(str(error)) from error
        if sealed_only and (path / MANIFEST).exists():
            raise ConfigError(_plain(path))
        return Bundle.open(path)

    def _deadly(self, bundle: Bundle) -> str | None:
        if not self.killed(f"{bundle.name} {bundle.sha256[:8]}"):
            return None
        version = bundle.manifest.version
        return f"{bundle.name} {version} in {bundle.path}: the whole process died {DEATHS} times in a row with it"

    def _in(self, place: Path, name: str, sealed_only: bool, unfit: Unfit | None) -> tuple[Bundle | None, list[str]]:
        if place == self.shelf.root and (place / name / POINTER).exists():
            return self.shelf.open(name, unfit)
        return self._lying(place, name, sealed_only)

    def _lying(self, place: Path, name: str, sealed_only: bool) -> tuple[Bundle | None, list[str]]:
        """What was not installed, but lies there."""
        if (place / f"{name}{SUFFIX}").is_file():
            try:
                return self._at(place / f"{name}{SUFFIX}", sealed_only), []
            except ConfigError as error:
                return None, [" ".join(str(error).split())]
        if (place / name / MANIFEST).is_file():
            return (None, [_plain(place / name)]) if sealed_only else (Bundle.open(place / name), [])
        return None, []


def _plain(path: Path) -> str:
    return f"{path} is a plain bundle, and only a sealed one is wanted (`sealed: true`)"
