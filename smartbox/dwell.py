"""For how long: the one time machine of all rules. Pure, in seconds, without a clock.

A rule says what holds now; a `Dwell` follows one subject of it from the first match to the end:
candidate -> (ready, when the runner lets it) begun -> over. A young candidate that did not hold for the share needed
starts anew with its next match: a flicker before the arrival must not make the alarm early.

Each sample stands until the next one. Two kinds of time are kept apart:
*known* time, in which the condition was seen to hold or not, and *elapsed* time, which also runs while the subject
is hidden (behind a truck that passes). Silence of the source adds to neither: the caller passes at most `freeze_gap`.
"""

from collections import deque
from dataclasses import dataclass

HOLD_AFTER = 30.0
"""A silence longer than this (s) holds episodes: they go on only if the object is found where it was."""
LOST_AFTER = 60.0
"""A silence longer than this (s) ends episodes as `source_lost`."""
_EPS = 1e-6  # timestamps are sums of frame times: 0.1 * 600 must count as 60 s


def freeze_gap(fps: float) -> float:
    """The longest time (s) that a sample may stand: a longer gap between received frames freezes the timers."""
    return max(2.0, 2.5 / fps)


@dataclass(frozen=True, slots=True)
class DwellSpec:
    """Times of one subject: begins after `dwell` s, ends after `end` s without; shares over `window` s.

    enter, exit: the share of the window in which the condition must hold to begin, and below which it is given up.
    """

    dwell: float
    end: float
    window: float = 10.0
    enter: float = 0.6
    exit: float = 0.2


class Dwell:
    """One subject's time, from its first match on.

    started_at, last_match: monotonic s; elapsed: s since started_at without the frozen gaps; lasted: the same up to
    the last match.
    """

    __slots__ = (
        "_end_window", "_held", "_held_until", "_holds", "_known", "_window",
        "begun", "elapsed", "last_match", "lasted", "spec", "started_at",
    )  # fmt: skip

    def __init__(self, spec: DwellSpec, time: float) -> None:
        self.spec = spec
        self.begun = False
        self._window = min(spec.window, spec.dwell)
        self._end_window = min(spec.window, spec.end)
        self._held: deque[tuple[float, float]] = deque()  # stretches of known time in which it held
        self._start(time)

    def _start(self, time: float) -> None:
        self.started_at = self.last_match = time
        self.elapsed = self.lasted = 0.0
        self._known = self._held_until = 0.0
        self._holds: bool | None = True
        self._held.clear()

    @classmethod
    def resumed(cls, spec: DwellSpec, last_match: float, elapsed: float) -> "Dwell":
        """One that had begun before a restart, and of which nothing is known since."""
        self = cls(spec, last_match - elapsed)
        self.begun, self.elapsed, self.lasted, self.last_match, self._holds = True, elapsed, elapsed, last_match, None
        return self

    def credit(self, seconds: float) -> None:
        """It held for `seconds` before its first match: it took that long to be told from what passes."""
        self.started_at -= seconds
        self.elapsed = self.lasted = self._known = self._held_until = seconds
        self._hold(0.0, seconds)

    @property
    def away(self) -> float:
        """Seconds since the last match, without the frozen gaps."""
        return self.elapsed - self.lasted

    def sample(self, time: float, seconds: float, holds: bool | None) -> None:
        """Let the last sample stand for `seconds`, then take the new one; None: hidden, nobody can say."""
        self.elapsed += seconds
        if self._holds is not None:
            before, self._known = self._known, self._known + seconds
            if self._holds:
                self._hold(before, self._known)
        self._holds = holds
        if holds:
            if not self.begun and self._known < self._window and self.share(self._window) < self.spec.enter - _EPS:
                self._start(time)
            self.last_match, self.lasted = time, self.elapsed
            self._held_until = self._known

    def _hold(self, start: float, end: float) -> None:
        self._held_until = end
        if self._held and self._held[-1][1] >= start:
            start = self._held.pop()[0]
        self._held.append((start, end))
        while self._held[0][1] < end - self.spec.window:
            self._held.popleft()

    def share(self, window: float) -> float:
        """Share of the last `window` s of known time, or of its whole life when younger, in which it held."""
        span = min(window, self._known)
        if span <= _EPS:
            return 1.0 if self._holds else 0.0
        since = self._known - span
        return sum(max(0.0, end - max(start, since)) for start, end in self._held) / span

    @property
    def holds(self) -> bool | None:
        """The last sample; None: nobody could say."""
        return self._holds

    @property
    def window(self) -> float:
        """The seconds over which the share counts now: towards the begin, or once begun towards the end."""
        return self._end_window if self.begun else self._window

    @property
    def recent(self) -> float:
        """The share that counts now."""
        return self.share(self.window)

    @property
    def firm(self) -> bool:
        """It holds now, and for enough of the window. Who has left already raises no alarm behind his back."""
        return bool(self._holds) and self.share(self._window) >= self.spec.enter - _EPS

    @property
    def ready(self) -> bool:
        """A candidate that has lasted long enough to begin."""
        return not self.begun and self.elapsed >= self.spec.dwell - _EPS and self.firm

    @property
    def over(self) -> bool:
        """A candidate to be dropped, or a begun episode to be ended.

        A candidate is also dropped when it would have ended had it begun: a guard who is back for `return` s,
        or who moves for `wake` s, starts from zero. Otherwise separate visits would add up.
        """
        gone = (
            self._known - self._held_until >= self.spec.end - _EPS
            and self.share(self._end_window) < self.spec.exit - _EPS
        )
        return gone or (not self.begun and self.share(self._window) < self.spec.exit - _EPS)
