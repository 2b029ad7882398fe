"""Work that belongs to one thread, asked for by another."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from smartbox.errors import SmartboxError

T = TypeVar("T")


class BusyError(SmartboxError):
    """Nobody came round to it in time."""


class Errands:
    """`ask` on any thread, `run` on the one that owns what is asked for."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()

    def ask(self, work: Callable[[], T], what: str, timeout: float = 10.0) -> T:
        """What `work` returns or raises, over there. BusyError after `timeout` s; then it is not done any more."""
        future: Future[T] = Future()
        self._waiting.put((future, work))
        try:
            return future.result(timeout)
        except Late:
            if future.cancel():
                raise BusyError(f"{what}: the box is too busy, or still loading its models; try again") from None
            return future.result()

    def run(self) -> None:
        """Do all that waits."""
        while True:
            try:
                future, work = self._waiting.get_nowait()
            except Empty:
                return
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except SmartboxError as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
