"""One camera's recording: pictures and truth at any time, both from the same plans, handed out apart."""

from dataclasses import dataclass, field
from functools import cached_property

from smartbox.simulation.actors import Actor, State
from smartbox.simulation.camera import NEAR
from smartbox.simulation.compose import Drawn, Seen, assemble, render_actor
from smartbox.simulation.scripts import ROUND, cast
from smartbox.simulation.stages import Scene, Stage, camera, stage
from smartbox.types import Box, Image


@dataclass(frozen=True)
class Shot:
    """All that a recording depends on. Round n of its 180 s is cast by seed + n; place and light are the seed's."""

    scene: Scene
    seed: int = 1
    night: bool = False
    width: int = 640
    height: int = 360

    def actors(self, turn: int) -> tuple[Actor, ...]:
        """Who acts in round `turn`."""
        return cast(self.scene, self.seed + turn, self.night)


@dataclass
class Film:
    """Renders a shot; keeps what does not move from one picture to the next."""

    shot: Shot
    _turn: int = -1
    _actors: tuple[Actor, ...] = ()
    _kept: dict[str, tuple[State, Drawn]] = field(default_factory=dict, repr=False)

    @cached_property
    def stage(self) -> Stage:
        shot = self.shot
        return stage(shot.scene, shot.seed, shot.night, shot.width, shot.height)

    def take(self, time: float, index: int) -> tuple[Image, list[Seen]]:
        """H x W x 3 BGR at `time` s from the start, and what can be seen in it; `index` seeds this picture's noise."""
        picture, seen = self.scene(time)
        return self.stage.lens.take(picture, index), seen

    def scene(self, time: float) -> tuple[Image, list[Seen]]:
        """The picture before the lens, and who is in it."""
        turn = int(time // ROUND)
        if turn != self._turn:
            self._turn, self._actors, self._kept = turn, self.shot.actors(turn), {}
        return assemble(self.stage.backdrop, self._drawn(time - turn * ROUND))

    def _drawn(self, time: float) -> list[Drawn]:
        drawn = []
        for actor in self._actors:
            state = actor.state(time)
            if state is None:
                self._kept.pop(actor.key, None)
                continue
            kept = self._kept.get(actor.key)
            if kept is None or kept[0] != state:
                kept = state, render_actor(self.stage.backdrop, actor.place(state))
                self._kept[actor.key] = kept
            drawn.append(kept[1])
        return drawn


def outline(scene: Scene, actor: Actor, time: float) -> Box | None:
    """The box of the whole body at `time`, 0–1, cut at the picture's edges; None: out of sight. Needs no pixels."""
    corners = actor.corners(time)
    if corners is None:
        return None
    cam = camera(scene)
    pixels, depth = cam.project(corners)
    if depth.min() < NEAR:
        return None
    lo, hi = pixels.min(0), pixels.max(0)
    x0, y0 = max(0.0, float(lo[0]) / cam.width), max(0.0, float(lo[1]) / cam.height)
    x1, y1 = min(1.0, float(hi[0]) / cam.width), min(1.0, float(hi[1]) / cam.height)
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None
