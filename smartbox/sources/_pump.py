"""Blocking device calls in a thread of their own, so that whoever reads can stop within a second.

FFmpeg and V4L2 offer no way to interrupt a read from outside. When the reader leaves, the thread is told and goes
as soon as its native call returns, which the call's own time-out sees to; it holds one connection until then.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from smartbox.clock import Clock

T = TypeVar("T")
_TICK = 0.2  # s between looks at `stop` while nothing comes
_GRACE = 0.5  # s that a leaving reader waits for the thread


class Pump(Generic[T]):
    """Hands over what `produce(pump)` yields; the producer calls `beat` whenever the device shows life."""

    def __init__(self, name: str, clock: Clock, produce: "Callable[[Pump[T]], Iterator[T]]") -> None:
        self._clock, self._produce = clock, produce
        self._box: queue.Queue[T | BaseException | None] = queue.Queue(4)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._beat = 0.0
        self.began = False  # the device has shown life at all

    @property
    def left(self) -> bool:
        """The reader is gone: the producer should end."""
        return self._left.is_set()

    def beat(self) -> None:
        """The device delivers, though maybe nothing that is wanted now."""
        self._beat, self.began = self._clock.monotonic(), True

    def items(self, stop: threading.Event, first: float, then: float) -> Iterator[T]:
        """Until `stop` or the producer's end; its exceptions come out here.

        TimeoutError when it does not begin within `first` s, or pauses for `then` s.
        """
        self._beat = self._clock.monotonic()
        self._thread.start()
        try:
            while not stop.is_set():
                try:
                    item = self._box.get(timeout=_TICK)
                except queue.Empty:
                    if self._clock.monotonic() - self._beat > (then if self.began else first):
                        raise TimeoutError from None
                    continue
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._left.set()
            self._thread.join(_GRACE)

    def _run(self) -> None:
        with _HandOver(self._put):
            for item in self._produce(self):
                if not self._put(item):
                    return

    def _put(self, item: T | BaseException | None) -> bool:
        while not self._left.is_set():
            try:
                self._box.put(item, timeout=_TICK)
                return True
            except queue.Full:
                continue
        return False


class _HandOver:
    """Whatever ends the thread, its end or an exception, is handed to the reader, who raises it."""

    def __init__(self, put: Callable[[BaseException | None], object]) -> None:
        self._put = put

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._put(error)
        return True
