"""A model that keeps running: the first backend of a list that works, the next when it fails."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox import bench, plugins
from smartbox.backends._base import BackendSettings, Session
from smartbox.bundle import Bundle
from smartbox.clock import Clock, SystemClock
from smartbox.errors import BackendError
from smartbox.types import Floats, ModelRef

log = logging.getLogger(__name__)

HEALTHY_S = 600.0  # a failure longer ago than this is forgiven
BACKOFF_S = (1.0, 60.0)


@dataclass(frozen=True, slots=True)
class Engine:
    """One entry of the list: a backend's settings, and how many pictures it gets at once."""

    name: str
    settings: Any
    batch: int


class Model:
    """Owns at most one open session. Not for several threads at once.

    A failed run closes the session, reopens it once and tries again; then the next backend takes over. When every
    one has failed, BackendError says why each did, and the list is tried again from the top after a pause.
    """

    def __init__(
        self,
        bundle: Bundle,
        backends: Sequence[tuple[str, Any]],
        state_dir: Path,
        *,
        clock: Clock | None = None,
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        """backends: (type, settings) in order; ("auto", None) is what `bench` finds fastest, remembered in state_dir.

        on_change: told in one sentence when another backend than before takes over, and why.
        """
        self._bundle = bundle
        self._backends = backends
        self._state_dir = state_dir
        self._clock: Clock = clock or SystemClock()
        self._on_change = on_change or log.warning
        self._engines: list[Engine] = []
        self._current = 0
        self._session: Session | None = None
        self._failed_at: float | None = None
        self._pause = 0.0
        self._retry_at = 0.0
        self._reasons: list[str] = []

    @property
    def ref(self) -> ModelRef:
        """The model and the backend that runs it now."""
        return self._bundle.ref(self._session.name if self._session else "none")

    def open(self) -> None:
        """Open the first backend that works; BackendError with every reason when none does."""
        if self._session is None:
            if not self._engines:
                self._engines = self._expand()
            self._current = 0
            self._reasons = []
            self._open_from(0)

    def run(self, tensors: Sequence[NDArray[Any]]) -> list[dict[str, Floats]]:
        """Each picture's tensor (no batch axis) -> its outputs by name (no batch axis), in the same order."""
        if self._session is None:
            if self._clock.monotonic() < self._retry_at:
                raise BackendError(self._summary())
            self.open()
        while True:
            try:
                outputs = self._run(tensors)
            except BackendError as error:
                self._recover(error)
            else:
                self._pause = 0.0
                return outputs

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _run(self, tensors: Sequence[NDArray[Any]]) -> list[dict[str, Floats]]:
        assert self._session is not None
        size = self._engines[self._current].batch
        name = self._bundle.manifest.inputs[0].name
        answers: list[dict[str, Floats]] = []
        for start in range(0, len(tensors), size):
            batch = np.stack(tensors[start : start + size])
            outputs = self._session.run({name: batch})
            answers += [{key: value[i] for key, value in outputs.items()} for i in range(len(batch))]
        return answers

    def _recover(self, error: BackendError) -> None:
        """Have a session for another try, or raise: the same backend anew, or the next where it failed before."""
        self.close()
        now = self._clock.monotonic()
        recent = self._failed_at is not None and now - self._failed_at < HEALTHY_S
        self._failed_at = now
        self._note(self._engines[self._current], error)
        self._open_from(self._current + 1 if recent else self._current)

    def _open_from(self, start: int) -> None:
        for i in range(start, len(self._engines)):
            engine = self._engines[i]
            try:
                self._session = engine.settings.open(self._bundle)
            except BackendError as error:
                self._note(engine, error)
                continue
            if i != self._current:
                self._on_change(f"model {self._bundle.name}: backend {engine.name} takes over ({self._why()})")
                self._failed_at = None
            self._current = i
            return
        self._failed_at = None
        self._pause = min(max(2 * self._pause, BACKOFF_S[0]), BACKOFF_S[1])
        self._retry_at = self._clock.monotonic() + self._pause
        raise BackendError(self._summary())

    def _note(self, engine: Engine, error: BackendError) -> None:
        self._reasons = [*self._reasons, f"{engine.name}: {error}"][-2 * len(self._engines) :]

    def _why(self) -> str:
        return "; ".join(dict.fromkeys(self._reasons))

    def _summary(self) -> str:
        return f"model {self._bundle.name!r}: no backend works: {self._why()}"

    def _expand(self) -> list[Engine]:
        engines = []
        for name, settings in self._backends:
            if name != "auto":
                given: BackendSettings = settings if settings is not None else plugins.load("backends", name)()
                engines.append(Engine(name, given, given.batch))
                continue
            try:
                choice = bench.choose(self._bundle, self._state_dir)
            except BackendError as error:
                self._on_change(f"model {self._bundle.name}: {error}")
                continue
            chosen: BackendSettings = plugins.load("backends", choice.backend)()
            engines.append(Engine(choice.backend, chosen, choice.batch))
        if not engines:
            raise BackendError(f"model {self._bundle.name!r}: no backend to try; name one beside auto")
        return engines
