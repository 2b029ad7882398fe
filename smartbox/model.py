"""A model that keeps running: the first backend of a list that works, the next when it fails."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox import bench, plugins
from smartbox.backends._base import BackendSettings, Session
from smartbox.bundle import Bundle
from smartbox.clock import Clock, SystemClock
from smartbox.errors import BackendError
from smartbox.trials import DEATHS, Trials
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
    key: str
    """What it is called in the record of deaths."""


class Model:
    """Owns at most one open session. Not for several threads at once, but for `close`.

    A failed run closes the session, reopens it once and tries again; then the next backend takes over. When every
    one has failed, BackendError says why each did, and the list is tried again from the top after a pause. A backend
    with which the whole process died several times in a row is passed over at the next start.
    """

    def __init__(
        self,
        bundle: Bundle,
        backends: Sequence[tuple[str, Any]],
        state_dir: Path,
        *,
        clock: Clock | None = None,
        on_change: Callable[[str], None] | None = None,
        on_open: Callable[[], object] = lambda: None,
    ) -> None:
        """backends: (type, settings) in order; ("auto", None) is what `bench` finds fastest, remembered in state_dir.

        on_change: told in one sentence when another backend than before takes over, and why.
        on_open: called when a backend has opened the model.
        """
        self._bundle = bundle
        self._backends = backends
        self._state_dir = state_dir
        self._trials = Trials(state_dir)
        self._clock: Clock = clock or SystemClock()
        self._on_change = on_change or log.warning
        self._on_open = on_open
        self._engines: list[Engine] = []
        self._current = 0
        self._session: Session | None = None
        self._closed = False
        self._failed_at: float | None = None
        self._proven_at: float | None = None
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
            self._closed = False
            self._current = 0
            self._reasons = []
            if not self._engines:
                self._engines = self._expand()
            if all(self._trials.deadly(engine.key) for engine in self._engines):
                self._trials.forgive()  # a power cut every few minutes is no reason to see nothing for ever
            self._open_from(0)
            self._on_open()

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
                self._prove()
                return outputs

    def close(self) -> None:
        """In order: the next start begins with the first backend again.

        Another thread may still be in `open`, as a stop comes while engines are measured: nothing died then, either.
        """
        self._closed = True
        self._shut()
        self._trials.forgive()

    def _shut(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            self._trials.survived(self._engines[self._current].key)

    def _prove(self) -> None:
        if self._proven_at is not None and self._clock.monotonic() >= self._proven_at:
            self._proven_at = None
            self._trials.survived(self._engines[self._current].key)

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
        self._shut()
        now = self._clock.monotonic()
        recent = self._failed_at is not None and now - self._failed_at < HEALTHY_S
        self._failed_at = now
        self._note(self._engines[self._current], error)
        self._open_from(self._current + 1 if recent else self._current)

    def _open_from(self, start: int) -> None:
        for i in range(start, len(self._engines)):
            engine = self._engines[i]
            try:
                self._session = self._open_engine(engine)
            except BackendError as error:
                self._note(engine, error)
                continue
            if i != self._current:
                self._on_change(f"model {self._bundle.name}: backend {engine.name} takes over ({self._why()})")
                self._failed_at = None
            self._current = i
            return
        self._failed_at = None
        raise self._rest()

    def _rest(self) -> BackendError:
        """Nothing before a pause, which doubles; what to raise meanwhile."""
        self._pause = min(max(2 * self._pause, BACKOFF_S[0]), BACKOFF_S[1])
        self._retry_at = self._clock.monotonic() + self._pause
        return BackendError(self._summary())

    def _open_engine(self, engine: Engine) -> Session:
        if self._closed:
            raise BackendError("it was closed meanwhile")
        if self._trials.deadly(engine.key):
            raise BackendError(f"the whole process died {DEATHS} times in a row while it was open")
        self._trials.begin(engine.key)
        try:
            session: Session = engine.settings.open(self._bundle)
        except BackendError:
            self._trials.survived(engine.key)
            raise
        self._proven_at = self._clock.monotonic() + HEALTHY_S
        return session

    def _note(self, engine: Engine, error: BackendError) -> None:
        self._reasons = [*self._reasons, f"{engine.name}: {error}"][-8:]

    def _why(self) -> str:
        return "; ".join(dict.fromkeys(self._reasons))

    def _summary(self) -> str:
        return f"model {self._bundle.name!r}: no backend works: {self._why()}"

    def _expand(self) -> list[Engine]:
        engines = []
        for name, settings in self._backends:
            try:
                engine = self._auto() if name == "auto" else self._engine(name, settings)
            except BackendError as error:
                self._reasons.append(str(error))
                self._on_change(f"model {self._bundle.name}: {error}")
                continue
            engines.append(engine)
        if not engines:
            self._reasons.append("name a backend beside auto")
            raise self._rest()
        return engines

    def _auto(self) -> Engine:
        choice = bench.choose(self._bundle, self._state_dir)
        return replace(self._engine(choice.backend, None), batch=choice.batch)

    def _engine(self, name: str, settings: BackendSettings | None) -> Engine:
        given: BackendSettings = settings if settings is not None else plugins.load("backends", name)()
        made = sha256(given.model_dump_json().encode()).hexdigest()[:8]
        return Engine(name, given, given.batch, f"{self._bundle.name} {self._bundle.sha256[:8]} {name} {made}")
