"""Pictures that show what happened: drawn, encoded, fsynced; kept within bytes, age and a floor of free space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smartbox.types import Box, Evidence, Image, Point


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is drawn on a picture. zones: (name, polygon or line); boxes: (xyxy, label, score, concerned)."""

    zones: Sequence[tuple[str, Sequence[Point]]] = ()
    boxes: Sequence[tuple[Box, str, float, bool]] = ()
    rule: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceLimits:
    """bytes and age (s) of all files; free: bytes of the disk that are never used."""

    bytes: int = 8_000_000_000
    age: float = 14 * 86400.0
    free: int = 200_000_000


class EvidenceStore:
    """The evidence directory. Called by the inference thread; `trim` by any."""

    def __init__(self, directory: Path, limits: EvidenceLimits | None = None) -> None:
        raise NotImplementedError

    def save_picture(self, image: Image, overlay: Overlay, event_id: str, utc: float) -> tuple[Evidence, bytes]:
        """Draw, write, fsync, rename, fsync the directory -> (reference, thumbnail JPEG <= 48 KiB). StorageError."""
        raise NotImplementedError

    def trim(self, utc: float) -> int:
        """Delete what is too old or too much, oldest first; how many files went. Call every minute."""
        raise NotImplementedError

    def make_room(self) -> None:
        """Delete the oldest tenth of the files: the disk is full and events go before pictures."""
        raise NotImplementedError
