"""Which subjects are not to begin again for a while after their end."""

from smartbox.types import Scene

OUT_OF_SIGHT_S = 10.0
"""A track that was not seen for so long (s) may come back as another object: its cooldown is over."""


class Cooldowns:
    """By the subject's name: until when (monotonic s), and when it was last seen."""

    def __init__(self) -> None:
        self._cooling: dict[str, tuple[float, float]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._cooling

    def start(self, name: str, until: float, seen: float) -> None:
        self._cooling[name] = until, seen

    def pass_(self, scene: Scene) -> None:
        """Forget those that are over, or whose track has been out of sight."""
        if not self._cooling:
            return
        now, names = scene.time, {f"track:{t.id}" for t in scene.tracks}
        for name, (until, seen) in list(self._cooling.items()):
            here = name in names or not name.startswith("track:")
            if now >= until or (not here and now - seen > OUT_OF_SIGHT_S):
                del self._cooling[name]
            elif here:
                self._cooling[name] = until, now
