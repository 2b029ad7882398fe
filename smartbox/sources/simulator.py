"""A simulated camera: one of four scenes of a small park, drawn by a seed. It delivers pixels and nothing else."""

import logging
import secrets
import threading
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from smartbox.clock import Clock
from smartbox.settings import Duration
from smartbox.simulation.film import Film, Shot
from smartbox.simulation.training import TRAINING_SEEDS
from smartbox.sources._base import SourceSettings
from smartbox.types import Frame

log = logging.getLogger(__name__)


class Plugin(SourceSettings):
    """Plays a scene of 180 s over and over, with other actors each time. Zones: docs/guide/simulator.md."""

    scene: Literal["post", "lane", "lot", "gate"]
    """post: a guard at his desk; lane: a fire lane before a road; lot: a car park of six slots; gate: a closed yard."""

    seed: int | None = Field(1, ge=0, lt=TRAINING_SEEDS)
    """Decides who comes and when, colours and weather. null: another one at each start (it is logged)."""

    night: bool = False
    """Dark, with lanterns and headlights; sometimes an infra-red camera."""

    width: int = Field(640, ge=160, le=1920)
    """Of the picture, in pixels."""

    height: int = Field(360, ge=90, le=1080)
    """Of the picture, in pixels; zones fit when it is 9/16 of the width."""

    duration: Duration | None = Field(None, gt=0)
    """Ends after so many seconds; without it, never."""

    paced: bool = True
    """true: in real time, as a camera would; a slow reader misses pictures. false: as fast as it is read."""

    @property
    def hears(self) -> bool:
        return False

    def shot(self, seed: int) -> Shot:
        """What is recorded."""
        return Shot(self.scene, seed, self.night, self.width, self.height)

    def read(self, source_id: str, clock: Clock, stop: threading.Event) -> Iterator[Frame]:
        """Frame i is taken at i / fps s after the start, the scene's own time."""
        seed = secrets.randbelow(TRAINING_SEEDS) if self.seed is None else self.seed
        if self.seed is None:
            log.info("source %s: scene %s with seed %d", source_id, self.scene, seed)
        film = Film(self.shot(seed))
        start, utc = clock.monotonic(), clock.utc()
        index = 0
        while not stop.is_set():
            time = index / self.fps
            if self.duration is not None and time >= self.duration:
                return
            image, _ = film.take(time, index)
            if self.paced and clock.wait(stop, start + time - clock.monotonic()):
                return
            now = clock.utc() - (clock.monotonic() - (start + time)) if self.paced else utc + time
            yield Frame.of(source_id, index, start + time, now, image)
            index += 1
            if self.paced:
                index = max(index, int((clock.monotonic() - start) * self.fps))
