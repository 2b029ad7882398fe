"""A scenario as the box would see it: drawn, seen by the shipped models, judged by the same rules."""

import threading
from collections.abc import Iterator

from benchmarks.score.scenario import FPS, Scenario
from benchmarks.score.scripted import See
from smartbox.asking import ask
from smartbox.build import Parts, closeups, parts
from smartbox.config import Config
from smartbox.model import Model
from smartbox.pipeline import Pipeline
from smartbox.score import Alarm
from smartbox.simulation.staged import StagedFilm
from smartbox.types import Frame, Sample

UTC = 1_790_000_000.0


class Eyes:
    """The models of one camera, open."""

    def __init__(self, config: Config, source: str = "camera") -> None:
        self.made: Parts = parts(config)
        self.pipeline: Pipeline = self.made.pipelines[source]
        names = {config.sources[source].model} | {wanted.model for wanted in closeups(config, source)}
        state = config.box.state_dir
        self._models = {n: Model(self.made.bundles[n], config.backends(n), state) for n in names if n}
        for model in self._models.values():
            model.open()

    def step(self, sample: Sample, see: See | None = None) -> list[Alarm]:
        """The begins that one sample leads to."""
        plan = self.pipeline.plan(sample)
        answers = ask(self._models, plan.requests)
        if see and (found := self.pipeline.see(plan, answers)) is not None:
            see(sample.time, found)
        events = self.pipeline.step(plan, answers).events
        return [
            Alarm(e.rule, e.camera, e.objects[0].subject if e.objects else "", e.monotonic)
            for e in events
            if e.phase == "begin"
        ]

    def close(self) -> None:
        for model in self._models.values():
            model.close()


def pixels(scenario: Scenario, config: Config, see: See) -> list[Alarm]:
    """The begins of all rules."""
    film, eyes = StagedFilm(scenario.shot()), Eyes(config)
    told: list[Alarm] = []
    try:
        for frame in _frames(film, scenario.duration):
            told += eyes.step(frame, see)
    finally:
        eyes.close()
    return told


def _frames(film: StagedFilm, duration: float) -> Iterator[Frame]:
    for index in range(int(duration * FPS)):
        time = index / FPS
        image, _ = film.take(time, index)
        yield Frame.of("camera", index, time, UTC + time, image)


def real(config: Config, source: str, until: float | None = None) -> Iterator[tuple[float, list[Alarm]]]:
    """A recording by way of its own source: the time of each frame, and the begins that it led to."""
    from smartbox.clock import ManualClock

    eyes = Eyes(config, source)
    settings = config.sources[source].model_copy(update={"paced": False})
    try:
        for sample in settings.read(source, ManualClock(0.0, UTC), threading.Event()):
            if until is not None and sample.time > until:
                break
            yield sample.time, eyes.step(sample)
    finally:
        eyes.close()
