"""Timestamps of a stream -> seconds of our clock: of a recording exactly, of a live stream smoothed."""

_STEP = 0.001  # s: what "later" means for two frames with one timestamp
_BACK = 0.2  # s: a lesser fall back is one odd timestamp, more is a new beginning
_LEAP = 3600.0  # s: no recording pauses that long, its timestamps started anew


class Timeline:
    """A recorded stream's own times, from `start` on, made to increase.

    A missing timestamp follows its predecessor by that one's length; where timestamps fall back (joined
    recordings) or leap, the rest of the stream is moved to go on without a break.
    """

    def __init__(self, origin: float, start: float) -> None:
        self._origin = origin  # our time of the stream's 0
        self._next = start  # where the last item ended
        self._last: float | None = None

    def at(self, seconds: float | None, length: float) -> float:
        """Our time of an item `length` s long that the stream places at `seconds` (None: not said)."""
        time = self._next if seconds is None else self._origin + seconds
        if self._last is not None:
            if not self._last - _BACK < time < self._last + _LEAP:
                self._origin += self._next - time
                time = self._next
            time = max(time, self._last + _STEP)
        self._last, self._next = time, time + length
        return time


class LiveTimeline:
    """When a live frame was captured: its timestamp on our clock, by the least delayed arrivals of late.

    Arrival alone jitters by the network and by large key frames; timestamps alone drift against our clock.
    The lower envelope of arrival - timestamp follows at most `drift` s per s upwards, and at once downwards.
    """

    def __init__(self, drift: float = 0.002, tolerance: float = 2.0) -> None:
        self._drift, self._tolerance = drift, tolerance
        self._offset: float | None = None
        self._arrival = 0.0
        self._last: float | None = None

    def at(self, arrival: float, seconds: float | None) -> float:
        """The time (s, never later than `arrival`, increasing) of a frame with timestamp `seconds`."""
        time = arrival if seconds is None else seconds + self._follow(arrival, arrival - seconds)
        if self._last is not None:
            time = max(time, self._last + _STEP)
        self._last = time
        return time

    def _follow(self, arrival: float, delay: float) -> float:
        if self._offset is None or abs(delay - self._offset) > self._tolerance:  # the camera set its clock
            self._offset = delay
        else:
            self._offset = min(delay, self._offset + self._drift * (arrival - self._arrival))
        self._arrival = arrival
        return self._offset
