"""The simulated camera as a source: pixels, and nothing that gives the truth away."""

import gc
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from smartbox.clock import ManualClock
from smartbox.simulation import Film, Shot
from smartbox.simulation.actors import Actor, State
from smartbox.simulation.compose import Drawn, Placed, Seen
from smartbox.sources.simulator import Plugin
from smartbox.types import Frame


def camera(**more: Any) -> Plugin:
    return Plugin(**{"scene": "gate", "width": 320, "height": 180, **more})


def test_frames_are_those_of_the_film() -> None:
    clock = ManualClock(50.0, 1e9)
    frames = list(camera(seed=9, duration=2, fps=4).read("cam", clock, threading.Event()))
    film = Film(Shot("gate", 9, False, 320, 180))
    assert [f.time for f in frames] == [50.0 + i / 4 for i in range(8)]
    assert [f.utc for f in frames] == [1e9 + i / 4 for i in range(8)]
    for i, frame in enumerate(frames):
        assert np.array_equal(frame.image, film.take(i / 4, i)[0])


def test_the_same_paced_or_not() -> None:
    paced, fast = (
        list(camera(seed=9, duration=1, paced=paced).read("cam", ManualClock(), threading.Event()))
        for paced in (True, False)
    )
    assert [f.time for f in paced] == [f.time for f in fast]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(paced, fast, strict=True))


def test_a_slow_reader_misses_pictures_but_no_time() -> None:
    clock = ManualClock(0.0)
    frames = []
    for frame in camera(duration=3).read("cam", clock, threading.Event()):
        frames.append(frame)
        assert clock.monotonic() - frame.time < 0.2
        clock.advance(0.5)
    assert [round(f.time, 3) for f in frames] == [0.0, 0.4, 1.0, 1.4, 2.0, 2.4]


def reachable(start: Any) -> Iterable[Any]:
    """Everything that the garbage collector can reach from an object, modules and classes left out."""
    seen: dict[int, Any] = {}
    waiting = [start]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or type(one).__name__ == "module":
            continue
        seen[id(one)] = one
        kept = [v for v in gc.get_referents(one) if not (isinstance(v, dict) and "__builtins__" in v)]
        waiting += kept
    return seen.values()


def test_no_truth_can_be_reached_from_a_frame() -> None:
    frames = [f for f in camera(duration=1, paced=False).read("cam", ManualClock(), threading.Event())]
    assert all(isinstance(f, Frame) for f in frames)
    found = {type(o) for o in reachable(frames[2])}
    assert not found & {Film, Shot, Actor, State, Seen, Placed, Drawn}
    assert np.ndarray in found


def test_an_unsaid_seed_is_another_one_each_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        list(camera(seed=None, duration=0.1).read("cam", ManualClock(), threading.Event()))
    first, second = (r.message for r in caplog.records)
    assert first != second and "scene gate with seed" in first


@pytest.mark.parametrize("bad", [{"scene": "moon"}, {"seed": -1}, {"seed": 1_000_000}, {"width": 10}, {"speed": 2}])
def test_bad_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        camera(**bad)
