"""What all sources share: their common settings, and the choice of frames by time."""

import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from smartbox.clock import Clock
from smartbox.outline import entangled
from smartbox.settings import Duration, Settings
from smartbox.types import Point, Sample


def _simple(mask: Sequence[Point]) -> Sequence[Point]:
    if entangled(mask):
        raise ValueError("two sides of the polygon cross: write its corners in order, once around")
    return mask


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Mask = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=32), AfterValidator(_simple)]


class SourceSettings(Settings):
    """The keys that every source has; a subclass adds its own and implements `read`."""

    enabled: bool = True
    """false: it is not read and told as `disabled`; its zones and rules stay as they are."""

    taped: ClassVar[bool] = False
    """`read` takes a `tape=` for what it receives; clips can be cut of it."""

    retry_most: ClassVar[float] = 60.0
    """Seconds between tries to open it again, at most. To look for a device of this machine costs nothing."""

    fps: float = Field(5.0, gt=0, le=120)
    """At most this many frames a second are delivered, chosen by their time. 5 shows a walking person
    every 0.3 m; more costs inference."""

    model: str | None = None
    """Which entry of `models` looks at (or listens to) this source. None: pictures only."""

    sound_model: str | None = None
    """Which entry of `models` listens to the source's sound, where `model` looks at its pictures. It switches the
    sound on."""

    min_interval: Duration = Field(1.5, gt=0)
    """Without any motion the model still looks at least this often (s), so that nobody who sits still is missed."""

    gate: bool = True
    """Skip inference while nothing moves, down to `min_interval`. false: infer on every delivered frame."""

    masks: tuple[Mask, ...] = Field((), max_length=32)
    """Privacy masks, polygons of 3 to 32 points like those of zones. They are grey on every picture that the box keeps
    or sends. The models still see what is there, so rules work behind them."""

    crops: int = Field(0, ge=0, le=8)
    """Up to so many parts of a frame are looked at once more and larger, in one batch: round small things that move
    or are followed, for what rules ask for. Each costs as much as the whole picture. For far views; 0: none."""

    @property
    def sees(self) -> bool:
        """Whether pictures come of it, as far as its settings tell."""
        return True

    @property
    def hears(self) -> bool:
        """Whether sound comes of it, as far as its settings tell."""
        return True

    def read(self, source_id: str, clock: Clock, stop: threading.Event) -> Iterator[Sample]:
        """Frames and sound until the end of the recording, or until `stop` is set (noticed within 1 s).

        Raises SourceError when the source cannot be opened or breaks; the caller retries by reading again.
        Times of the samples of one kind increase.
        """
        raise NotImplementedError


class Pacer:
    """Chooses at most `fps` frames a second by their times, evenly; a stream that is no faster passes whole.

    The due times lie on a grid, and the frame nearest to each is taken, so that 5 of 12 fps are 5 and not 4,
    and jitter costs no frames.
    """

    def __init__(self, fps: float) -> None:
        self._period = 1.0 / fps
        self._due: float | None = None
        self._before = 0.0

    def take(self, time: float) -> bool:
        """Is the frame at `time` (s) one to deliver?"""
        if self._due is None:
            self._due = self._before = time
        spacing = min(time - self._before, self._period)
        self._before = time
        if time < self._due - spacing / 2:
            return False
        self._due += self._period
        if time >= self._due:  # after a gap: do not catch up with a burst
            self._due = time + self._period
        return True
