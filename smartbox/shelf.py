"""The sealed models that are installed on this box: one runs, the one before it waits for a rollback.

    models/NAME/12-1f2e3d4c.sealed     releases, never written to again
    models/NAME/installed.json         which of them is current, and which was before
    models/.lock                       held by who changes any of this
    releases.json                      the highest release of every model that this box has seen

Every step ends in a rename: whatever is cut off, the release that was current before is still current.
"""

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from smartbox.bundle import MANIFEST, Bundle
from smartbox.clock import REAL_TIME
from smartbox.durable import hand_over, make_directory, sync_directory, write_durably
from smartbox.errors import ConfigError, StorageError
from smartbox.keyring import Keyring
from smartbox.keys import SealError
from smartbox.release import SUFFIX, open_bundle
from smartbox.settings import Settings

log = logging.getLogger(__name__)

POINTER = "installed.json"
MARKS = "releases.json"
_LOCK, _INCOMING = ".lock", ".incoming"


Unfit = Callable[[Bundle], str | None]
"""Why a release that opens is to be passed over all the same; None: it is not."""


class Entry(Settings):
    """One release: its file, and what it was when it was installed."""

    file: str
    version: str
    release_seq: int
    sha256: str
    """Of its manifest."""


class Slot(Settings):
    """What is installed of one model."""

    current: Entry
    previous: Entry | None = None


class Mark(Settings):
    """The highest release that was ever installed or run here, and its manifest's sum: no number is used twice."""

    release_seq: int
    sha256: str


_MARKS = TypeAdapter(dict[str, Mark])


@dataclass(frozen=True)
class Shelf:
    """The installed models below a state directory."""

    state_dir: Path
    keyring: Keyring

    @property
    def root(self) -> Path:
        return self.state_dir / "models"

    def names(self) -> list[str]:
        """Models that have a slot."""
        return sorted(pointer.parent.name for pointer in self.root.glob(f"*/{POINTER}"))

    def slot(self, name: str) -> Slot | None:
        """None when nothing is installed under this name, or the pointer cannot be read."""
        try:
            return Slot.model_validate_json((self.root / name / POINTER).read_bytes())
        except (OSError, ValidationError):
            return None

    def open(self, name: str, unfit: Unfit | None = None) -> tuple[Bundle | None, list[str]]:
        """The current release, else the one before; and why what was passed over is refused."""
        refused: list[str] = []
        for entry in self._candidates(name):
            try:
                bundle = self._open(name, entry)
            except (SealError, ConfigError) as error:
                refused.append(" ".join(str(error).split()))
                continue
            if unfit and (why := unfit(bundle)):
                refused.append(why)
            else:
                return bundle, refused
        return None, refused or [f"{self.root / name / POINTER} is damaged, and no release lies beside it"]

    def _candidates(self, name: str) -> Iterator[Entry]:
        slot = self.slot(name)
        if slot is not None:
            yield slot.current
            if slot.previous is not None:
                yield slot.previous
            return
        # The pointer is damaged: what lies there, the newest first.
        files = sorted((self.root / name).glob(f"[0-9]*{SUFFIX}"), key=_number, reverse=True)
        yield from (Entry(file=path.name, version="", release_seq=_number(path), sha256="") for path in files)

    def _open(self, name: str, entry: Entry) -> Bundle:
        bundle = open_bundle(self.root / name / entry.file, self.keyring)
        if bundle.name != name or (entry.sha256 and bundle.sha256 != entry.sha256):
            raise SealError(f"{bundle.path} is {bundle.name} {bundle.manifest.version}, not what was installed there")
        return bundle

    def offered(self, path: Path, utc: float) -> Bundle:
        """A sealed file that may be installed, or run from where it lies. SealError says why not."""
        bundle = open_bundle(path, self.keyring)
        release = bundle.manifest.release
        assert release is not None  # open_bundle takes no manifest without a signature
        _check_time(path, release.not_after, utc)
        mark = self._mark(bundle.name)
        if mark is None:
            return bundle
        if release.release_seq < mark.release_seq:
            raise SealError(
                f"{path} is release {release.release_seq} of {bundle.name}; this box has seen {mark.release_seq} and "
                "takes nothing older (to go back one release: smartbox models rollback)"
            )
        if release.release_seq == mark.release_seq and bundle.sha256 != mark.sha256:
            raise SealError(
                f"{path} is release {release.release_seq} of {bundle.name}, which this box has seen with other "
                "content; a new release needs a new number"
            )
        return bundle

    def install(
        self,
        path: Path,
        utc: float,
        unfit: Unfit | None = None,
        check: Callable[[Bundle], None] = lambda _: None,
    ) -> Bundle:
        """Check a sealed file, copy it, make it current. SealError when it is refused: nothing has changed then.

        unfit: which of those that are installed does not run, though it opens; what runs is kept for a rollback.
        check: raises when the new one should not become current.
        """
        name = self.offered(path, utc).name
        directory = self.root / name
        if (directory / MANIFEST).exists():
            raise SealError(f"{directory} is a plain bundle of that name; move it away first")
        try:
            with self._locked():
                make_directory(directory)
                with _incoming(directory) as copy:
                    _copy(path, copy)
                    # What was copied is checked, not what it was copied from: that may have changed, and disks err.
                    bundle = self.offered(copy, utc)
                    check(bundle)
                    entry = _entry(bundle)
                    copy.replace(directory / entry.file)
                sync_directory(directory)
                self._raise_mark(name, entry)
                self._point(name, Slot(current=entry, previous=self._kept(name, entry.file, unfit)))
                return self._open(name, entry)
        except OSError as error:
            raise StorageError(f"{directory}: {error.strerror}; nothing was installed") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One at a time changes what is installed, of all processes. OSError."""
        make_directory(self.state_dir, mode=0o700)
        make_directory(self.root)
        with (self.root / _LOCK).open("a") as file:
            hand_over(file.fileno(), self.root)
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def ran(self, bundle: Bundle) -> None:
        """It runs, wherever it lies: nothing older from now on. A disk that refuses to note it keeps no box from it."""
        release = bundle.manifest.release
        if bundle.sealed is None or release is None or self._seen(bundle.name) >= release.release_seq:
            return
        try:
            with self._locked():
                if self._seen(bundle.name) < release.release_seq:
                    self._raise_mark(bundle.name, _entry(bundle))
        except (OSError, StorageError) as error:
            log.error("that release %d of %s ran is not noted: %s", release.release_seq, bundle.name, error)

    def _seen(self, name: str) -> int:
        mark = self._mark(name)
        return mark.release_seq if mark else -1

    def _kept(self, name: str, but: str, unfit: Unfit | None) -> Entry | None:
        """What runs beside the file `but`; where nothing does, what was current."""
        others = [entry for entry in self._candidates(name) if entry.file != but]
        for entry in others:
            with contextlib.suppress(SealError, ConfigError):
                bundle = self._open(name, entry)
                if unfit is None or unfit(bundle) is None:
                    return _entry(bundle)
        return others[0] if others else None

    def rollback(self, name: str, elsewhere: Callable[[], Bundle | None] = lambda: None) -> Bundle:
        """Make the one before current. SealError when there is none, or it may not run: nothing has changed then.

        elsewhere: opens what runs when none is installed; where none was installed before, that one is gone back to.
        """
        try:
            with self._locked():
                return self._rolled_back(name, elsewhere)
        except OSError as error:
            raise StorageError(f"{self.root / name}: {error.strerror}") from error

    def _rolled_back(self, name: str, elsewhere: Callable[[], Bundle | None]) -> Bundle:
        slot = self.slot(name)
        if slot is None:
            installed = ", ".join(self.names()) or "none"
            raise SealError(f"no sealed release of {name!r} is installed; installed are {installed}")
        if slot.previous is not None:
            bundle = self._open(name, slot.previous)
            self._point(name, Slot(current=slot.previous))
            return bundle
        other = elsewhere()
        if other is None:
            raise SealError(f"{name} {slot.current.version} is the first that was installed; there is none before it")
        (self.root / name / POINTER).unlink()
        sync_directory(self.root / name)
        return other

    def _point(self, name: str, slot: Slot) -> None:
        directory = self.root / name
        write_durably(directory / POINTER, slot.model_dump_json(exclude_none=True).encode(), mode=0o644)
        used = {entry.file for entry in (slot.current, slot.previous) if entry}
        for path in directory.glob(f"*{SUFFIX}"):
            if path.name not in used:
                with contextlib.suppress(OSError):
                    path.unlink()

    def _marks(self) -> dict[str, Mark]:
        try:
            return _MARKS.validate_json((self.state_dir / MARKS).read_bytes())
        except (OSError, ValidationError):
            return {}

    def _mark(self, name: str) -> Mark | None:
        """From the file, and from what is installed: one of the two may have been damaged."""
        slot, marks = self.slot(name), self._marks()
        known = [Mark(release_seq=e.release_seq, sha256=e.sha256) for e in ([slot.current] if slot else [])]
        known += [marks[name]] if name in marks else []
        return max(known, key=lambda mark: mark.release_seq, default=None)

    def _raise_mark(self, name: str, entry: Entry) -> None:
        mark = Mark(release_seq=entry.release_seq, sha256=entry.sha256)
        content = _MARKS.dump_json(self._marks() | {name: mark})
        write_durably(self.state_dir / MARKS, content, mode=0o644)


def _entry(bundle: Bundle) -> Entry:
    seq = bundle.manifest.release.release_seq if bundle.manifest.release else 0
    file = f"{seq}-{bundle.sha256[:8]}{SUFFIX}"
    return Entry(file=file, version=bundle.manifest.version, release_seq=seq, sha256=bundle.sha256)


def _number(path: Path) -> int:
    digits = path.name.partition("-")[0]
    return int(digits) if digits.isdecimal() else 0


def _check_time(path: Path, not_after: str | None, utc: float) -> None:
    if not_after is None:
        return
    try:
        limit = datetime.fromisoformat(not_after)
    except ValueError:
        raise SealError(f"{path}: not_after {not_after!r} is no time; it is written as 2027-11-24T00:00:00Z") from None
    limit = limit if limit.tzinfo else limit.replace(tzinfo=UTC)
    if utc < REAL_TIME:
        raise SealError(f"{path} is valid until {not_after}, but this box's clock was never set; set it first")
    if utc > limit.timestamp():
        raise SealError(f"{path} has expired: not to be installed after {not_after}")


@contextlib.contextmanager
def _incoming(directory: Path) -> Iterator[Path]:
    """A name of its own for what is copied there; what was left behind by one that was cut off goes."""
    for left in directory.glob(f"{_INCOMING}*"):
        left.unlink(missing_ok=True)
    path = directory / f"{_INCOMING}-{secrets.token_hex(8)}"
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, 1 << 20)
        write.flush()
        hand_over(write.fileno(), target.parent)
        os.fsync(write.fileno())
