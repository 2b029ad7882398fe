"""A recording whose actors, weather and mishaps are given, for scored scenarios; place and light are the seed's."""

from dataclasses import dataclass, field

import numpy as np

from smartbox.simulation.actors import Actor
from smartbox.simulation.compose import Seen
from smartbox.simulation.film import Film, Shot, outline
from smartbox.simulation.stages import Scene, camera
from smartbox.simulation.tricks import Played, headlights, rain, shadow, tamper
from smartbox.types import Box, Image, Point

HIDDEN = 0.65
"""Share of a body's box behind a nearer one's from which on it is taken not to be seen."""


@dataclass(frozen=True)
class Staged(Shot):
    """At most one round long."""

    cast: tuple[Actor, ...] = ()
    tricks: tuple[Played, ...] = ()
    rain: bool = False

    def actors(self, turn: int) -> tuple[Actor, ...]:
        return () if turn else self.cast

    def tampered(self, time: float) -> Played | None:
        """What is being done to the camera at `time`."""
        mine = [t for t in self.tricks if t.trick not in {"shadow", "headlights"} and t.holds(time)]
        return mine[0] if mine else None


@dataclass
class StagedFilm(Film):
    """Adds weather and mishaps to what the film shows."""

    shot: Staged
    _last: tuple[float, Image] | None = field(default=None, repr=False)

    def take(self, time: float, index: int) -> tuple[Image, list[Seen]]:
        trick = self.shot.tampered(time)
        if trick and trick.trick == "frozen" and self._last and self._last[0] >= trick.start - 1.0:
            self._last = time, self._last[1]
            return self._last[1], []
        picture, seen = self.scene(time)
        for played in self.shot.tricks:
            if played.holds(time) and played.trick in {"shadow", "headlights"}:
                change = shadow if played.trick == "shadow" else headlights
                picture = change(picture, time - played.start)
        if self.shot.rain:
            picture = rain(picture, index)
        if trick and trick.trick == "blurred":  # out of focus: the sensor's noise stays sharp
            picture = tamper(picture, trick.trick, index)
        image = self.stage.lens.take(picture, index)
        if trick and trick.trick not in {"frozen", "blurred"}:
            image = tamper(image, trick.trick, index)
        self._last = time, image
        return image, seen


def boxes(shot: Shot, time: float) -> list[tuple[Actor, Box]]:
    """The box of everybody who can be seen: those not hidden behind somebody nearer. Needs no pixels."""
    cam = camera(shot.scene)
    eye = np.array(cam.eye[:2])
    found = []
    for actor in shot.actors(0):
        box, state = outline(shot.scene, actor, time), actor.state(time)
        if box is not None and state is not None:
            found.append((float(np.hypot(*(np.array([state.x, state.y]) - eye))), actor, box))
    found.sort(key=lambda entry: entry[0])
    return [(actor, box) for i, (_, actor, box) in enumerate(found) if not _hidden(box, [b for *_, b in found[:i]])]


def _hidden(box: Box, nearer: list[Box]) -> bool:
    area = max((box[2] - box[0]) * (box[3] - box[1]), 1e-9)
    for other in nearer:
        wide = min(box[2], other[2]) - max(box[0], other[0])
        tall = min(box[3], other[3]) - max(box[1], other[1])
        if wide > 0 and tall > 0 and wide * tall / area >= HIDDEN:
            return True
    return False


def line_on_ground(scene: Scene, a: Point, b: Point) -> tuple[Point, Point]:
    """A world line on the ground as 0–1 of the picture."""
    cam = camera(scene)
    pixels, _ = cam.project(np.array([[*a, 0.0], [*b, 0.0]]))
    (u, v), (x, y) = pixels / [cam.width, cam.height]
    return (round(float(u), 3), round(float(v), 3)), (round(float(x), 3), round(float(y), 3))
