"""The exception tree.

SmartboxError
├── ConfigError    the configuration is refused: exit 78, systemd does not restart
├── SourceError    a camera or microphone broke: restart that reader
├── BackendError   an engine or a model broke: reopen, then the next backend, then degraded
├── StorageError   durability is gone: degraded, alarms kept in memory, said loudly
└── OutputError    a loudspeaker cannot: said; the alarm has gone its own way already
"""


class SmartboxError(Exception):
    """Root of everything that smartbox raises on purpose."""


class Problem:
    """One thing wrong in a configuration: the key's path, what is wrong, what would be right."""

    __slots__ = ("message", "path")

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def __repr__(self) -> str:
        return f"Problem({self.path!r}, {self.message!r})"


class ConfigError(SmartboxError):
    """The configuration is refused; carries every problem found, not only the first."""

    def __init__(self, problems: list[Problem] | str) -> None:
        self.problems = [Problem("", problems)] if isinstance(problems, str) else problems
        super().__init__("\n".join(map(str, self.problems)))


class SourceError(SmartboxError):
    """A source cannot be opened or stopped delivering."""


class BackendError(SmartboxError):
    """A model cannot be opened or run by this backend."""


class OutputError(SmartboxError):
    """An output cannot do what it should on site."""


class StorageError(SmartboxError):
    """The disk refuses or lost what was to be kept."""
