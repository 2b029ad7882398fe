"""The tracker: who is who, told in seconds at any frame rate."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.tracker import Tracker, TrackerSettings
from smartbox.types import Box, Detections, Track

LABELS = ("person", "car", "truck", "bus", "dog")
Seen = tuple[str, Box, float]  # label, box, score


def found(*seen: Seen) -> Detections:
    if not seen:
        return Detections.empty(LABELS)
    names, xyxy, score = zip(*seen, strict=True)
    return Detections(
        np.array(xyxy, np.float32), np.array(score, np.float32), np.array([LABELS.index(n) for n in names]), LABELS
    )


def around(x: float, y: float, w: float = 0.06, h: float = 0.25) -> Box:
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def person(x: float, y: float = 0.5, score: float = 0.8) -> Seen:
    return ("person", around(x, y), score)


def car(x: float, y: float = 0.6, label: str = "car", score: float = 0.8, w: float = 0.16, h: float = 0.14) -> Seen:
    return (label, around(x, y, w, h), score)


def shaken(rng: np.random.Generator, seen: Seen, sigma: float = 0.03) -> Seen:
    """The same with detector jitter of `sigma` of the box's size on every edge."""
    label, (x0, y0, x1, y1), score = seen
    dx, dy = sigma * (x1 - x0), sigma * (y1 - y0)
    e = rng.normal(0, 1, 4)
    return label, (x0 + e[0] * dx, y0 + e[1] * dy, x1 + e[2] * dx, y1 + e[3] * dy), score


def times(fps: float, start: float, end: float) -> Iterable[float]:
    return (start + i / fps for i in range(round((end - start) * fps) + 1))


def follow(
    tracker: Tracker, fps: float, end: float, world: Callable[[float], Sequence[Seen]], start: float = 0.0
) -> list[tuple[float, tuple[Track, ...]]]:
    return [(t, tracker.update(t, found(*world(t)))) for t in times(fps, start, end)]


def ids(scenes: list[tuple[float, tuple[Track, ...]]]) -> set[int]:
    return {track.id for _, tracks in scenes for track in tracks}


# --- who is who


@pytest.mark.parametrize("fps", [2, 5, 10, 25])
def test_people_who_cross_keep_their_ids(fps: float) -> None:
    """They walk at 0.12 of the picture's width a second; while one hides the other, one detection is missing."""
    rng = np.random.default_rng(1)

    def world(t: float) -> list[Seen]:
        a, b = 0.1 + 0.12 * t, 0.9 - 0.12 * t
        hidden = abs(a - b) < 0.03
        return [shaken(rng, person(a, 0.5)), *([] if hidden else [shaken(rng, person(b, 0.47))])]

    scenes = follow(Tracker(), fps, 6.0, world)
    first = {t.id: t.xyxy[0] for t in scenes[round(fps)][1]}
    last = {t.id: t.xyxy[0] for t in scenes[-1][1]}
    assert len(first) == 2
    assert ids(scenes) == set(first) == set(last)
    assert all((first[i] < 0.5) == (last[i] > 0.5) for i in first)


def test_five_people_in_a_crowd_at_5_fps_keep_their_ids() -> None:
    rng = np.random.default_rng(2)
    speed = [0.05, -0.06, 0.08, -0.04, 0.07]
    start = [0.1, 0.9, 0.2, 0.8, 0.05]
    height = [0.3, 0.42, 0.5, 0.58, 0.66]

    def world(t: float) -> list[Seen]:
        return [
            shaken(rng, person(x + v * t, y))
            for x, v, y in zip(start, speed, height, strict=True)
            if rng.random() > 0.1  # one in ten is missed
        ]

    assert len(ids(follow(Tracker(), 5, 10.0, world))) == 5


def test_a_fast_car_at_5_fps_is_one_car() -> None:
    """Its boxes of one frame and the next do not overlap at all."""
    scenes = follow(Tracker(), 5, 1.6, lambda t: [car(-0.1 + 0.9 * t, w=0.15)] if 0.0 <= t <= 1.2 else [])
    assert len(ids(scenes)) == 1


@pytest.mark.parametrize("step", [1.0, 1.5])
def test_a_slow_walker_looked_at_rarely_is_one_person(step: float) -> None:
    scenes = follow(Tracker(), 1 / step, 15.0, lambda t: [person(0.2 + 0.04 * t)])
    assert len(ids(scenes)) == 1
    assert len(scenes[-1][1]) == 1


def test_a_standing_car_keeps_its_id_through_jitter_and_30_s_behind_a_lorry() -> None:
    rng = np.random.default_rng(3)

    def world(t: float) -> list[Seen]:
        lorry = car(0.2 + 0.3 * (t - 59.5), 0.6, "truck", w=0.5, h=0.4) if 59 < t <= 60.5 else None
        if 60.5 < t < 90.5:
            lorry = car(0.5, 0.6, "truck", w=0.5, h=0.4)
        if 90.5 <= t < 93:
            lorry = car(0.5 + 0.3 * (t - 90.5), 0.6, "truck", w=0.5, h=0.4)
        hidden = 60.4 < t < 91.0
        return [shaken(rng, s) for s in ([] if hidden else [car(0.5)]) + ([lorry] if lorry else [])]

    scenes = follow(Tracker(), 5, 120.0, world)
    parked = scenes[20][1][0]
    for t, tracks in scenes[5:]:
        mine = [x for x in tracks if x.id == parked.id]
        assert len(mine) == 1, t  # listed all the time: the lorry that is seen explains why it is not
        assert mine[0].moved_at < 2, t
        assert mine[0].seen == (not 60.4 < t < 91.0)
    assert len(ids(scenes)) == 2


def test_a_standing_car_that_nothing_hides_is_unlisted_soon_but_keeps_its_id() -> None:
    def world(t: float) -> list[Seen]:
        return [] if 20 < t < 50 else [car(0.5)]

    scenes = follow(Tracker(), 5, 60.0, world)
    listed = {t: bool(tracks) for t, tracks in scenes}
    assert listed[22.0]
    assert not listed[24.0]
    assert not listed[49.0]
    assert listed[51.0]
    assert len(ids(scenes)) == 1


def test_another_car_after_a_minute_is_another_car() -> None:
    scenes = follow(Tracker(), 5, 100.0, lambda t: [] if 20 < t < 80 else [car(0.5)])
    assert len(ids(scenes)) == 2


def test_a_person_who_leaves_and_one_who_comes_are_two() -> None:
    def world(t: float) -> list[Seen]:
        if t < 3:
            return [person(0.5 + 0.15 * t)]
        return [person(0.95 - 0.15 * (t - 9))] if t > 9 else []

    assert len(ids(follow(Tracker(), 5, 12.0, world))) == 2


@pytest.mark.parametrize("fps", [2, 5, 10])
def test_who_comes_to_stand_where_another_stood_is_another(fps: float) -> None:
    """The first one is missed while he leaves; the second walks in and stops in the same place."""

    def world(t: float) -> list[Seen]:
        return [person(0.5)] if t < 10 else [person(max(0.5, 1.0 - 0.15 * (t - 15)))] if t > 15 else []

    scenes = follow(Tracker(), fps, 25.0, world)
    assert len(ids(scenes)) == 2
    assert scenes[-1][1][0].first_seen > 14


# --- labels and scores


def test_a_vehicle_whose_label_flips_is_one_vehicle_with_the_label_that_was_said_most() -> None:
    said = ["car", "car", "truck", "car", "bus", "car", "truck", "car"]
    scenes = follow(Tracker(), 5, 12.0, lambda t: [car(0.3, label=said[round(t * 5) % 8])])
    assert len(ids(scenes)) == 1
    assert {t.label for _, tracks in scenes for t in tracks} == {"car"}


def test_two_labels_on_one_vehicle_in_one_frame_are_one_vehicle() -> None:
    scenes = follow(Tracker(), 5, 4.0, lambda t: [car(0.3), car(0.302, label="truck", score=0.6)])
    assert len(ids(scenes)) == 1


def test_a_label_can_be_learnt_better() -> None:
    scenes = follow(Tracker(), 5, 60.0, lambda t: [car(0.3, label="car" if t < 10 else "bus")])
    assert scenes[10][1][0].label == "car"
    assert scenes[-1][1][0].label == "bus"


def test_a_person_in_front_of_a_car_is_no_vehicle() -> None:
    scenes = follow(Tracker(), 5, 4.0, lambda t: [car(0.5), ("person", around(0.5, 0.6, 0.15, 0.14), 0.7)])
    assert sorted(t.label for t in scenes[-1][1]) == ["car", "person"]


def test_groups_are_settings() -> None:
    tracker = Tracker(TrackerSettings(groups={"dog": "animal", "person": "animal"}))
    scenes = follow(tracker, 5, 4.0, lambda t: [("dog" if t < 2 else "person", around(0.5, 0.5), 0.7)])
    assert len(ids(scenes)) == 1


def test_faint_detections_keep_a_known_object_but_begin_none() -> None:
    scenes = follow(Tracker(), 5, 10.0, lambda t: [person(0.2 + 0.02 * t, score=0.2 if t % 1 > 0.3 else 0.8)])
    assert len(ids(scenes)) == 1
    assert all(tracks[0].seen for t, tracks in scenes if t > 0.2)
    assert not ids(follow(Tracker(), 5, 10.0, lambda t: [person(0.5, score=0.3)]))


def test_a_faint_ghost_does_not_hand_one_visitor_to_the_next() -> None:
    """Who walks off leaves a faint false box on the floor; who comes next is another."""
    ghost = (0.5, 0.55, 0.95, 0.98)

    def room(t: float) -> list[tuple[str, Box, float]]:
        if t < 8:
            return [("person", (0.5, 0.0, 0.7, 0.95), 0.9)]
        return [("person", ghost, 0.3)] if t < 13 else [("person", (0.3, 0.1, 0.5, 1.0), 0.9)]

    assert len(ids(follow(Tracker(), 5, 20.0, room))) == 2


@pytest.mark.parametrize(
    "more",
    [
        (0.408, 0.318, 0.464, 0.562),
        (0.395, 0.316, 0.45, 0.57),
        (0.402, 0.31, 0.445, 0.69),
        (0.4174, 0.324, 0.4524, 0.543),
    ],
)
def test_a_body_found_again_with_its_shadow_or_its_legs_is_one_object(more: Box) -> None:
    """The two boxes overlap by less than half, and either may be the better one."""
    body = (0.41, 0.32, 0.437, 0.54)

    def world(t: float) -> list[Seen]:
        score, other = (0.74, 0.6) if round(t * 5) % 4 else (0.6, 0.9)
        return [("person", body, score)] if t < 1 else [("person", body, score), ("person", more, other)]

    assert ids(follow(Tracker(), 5, 6.0, world)) == {1}


def test_who_comes_in_close_behind_another_is_another() -> None:
    """Both are cut by the picture's edge, as high as one another, and so share three edges."""

    def world(t: float) -> list[Seen]:
        first, second = 0.15 * t, 0.15 * (t - 0.5)
        return [("person", (max(0.0, x - 0.06), 0.4, x, 0.65), 0.8) for x in (first, second) if x > 0.02]

    assert ids(follow(Tracker(), 5, 2.0, world)) == {1, 2}


def test_who_lies_at_the_edge_is_not_found_twice() -> None:
    """The second box is a part of him, cut by the same edge; who lies still does not come in one after the other."""

    def world(t: float) -> list[Seen]:
        body = ("person", (0.31, 0.67, 0.76, 1.0), 0.95)
        return [body] if t < 4 else [body, ("person", (0.31, 0.71, 0.5, 1.0), 0.55)]

    assert ids(follow(Tracker(), 1, 12.0, world)) == {1}


@pytest.mark.parametrize("fps", [5.0, 15.0])
def test_who_comes_in_where_another_has_just_gone_out_is_another(fps: float) -> None:
    """A walker's box shrinks at the picture's edge, and in the next frame another one's grows there."""

    def world(t: float) -> list[Seen]:
        x = 0.3 - 0.12 * t if t < 2.5 else 0.12 * (t - 2.5)
        return [("person", (max(0.0, x - 0.04), 0.4, x + 0.04, 0.65), 0.8)]

    assert ids(follow(Tracker(), fps, 5.0, world)) == {1, 2}


def test_who_turns_round_at_the_edge_is_himself() -> None:
    """He slows down, turns, and walks back."""

    def world(t: float) -> list[Seen]:
        x = 0.03 + 0.03 * (t - 3.0) ** 2
        return [("person", (max(0.0, x - 0.04), 0.4, x + 0.04, 0.65), 0.8)]

    assert ids(follow(Tracker(), 5, 6.0, world)) == {1}


def test_who_sets_off_while_hardly_found_keeps_his_id() -> None:
    """He stood for long, is missed for half a second, and then is a step away."""

    def world(t: float) -> list[Seen]:
        x = 0.3 + 0.1 * max(0.0, t - 10.0)
        return [] if 10.0 <= t < 10.7 else [person(x)]

    assert ids(follow(Tracker(), 5, 13.0, world)) == {1}


def test_the_score_of_a_track_follows_slowly() -> None:
    scenes = follow(Tracker(), 5, 10.0, lambda t: [person(0.5, score=0.3 if t == 5.0 else 0.8)])
    assert all(tracks[0].score > 0.7 for t, tracks in scenes if t > 0.2)


# --- from a glimpse to an object, and back


@pytest.mark.parametrize("fps", [2, 5, 25])
def test_one_false_box_makes_no_object(fps: float) -> None:
    scenes = follow(Tracker(), fps, 60.0, lambda t: [person(0.5, score=0.7)] if t % 10 == 0 else [])
    assert not ids(scenes)


@pytest.mark.parametrize(("score", "fps", "after"), [(0.9, 5, 0.0), (0.7, 5, 0.2), (0.7, 25, 0.16), (0.7, 2 / 3, 1.5)])
def test_an_object_is_believed_at_the_second_look_or_at_once_when_sure(score: float, fps: float, after: float) -> None:
    scenes = follow(Tracker(), fps, 3.0, lambda t: [person(0.5, score=score)])
    assert next(t for t, tracks in scenes if tracks) == pytest.approx(after)
    assert scenes[-1][1][0].first_seen == 0


def test_a_missed_frame_is_bridged() -> None:
    scenes = follow(Tracker(), 5, 6.0, lambda t: [] if round(t * 5) % 4 == 0 else [person(0.2 + 0.1 * t)])
    after = [tracks for t, tracks in scenes if t >= 0.6]
    assert all(len(tracks) == 1 for tracks in after)
    assert {tracks[0].seen for tracks in after} == {True, False}
    assert len(ids(scenes)) == 1


def test_a_walker_who_vanishes_is_listed_for_a_second_only() -> None:
    scenes = follow(Tracker(), 5, 8.0, lambda t: [person(0.2 + 0.05 * t)] if t <= 3 else [])
    unseen = [t for t, tracks in scenes if any(not x.seen for x in tracks)]
    assert unseen[0] == pytest.approx(3.2)
    assert unseen[-1] == pytest.approx(4.0)


def test_gated_frames_carry_objects_on_without_moving_them() -> None:
    tracker = Tracker()
    before = follow(tracker, 5, 2.0, lambda t: [person(0.3 + 0.1 * t)])[-1][1][0]
    for t in (2.2, 2.8, 3.4):
        (now,) = tracker.carry(t)
        assert (now.id, now.xyxy, now.seen) == (before.id, before.xyxy, False)
        assert now.trail == (before.trail[1], before.trail[1])
        assert now.last_seen == 2.0
    assert tracker.carry(3.4)[0].moved_at == before.moved_at


@pytest.mark.parametrize(("still", "is_found"), [(True, True), (False, False)])
def test_a_picture_without_motion_is_no_reason_to_doubt_who_stands_hardly_found(still: bool, is_found: bool) -> None:
    tracker = Tracker()
    (before,) = follow(tracker, 5, 4.0, lambda t: [person(0.4)])[-1][1]
    for t in (4.2, 5.0, 6.0, 7.0):
        if still:
            tracker.carry(t)
        else:
            tracker.update(t, found())
    seen = [track.id for track in tracker.update(7.2, found(person(0.4, score=0.3))) if track.seen]
    assert seen == ([before.id] if is_found else [])


def test_after_half_a_minute_without_pictures_a_walker_is_gone_and_a_parked_car_is_there_when_found() -> None:
    tracker = Tracker()
    (parked,) = [
        t for t in follow(tracker, 5, 5.0, lambda t: [person(0.1 + 0.05 * t), car(0.7)])[-1][1] if t.label == "car"
    ]
    assert tracker.update(35.0, found()) == ()
    (now,) = tracker.update(35.2, found(car(0.7)))
    assert (now.id, now.seen) == (parked.id, True)


def test_time_that_runs_backwards_begins_anew_with_new_ids() -> None:
    tracker = Tracker()
    before = follow(tracker, 5, 104.0, lambda t: [car(0.5)], start=100.0)
    after = follow(tracker, 5, 54.0, lambda t: [car(0.5)], start=50.0)
    assert ids(before) == {1}
    assert ids(after) == {2}
    assert after[-1][1][0].first_seen == 50.0


def test_unusable_boxes_are_passed_over() -> None:
    tracker = Tracker()
    nan = float("nan")
    odd: list[Seen] = [
        ("person", (0.5, 0.5, 0.5, 0.7), 0.9),
        ("person", (0.6, 0.5, 0.4, 0.7), 0.9),
        ("person", (nan, 0.5, 0.4, 0.7), 0.9),
        ("person", around(0.3, 0.3), nan),
    ]
    assert tracker.update(0.0, found(*odd)) == ()
    assert tracker.update(0.2, found(*odd)) == ()


# --- standing and moving


@pytest.mark.parametrize("fps", [1, 5, 25])
def test_jitter_is_no_movement(fps: float) -> None:
    rng = np.random.default_rng(5)
    scenes = follow(Tracker(), fps, 120.0, lambda t: [shaken(rng, car(0.5), 0.05), shaken(rng, person(0.2), 0.05)])
    assert all(track.moved_at == 0 for track in scenes[-1][1])
    assert len(scenes[-1][1]) == 2


@pytest.mark.parametrize("fps", [1, 5, 25])
@pytest.mark.parametrize("speed", [0.004, 0.02, 0.2])
def test_even_creeping_is_movement(fps: float, speed: float) -> None:
    """A person 0.25 high who shuffles by a fortieth of his height each second."""
    scenes = follow(Tracker(), fps, 4.0 if speed > 0.1 else 40.0, lambda t: [person(0.1 + speed * t)])
    end, (track,) = scenes[-1]
    assert end - track.moved_at < 12
    assert len(ids(scenes)) == 1


def test_a_car_that_comes_straight_towards_the_camera_moves() -> None:
    scenes = follow(Tracker(), 5, 8.0, lambda t: [car(0.5, 0.5, w=0.1 * 1.2**t, h=0.1 * 1.2**t)])
    assert scenes[-1][0] - scenes[-1][1][0].moved_at < 3
    assert len(ids(scenes)) == 1


def test_a_car_half_hidden_by_a_passer_by_does_not_move() -> None:
    whole = around(0.5, 0.6, 0.2, 0.16)

    def world(t: float) -> list[Seen]:
        x = 0.1 * (t - 10)  # the passer-by's left edge; he hides what is right of it
        if 10 + 4 < t < 10 + 5.5:
            return [("car", (whole[0], whole[1], max(x, whole[0] + 0.08), whole[3]), 0.6)]
        return [("car", whole, 0.8)]

    scenes = follow(Tracker(), 5, 20.0, world)
    assert len(ids(scenes)) == 1
    assert scenes[-1][1][0].moved_at == 0


def test_a_car_that_parks_and_leaves_tells_when() -> None:
    def world(t: float) -> list[Seen]:
        x = 0.2 + 0.1 * min(t, 4) + 0.1 * max(0, t - 30)
        return [car(x)]

    scenes = dict(follow(Tracker(), 5, 33.0, world))
    assert scenes[29.8][0].moved_at == pytest.approx(4, abs=0.6)
    assert scenes[32.0][0].moved_at == pytest.approx(32, abs=0.6)


def test_boxes_are_close_to_the_detections() -> None:
    rng = np.random.default_rng(6)
    for t, tracks in follow(Tracker(), 5, 6.0, lambda t: [shaken(rng, person(0.1 + 0.12 * t), 0.03)]):
        for track in tracks:
            assert track.xyxy == pytest.approx(around(0.1 + 0.12 * t, 0.5), abs=0.03)


# --- trails for line crossing


def test_trails_join_without_gaps_also_over_missed_hidden_and_gated_frames() -> None:
    tracker = Tracker()
    end: dict[int, tuple[float, float]] = {}
    start = None
    for i, t in enumerate(times(5, 0, 12)):
        if i % 3 == 2:
            tracks = tracker.carry(t)
        else:
            visible = not (2 <= t <= 2.5 or 5 <= t <= 7)
            tracks = tracker.update(t, found(*([person(0.05 + 0.07 * t)] if visible else [])))
        for track in tracks:
            start = start or track.trail[0]
            assert track.trail[0] == end.get(track.id, track.trail[0])
            end[track.id] = track.trail[1]
    assert len(end) == 1
    assert start == pytest.approx((0.05, 0.625), abs=1e-6)  # the trail begins at the very first look
    assert end[1] == pytest.approx((0.05 + 0.07 * 12, 0.625), abs=0.01)


def test_an_unseen_track_leaves_no_trail() -> None:
    scenes = follow(Tracker(), 5, 6.0, lambda t: [person(0.2 + 0.1 * t)] if t <= 3 else [])
    for _, tracks in scenes:
        for track in tracks:
            assert track.seen or track.trail[0] == track.trail[1]


# --- properties

box = st.tuples(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0.02, 0.3), st.floats(0.02, 0.3)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
seen = st.tuples(st.sampled_from(LABELS), box, st.floats(0.05, 1.0))
eighths = st.lists(st.integers(0, 40), min_size=1, max_size=12)
film = st.lists(st.tuples(st.sampled_from([1, 2, 4, 8, 12, 60, 400]), st.lists(seen, max_size=6)), max_size=12)


def run(steps: list[tuple[int, list[Seen]]], shift: float = 0.0) -> list[tuple[Track, ...]]:
    tracker, time, out = Tracker(), shift, []
    for eighth, detections in steps:
        time += eighth / 8
        out.append(tracker.update(time, found(*detections)))
    return out


@given(film)
def test_ids_are_unique_and_never_come_back_with_another_birth(steps: list[tuple[int, list[Seen]]]) -> None:
    born: dict[int, float] = {}
    for tracks in run(steps):
        assert len({t.id for t in tracks}) == len(tracks)
        assert [t.id for t in tracks] == sorted(t.id for t in tracks)
        for track in tracks:
            assert born.setdefault(track.id, track.first_seen) == track.first_seen
            assert track.first_seen <= track.moved_at <= track.last_seen
            assert all(0 <= v <= 1 for v in (*track.xyxy, track.score))


@given(film, st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(steps: list[tuple[int, list[Seen]]], random) -> None:
    mixed = [(step, random.sample(detections, len(detections))) for step, detections in steps]
    assert run(mixed) == run(steps)


@given(film, st.integers(-1000, 100_000))
def test_a_shift_of_time_shifts_times_only(steps: list[tuple[int, list[Seen]]], shift: int) -> None:
    def timeless(t: Track) -> object:
        return (t.id, t.label, t.xyxy, t.score, t.trail, t.seen)

    here, there = run(steps), run(steps, float(shift))
    assert [[timeless(t) for t in tracks] for tracks in here] == [[timeless(t) for t in tracks] for tracks in there]
    assert [[t.moved_at + shift for t in tracks] for tracks in here] == [[t.moved_at for t in x] for x in there]
