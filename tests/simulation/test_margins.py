"""What breaks a rule does so clearly, and what does not, clearly not: a detector a little off decides nothing."""

import cv2
import numpy as np
import pytest

from smartbox import geometry
from smartbox.geometry import Polygon
from smartbox.simulation import Shot, slots, zones
from smartbox.simulation.actors import Actor, Stay
from smartbox.simulation.film import outline
from smartbox.simulation.truth import slot_names
from smartbox.types import Point

SEEDS = range(12)


def stays(actor: Actor) -> list[Stay]:
    return [part for part in actor.plan if isinstance(part, Stay)]


def pixels_inside(polygon: Polygon, point: Point) -> float:
    """How far inside, in pixels of 640 x 360; negative: outside."""
    corners = (np.array(polygon) * [640, 360]).astype(np.float32)
    return cv2.pointPolygonTest(corners, (point[0] * 640, point[1] * 360), True)


@pytest.mark.parametrize("seed", SEEDS)
def test_vehicles_are_well_in_the_lane_or_not_at_all(seed: int) -> None:
    zone = zones("lane")["lane"]
    for actor in Shot("lane", seed).actors(0):
        for stay in stays(actor):
            box = outline("lane", actor, stay.start)
            assert box and geometry.overlap(zone, box) > 0.4
        if not stays(actor) and actor.plan[0].path[0][1] > 7:  # type: ignore[union-attr]
            for time in np.arange(actor.plan[0].start, actor.plan[-1].end, 0.5):
                passing = outline("lane", actor, float(time))
                assert not passing or geometry.overlap(zone, passing) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_cars_cover_their_own_slot_most(seed: int) -> None:
    polygons = slots("lot")
    for actor in Shot("lot", seed).actors(0):
        for stay in stays(actor):
            box = outline("lot", actor, stay.start + 0.5)
            assert box
            cover = {name: geometry.covered(polygon, box) for name, polygon in polygons.items()}
            best = max(cover, key=cover.__getitem__)
            assert best == f"P{actor.key.removeprefix('car')}" and cover[best] > 0.55
    assert tuple(polygons) == slot_names()


@pytest.mark.parametrize("seed", SEEDS)
def test_intruders_are_well_inside_and_walkers_well_outside(seed: int) -> None:
    zone = zones("gate")["yard"]
    for actor in Shot("gate", seed).actors(0):
        if stays(actor):
            boxes = [outline("gate", actor, s.start) for s in stays(actor)]
            assert min(pixels_inside(zone, geometry.bottom_center(b)) for b in boxes if b) > 25
        else:
            seen = [outline("gate", actor, float(t)) for t in np.arange(actor.plan[0].start, actor.plan[-1].end, 0.5)]
            assert max(pixels_inside(zone, geometry.bottom_center(b)) for b in seen if b) < -40
