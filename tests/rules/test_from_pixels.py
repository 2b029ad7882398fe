"""From pixels to events without a model: what is put down in a lane, and what is done to a camera."""

from collections.abc import Callable
from itertools import count

import cv2
import numpy as np
import pytest

from smartbox import plugins
from smartbox.episodes import RuleRunner
from smartbox.geometry import Zone
from smartbox.pipeline import Pipeline
from smartbox.types import Event, Frame, Image
from tests.rules.script import told
from tests.test_foreground import BAG, YARD, H, W, ground, noisy, with_bag

FLOOR = Zone("floor", "cam", ((0.2, 0.4), (0.9, 0.4), (0.9, 1.0), (0.2, 1.0)))
FPS = 2.0


def pipeline(kind: str, **settings: object) -> Pipeline:
    rule = plugins.load("rules", kind).model_validate(settings)
    numbers = count()
    zones = [FLOOR] if rule.zone_kind else []
    camera = plugins.load("sources", "simulator").model_validate({"scene": "lane", "fps": FPS})
    return Pipeline("cam", camera, None, [RuleRunner("r", kind, rule, "cam", zones, lambda: str(next(numbers)), FPS)])


def picture(i: int, grey: Image) -> Frame:
    return Frame("cam", i, i / FPS, 1.79e9 + i / FPS, (W, H), lambda: cv2.merge([grey, grey, grey]), lambda: grey)  # type: ignore[return-value]


def watch(watcher: Pipeline, film: Callable[[float], np.ndarray], end: float) -> list[Event]:
    dice = np.random.default_rng(4)
    events: list[Event] = []
    for i in range(round(end * FPS)):
        events += watcher.step(watcher.plan(picture(i, noisy(film(i / FPS), dice))), ()).events
    return [e for e in events if e.phase != "update"]


def test_a_bag_left_on_the_floor() -> None:
    watcher = pipeline("left_object", zones=["floor"], left=30)
    events = watch(watcher, lambda t: with_bag(YARD) if 20 <= t < 90 else YARD, 120)
    (begin, _), (cleared, _) = (e for e in told(events))
    assert (begin, cleared) == ("begin", "cleared")
    assert events[0].monotonic == pytest.approx(50, abs=2)
    assert 100 <= events[1].monotonic <= 106
    box = events[0].objects[0].xyxy
    assert box is not None
    assert box == pytest.approx(BAG, abs=0.03)


def test_a_pallet_in_the_fire_lane_beside_a_bag_outside_of_it() -> None:
    watcher = pipeline("fire_lane", zones=["floor"], object=30)
    outside = (BAG[0] - 0.4, BAG[1], BAG[2] - 0.4, BAG[3])
    events = watch(watcher, lambda t: with_bag(with_bag(YARD), 50, outside) if t >= 20 else YARD, 70)
    assert [(e.phase, e.objects[0].label) for e in events] == [("begin", "object")]
    assert events[0].monotonic == pytest.approx(50, abs=2)


TAMPERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "dark": lambda p: 16 + 0.03 * p,
    "bright": lambda p: np.clip(p + 190, 0, 235),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 6),
    "moved": lambda p: np.roll(p, (40, 70), (0, 1)),
}


@pytest.mark.parametrize("fault", TAMPERED)
def test_a_camera_that_is_tampered_with(fault: str) -> None:
    wall = ground(3) + np.where(np.add.outer(np.arange(H) // 30, np.arange(W) // 40) % 2, 30, 0)
    events = watch(pipeline("tamper", cameras=["cam"]), lambda t: TAMPERED[fault](wall) if 30 <= t < 70 else wall, 100)
    assert [(e.phase, e.objects[0].label) for e in events] == [("begin", fault), ("end", fault)]
    assert 40 <= events[0].monotonic <= 43
    assert 80 <= events[1].monotonic <= 87


def test_a_frozen_camera_is_told_within_half_a_minute() -> None:
    dice = np.random.default_rng(8)
    stuck = noisy(YARD, dice)
    watcher = pipeline("tamper", cameras=["cam"])
    events: list[Event] = []
    for i in range(140):
        frame = picture(i, noisy(YARD, dice) if i < 60 else stuck)
        events += watcher.step(watcher.plan(frame), ()).events
    assert [(e.phase, e.objects[0].label) for e in events] == [("begin", "frozen")]
    assert 30 + 10 <= events[0].monotonic <= 30 + 12
