"""What this box opens sealed things with, and whose signature it believes."""

import stat
from dataclasses import dataclass, field
from pathlib import Path

from smartbox.durable import make_directory
from smartbox.errors import StorageError
from smartbox.keys import OpeningKey, PublicKey, SealError, new_key, read_key, write_key


@dataclass(frozen=True)
class Keyring:
    """The box's own key is read, or made, when it is first asked for."""

    state_dir: Path
    publishers: tuple[PublicKey, ...] = ()
    """Who may sign models."""
    pem: str | None = field(default=None, repr=False)
    """The box's private key, where the configuration has it; else it lies in the state directory."""

    @property
    def path(self) -> Path:
        return self.state_dir / "keys" / "box.key"

    def opening(self) -> OpeningKey:
        """The box's key. SealError when it has none."""
        if self.pem is not None:
            return OpeningKey.load(self.pem.encode(), "box.key")
        if not self.path.exists():
            raise SealError(f"this box has no key ({self.path}); `smartbox models key -c FILE` makes it and prints it")
        return OpeningKey.load(read_key(self.path), str(self.path))

    def made(self) -> OpeningKey:
        """The box's key, made where it has none. StorageError when it cannot be kept, SealError when it is no key."""
        if self.pem is None and not self.path.exists():
            self._make_directory()
            write_key(self.path, new_key("x25519"))
        return self.opening()

    def exposed(self) -> str | None:
        """What is wrong with how the key's file is kept."""
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
        except OSError:
            return None
        return f"{self.path} has mode {mode:o}: others can read this box's key; chmod 600" if mode & 0o077 else None

    def _make_directory(self) -> None:
        try:
            make_directory(self.state_dir, mode=0o700)
            make_directory(self.path.parent, mode=0o700)
        except OSError as error:
            raise StorageError(f"{self.path.parent}: {error.strerror}; the box's key has no place") from error
