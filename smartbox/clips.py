"""Clips of alarms, and those by command: cut from what the camera sent, put into an MP4, synced, announced.

A thread of its own writes them, some seconds after the alarm. A clip that is lost costs the alarm nothing.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

from smartbox.clock import Clock
from smartbox.errors import StorageError
from smartbox.evidence import EvidenceStore
from smartbox.mp4 import mp4
from smartbox.tape import Tape
from smartbox.types import Event, Evidence

log = logging.getLogger(__name__)

BOUND = 32
_KEPT = 256
_TICK_S = 0.5


@dataclass(frozen=True, slots=True)
class Clip:
    """starts: s from its moment, the alarm's (below 0: before it); late: s by which it starts later than was wanted."""

    id: str
    source: str
    file: Evidence
    starts: float
    seconds: float
    late: float

    def document(self) -> dict[str, Any]:
        """For `media/{event}`."""
        times = {"starts_s": self.starts, "duration_s": self.seconds, "late_s": self.late}
        rounded = {name: round(value, 3) for name, value in times.items()}
        return {"event": self.id, "source": self.source, **asdict(self.file), **rounded}


@dataclass(frozen=True, slots=True)
class Moment:
    """What a clip is to show: from `before` s before `time` (monotonic s) to `after` s after it."""

    time: float
    before: float
    after: float

    @property
    def start(self) -> float:
        return self.time - self.before

    @property
    def end(self) -> float:
        return self.time + self.after


class Clips:
    """`want` and `of` are called by the thread that judges, `run` by one of its own, `make` by any."""

    def __init__(
        self,
        tapes: Mapping[str, Tape],
        store: EvidenceStore,
        clock: Clock,
        before: float,
        after: float,
        announce: Callable[[Clip], None],
    ) -> None:
        self._tapes, self._store, self._clock = tapes, store, clock
        self._before, self._after, self._announce = before, after, announce
        self._lock = threading.Lock()
        self._wanted: deque[Event] = deque(maxlen=BOUND)
        self._made: dict[str, Evidence] = {}

    def want(self, event: Event) -> None:
        """Have a clip made of an alarm that begins, where its camera is recorded."""
        if event.phase == "begin" and event.cls == "alarm" and event.camera in self._tapes:
            with self._lock:
                self._wanted.append(event)

    def of(self, episode: str) -> Evidence | None:
        """The clip of an episode, when it is finished; once."""
        with self._lock:
            return self._made.pop(episode, None)

    def run(self, stop: threading.Event) -> bool:
        """Write what is due until `stop`, and then what there is of the rest; False then."""
        while not self._clock.wait(stop, _TICK_S):
            while event := self._due():
                self._alarm(event)
        while event := self._left():
            log.warning("%s: a stop ends the clip of episode %s early", event.rule, event.episode)
            self._alarm(event)
        return False

    def _due(self) -> Event | None:
        with self._lock:
            due = bool(self._wanted) and self._clock.monotonic() >= self._wanted[0].monotonic + self._after
            return self._wanted.popleft() if due else None

    def _left(self) -> Event | None:
        with self._lock:
            return self._wanted.popleft() if self._wanted else None

    def _alarm(self, event: Event) -> None:
        moment = Moment(event.monotonic, self._before, self._after)
        try:
            clip = self.make(event.camera, moment, event.id, event.time_utc)
        except StorageError as error:
            log.error("%s: the alarm goes without its clip: %s", event.rule, error)
            return
        if clip is None:
            log.warning("%s: %s has sent no key frame yet, the alarm goes without its clip", event.rule, event.camera)
            return
        with self._lock:
            self._made[event.episode] = clip.file
            while len(self._made) > _KEPT:
                del self._made[next(iter(self._made))]
        self._announce(clip)

    def span(self, source: str) -> tuple[float, float] | None:
        """From when to when (monotonic s) a clip of a recorded source can be; None: there is nothing yet."""
        return self._tapes[source].span

    def held(self, source: str, moment: Moment) -> AbstractContextManager[None]:
        """Meanwhile the tape keeps what `make` is to show, as far as its bytes go."""
        return self._tapes[source].held(moment.start)

    def make(self, source: str, moment: Moment, name: str, utc: float) -> Clip | None:
        """Write NAME.mp4 of what is over and on the source's tape; None: nothing of it is. StorageError."""
        cut = self._tapes[source].cut(moment.start, moment.end, moment.time)
        if cut is None or cut.end < moment.start:  # the camera has sent nothing since
            return None
        file = self._store.save_clip(mp4(cut), name, utc)
        late = max(0.0, cut.start - moment.start)
        return Clip(name, source, file, cut.start - moment.time, cut.end - cut.start, late)
