"""Pictures and truth: the same from the same seed, and true to one another."""

from dataclasses import replace

import numpy as np
import pytest

from smartbox.geometry import contains, iou
from smartbox.motion import MotionMeter
from smartbox.simulation import ROUND, SCENES, Film, Shot, slots, zones
from smartbox.simulation.compose import assemble, compose, render_actor
from smartbox.simulation.film import outline
from smartbox.simulation.stages import Scene, camera, stage
from smartbox.simulation.truth import slot_states
from smartbox.types import Frame

every_scene = pytest.mark.parametrize("scene", SCENES)
SMALL = (320, 180)


def film(scene: Scene, seed: int = 7, night: bool = False) -> Film:
    return Film(Shot(scene, seed, night, *SMALL))


@every_scene
@pytest.mark.parametrize("night", [False, True])
def test_the_same_seed_gives_the_same_film(scene: Scene, night: bool) -> None:
    one, two = film(scene, night=night), film(scene, night=night)
    for index, time in enumerate((12.0, 12.2, 40.0)):
        (a, seen_a), (b, seen_b) = one.take(time, index), two.take(time, index)
        assert np.array_equal(a, b) and seen_a == seen_b
    assert not np.array_equal(one.take(12.0, 0)[0], film(scene, 8, night).take(12.0, 0)[0])


@every_scene
def test_a_picture_does_not_depend_on_those_before_it(scene: Scene) -> None:
    long, fresh = film(scene), film(scene)
    for index in range(5):
        long.take(30 + index / 5, index)
    assert np.array_equal(long.take(31.0, 5)[0], fresh.take(31.0, 5)[0])


@every_scene
def test_boxes_are_those_of_the_changed_pixels(scene: Scene) -> None:
    """Rendered with and without each actor: what differs, the shadow left out, is its box."""
    shot = Shot(scene, 7)
    place = stage(scene, 7)
    checked = 0
    for time in np.arange(10.0, 80.0, 7.0):
        for actor in shot.actors(0):
            state = actor.state(float(time))
            if state is None:
                continue
            drawn = render_actor(place.backdrop, actor.place(state))
            if drawn.sprite is None:
                continue
            without = drawn.cast
            bare = type(drawn)(drawn.placed, None, without, drawn.distance)
            (full, seen), (empty, _) = assemble(place.backdrop, [drawn]), assemble(place.backdrop, [bare])
            changed = np.abs(full.astype(int) - empty).max(2) > 12
            if not seen or changed.sum() < 400 or seen[0].visible < 0.4:
                continue
            rows, cols = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            h, w = changed.shape
            found = (cols[0] / w, rows[0] / h, (cols[-1] + 1) / w, (rows[-1] + 1) / h)
            assert iou(found, seen[0].xyxy) > 0.88, (actor.key, time)
            checked += 1
    assert checked >= 3


def test_what_stands_before_hides() -> None:
    """Two actors in one line of sight: the further one's box shrinks to what is left of it."""
    place = stage("lot", 3)
    cars = [a for a in Shot("lot", 3).actors(0) if a.label == "car"]
    state = cars[0].state(1.0)
    assert state is not None
    near, far = cars[0].place(state), cars[1].place(state)
    near = type(near)(near.label, near.mesh.moved(0.0, -1.5), None, "near")
    far = type(far)(far.label, far.mesh, None, "far")
    _, alone = compose(place.backdrop, [far])
    _, both = compose(place.backdrop, [near, far])
    shares = {s.key: s.visible for s in both}
    assert shares["near"] > 0.95 and shares["far"] < 0.8 * alone[0].visible


@every_scene
def test_outlines_agree_with_what_is_seen(scene: Scene) -> None:
    """The truth of alarms is computed without pixels; it must mean the same boxes."""
    shot, made = Shot(scene, 5), Film(Shot(scene, 5))
    compared = 0
    for time in np.arange(12.0, 80.0, 9.0):
        seen = {s.key: s for s in made.take(float(time), 0)[1]}
        for actor in shot.actors(0):
            box = outline(scene, actor, float(time))
            if box and actor.key in seen:
                found = seen[actor.key]
                x0, y0, x1, y1 = found.xyxy
                assert x0 > box[0] - 0.02 and y0 > box[1] - 0.02 and x1 < box[2] + 0.02 and y1 < box[3] + 0.02
                assert found.visible < 0.95 or iou(box, found.xyxy) > 0.85
                compared += 1
    assert compared >= 2


def test_the_sleeper_is_still_but_for_noise_and_the_worker_is_not() -> None:
    made = Film(Shot("post", 4))
    guard = made.shot.actors(0)[0]
    rest = next(p for p in guard.plan if getattr(p, "manner", "") == "asleep")
    sat = [guard.state(float(t)) for t in np.arange(rest.start, rest.end, 0.2)]
    assert all(s == sat[0] for s in sat)
    worked = [guard.state(float(t)) for t in np.arange(rest.start - 8, rest.start, 0.2)]
    assert len(set(worked)) == len(worked)

    meter, still, busy = MotionMeter(), [], []
    for index, time in enumerate(np.arange(rest.start - 7, rest.start + 7, 0.2)):
        image, seen = made.take(float(time), index)
        rate = meter.update(float(time), Frame.of("post", index, float(time), 0.0, image).luma).within(seen[0].xyxy)
        if time > rest.start + 1.5:
            still.append(rate)
        elif rest.start - 6 < time < rest.start:
            busy.append(rate)
    assert max(still) < 0.01  # the rule's still_eps is 0.02
    assert np.quantile(busy, 0.1) > 0.03


@pytest.mark.parametrize("seed", range(6))
def test_actors_are_large_enough_to_be_seen(seed: int) -> None:
    """In a zone nobody is lower than 40 of 360 pixels."""
    for scene in SCENES:
        for actor in Shot(scene, seed).actors(0):
            for time in np.arange(actor.plan[0].start, min(actor.plan[-1].end, ROUND), 4.0):
                box = outline(scene, actor, float(time))
                inside = box and any(
                    contains(zone, ((box[0] + box[2]) / 2, box[3] - 0.01)) for zone in zones(scene).values()
                )
                if box and inside and box[0] > 0.02 and box[2] < 0.98:
                    assert (box[3] - box[1]) * 360 >= 40, (scene, actor.key)


def test_slots_fill_and_empty() -> None:
    actors = Shot("lot", 11).actors(0)
    counts = [sum(s == "occupied" for s in slot_states(actors, t).values()) for t in (1.0, 45.0, 90.0)]
    assert counts == [4, 6, 5], counts


def test_geometry_is_fixed() -> None:
    """A configuration fits every seed."""
    assert {len(slots("lot"))} == {6} and set(zones("post")) == {"post"}
    assert stage("gate", 1).camera == stage("gate", 99).camera == camera("gate")


def test_another_round_has_other_actors_in_the_same_place() -> None:
    made = film("gate")
    first, later = made.take(2.0, 0)[0], made.take(ROUND + 2.0, 0)[0]
    assert np.abs(first.astype(int) - later).mean() < 12
    assert made.shot.actors(0) != made.shot.actors(1) == Shot("gate", 8).actors(0)


def test_who_sleeps_at_a_desk_lies_on_it_and_not_in_it() -> None:
    """The desk stands between him and the camera: his legs are behind it, head and arms before its top."""
    made = Film(Shot("post", 4))
    guard = made.shot.actors(0)[0]
    rest = next(p for p in guard.plan if getattr(p, "manner", "") == "asleep")
    state = guard.state(rest.start + 1)
    assert state is not None
    drawn = render_actor(made.stage.backdrop, guard.place(state))
    assert drawn.over is not None
    assert drawn.sprite is not None
    distance, upper = drawn.over
    assert distance < drawn.distance
    low, body = np.flatnonzero(upper.alpha.any(1)).max(), drawn.sprite.alpha
    assert upper.y + low < drawn.sprite.y + 0.75 * body.shape[0]
    (seen,), (sunk,) = (assemble(made.stage.backdrop, [d])[1] for d in (drawn, replace(drawn, over=None)))
    assert seen.visible > sunk.visible + 0.2
