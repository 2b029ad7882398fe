"""Stationary foreground: what is put down is found, and nothing else that makes a place look different."""

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import pytest

from smartbox.foreground import Foreground
from smartbox.geometry import iou
from smartbox.picture import PictureCheck
from smartbox.types import Box, Fault, Image, Static, Track
from tests.encoder import through_h264

W, H = 320, 180
Film = Callable[[float], np.ndarray]
Seen = list[tuple[float, tuple[Static, ...]]]


def ground(seed: int = 1, texture: float = 12.0) -> np.ndarray:
    """A yard: coarse and fine texture, a kerb, a wall with windows."""
    rng = np.random.default_rng(seed)
    picture = np.full((H, W), 105.0)
    for size in (1.0, 3.0):
        spots = cv2.GaussianBlur(rng.normal(0, 1, (H, W)), (0, 0), size)
        picture += texture * spots / spots.std() / 2
    picture[60:63] += 40
    picture[:40] = 150
    for x in range(20, W, 60):
        picture[8:30, x : x + 30] = 60
    return picture


YARD = ground()
PLAIN = ground(texture=1.5)
GRAINS = np.random.default_rng(99).normal(0, 1, (7, H, W))
BAG: Box = (150 / W, 110 / H, 166 / W, 122 / H)
MAN: Box = (200 / W, 80 / H, 218 / W, 130 / H)


def with_bag(picture: np.ndarray, grey: float = 40.0, box: Box = BAG) -> np.ndarray:
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (W, H, W, H), strict=True))
    out = picture.copy()
    out[y0:y1, x0:x1] = grey
    out[y0 + 2 : y0 + 4, x0 + 3 : x1 - 3] += 30
    return out


def noisy(picture: np.ndarray, dice: np.random.Generator, sigma: float = 2.0) -> Image:
    grain = np.roll(GRAINS[dice.integers(7)], dice.integers(W), 1)
    return np.clip(picture + sigma * grain, 0, 255).astype(np.uint8)


def watch(
    film: Film,
    end: float,
    fps: float = 2,
    tracks: Callable[[float], Sequence[Track]] = lambda t: (),
    sigma: float = 2.0,
) -> Seen:
    dice, look = np.random.default_rng(3), Foreground()
    return [
        (t, look.update(t, noisy(film(t), dice, sigma), tracks(t))) for t in (i / fps for i in range(round(end * fps)))
    ]


def times(seen: Iterable[tuple[float, tuple[Static, ...]]], box: Box = BAG) -> tuple[float, float]:
    """First and last moment at which something at `box` was listed."""
    found = [t for t, listed in seen if any(iou(s.xyxy, box) >= 0.4 for s in listed)]
    return (found[0], found[-1]) if found else (-1.0, -1.0)


def others(seen: Iterable[tuple[float, tuple[Static, ...]]], box: Box | None = BAG) -> list[tuple[float, Static]]:
    return [(t, s) for t, listed in seen for s in listed if box is None or iou(s.xyxy, box) < 0.4]


def track(box: Box, since: float, label: str = "person") -> Track:
    return Track(1, label, box, 0.9, since, since, since, ((0.0, 0.0), (0.0, 0.0)))


def bag_from(start: float, end: float = 1e9, place: np.ndarray = YARD, grey: float = 40.0) -> Film:
    return lambda t: with_bag(place, grey) if start <= t < end else place


@pytest.mark.parametrize("grey", [40.0, 190.0, 80.0])
@pytest.mark.parametrize("place", [YARD, PLAIN], ids=["textured", "plain"])
def test_a_bag_is_found_and_its_end_too(place: np.ndarray, grey: float) -> None:
    seen = watch(bag_from(20, 90, place, grey), 110)
    first, last = times(seen)
    assert 20 + 4 <= first <= 20 + 8
    assert 90 - 1 <= last <= 90 + 5
    assert others(seen) == []
    ids = {s.id for _, listed in seen for s in listed}
    (since,) = {s.since for _, listed in seen for s in listed}
    assert ids == {1}
    assert since == pytest.approx(20, abs=2)


@pytest.mark.parametrize("fps", [1, 2, 12.5])
def test_at_any_frame_rate(fps: float) -> None:
    first, last = times(watch(bag_from(20, 60), 75, fps))
    assert 24 <= first <= 20 + 8 + 1 / fps
    assert 59 - 1 / fps <= last <= 65 + 1 / fps


def test_it_stays_an_object_for_long() -> None:
    seen = watch(bag_from(20), 1200, 0.5)
    assert times(seen)[1] == pytest.approx(1198)
    assert others(seen) == []
    assert {s.id for _, listed in seen for s in listed} == {1}


def test_what_was_there_at_first_is_the_place_and_its_leaving_no_object() -> None:
    assert others(watch(bag_from(0, 40), 90), None) == []


def passing(t: float) -> float:
    return 20 * t % (W + 60) - 40


def test_passers_by_leave_nothing() -> None:
    def film(t: float) -> np.ndarray:
        picture, x = YARD.copy(), round(passing(t))
        picture[70:120, max(0, x) : max(0, x + 16)] = 30
        return picture

    assert others(watch(film, 60), None) == []


def test_a_person_who_stands_and_one_who_goes_again_are_none() -> None:
    film: Film = lambda t: with_bag(YARD, 50, MAN) if 20 <= t < 120 else YARD  # noqa: E731
    seen = watch(film, 160, tracks=lambda t: [track(MAN, 20)] if 20 <= t < 120 else [])
    assert others(seen, None) == []


def test_who_is_missed_now_and_then_is_none() -> None:
    film: Film = lambda t: with_bag(YARD, 50, MAN) if 20 <= t < 120 else YARD  # noqa: E731
    seen = watch(film, 160, tracks=lambda t: [track(MAN, 20)] if 20 <= t < 120 and t % 6 < 3 else [])
    assert others(seen, None) == []


def test_who_sits_unseen_and_stirs_is_nobody_for_long() -> None:
    """Should the model miss a person: a person moves now and then, an object does not."""

    def film(t: float) -> np.ndarray:
        dx, dy = 3 * (int(t / 7) % 3), 2 * (int(t / 11) % 2)
        body = (MAN[0] + dx / W, MAN[1] + dy / H, MAN[2] + dx / W, MAN[3])
        return with_bag(YARD, 50, body) if t >= 20 else YARD

    spells: dict[int, list[float]] = {}
    for t, listed in watch(film, 200):
        for s in listed:
            spells.setdefault(s.id, []).append(t)
    assert max((max(s) - min(s) for s in spells.values()), default=0.0) < 30


def test_the_bag_of_who_leaves_counts_from_then() -> None:
    def film(t: float) -> np.ndarray:
        picture = with_bag(YARD, 50, beside) if 20 <= t < 60 else YARD
        return with_bag(picture) if t >= 20 else picture

    beside = (BAG[2] - 4 / W, BAG[1] - 40 / H, BAG[2] + 12 / W, BAG[3])
    seen = watch(film, 120, tracks=lambda t: [track(beside, 20)] if 20 <= t < 60 else [])
    assert 60 <= times(seen)[0] <= 72
    assert times(seen)[1] > 118
    assert others(seen) == []


@pytest.mark.parametrize("label", ["car", "truck"])
def test_a_parked_car_is_none_and_neither_is_its_empty_place(label: str) -> None:
    car: Box = (80 / W, 90 / H, 160 / W, 140 / H)
    film: Film = lambda t: with_bag(YARD, 60, car) if 20 <= t < 200 else YARD  # noqa: E731
    seen = watch(film, 260, 2, lambda t: [track(car, 20, label)] if 20 <= t < 200 else [])
    assert others(seen, None) == []


def known(t: float, begins: float, score: float, moved_at: float | None = None) -> list[Track]:
    """The bag, taken for a car from `begins` on."""
    moved = begins if moved_at is None else moved_at
    return [Track(1, "car", BAG, score, begins, t, moved, ((0.0, 0.0), (0.0, 0.0)))] if t >= begins else []


@pytest.mark.parametrize(
    ("begins", "score", "moved_at", "listed"),
    [(50, 0.5, None, True), (50, 0.9, None, False), (50, 0.5, 55, False), (20, 0.5, None, False)],
    ids=["late and doubtful", "sure", "it moved", "from the start"],
)
def test_a_bag_that_is_taken_for_a_car(begins: float, score: float, moved_at: float | None, listed: bool) -> None:
    seen = watch(bag_from(20), 90, tracks=lambda t: known(t, begins, score, moved_at))
    late = [s for t, now in seen if t >= 60 for s in now]
    assert bool(late) is listed
    assert all(s.mistaken for s in late)
    assert not any(s.mistaken for t, now in seen if t < begins for s in now)


@pytest.mark.parametrize(("high", "count"), [(8, 1), (40, 2)], ids=["a handle", "another, larger one"])
def test_a_smaller_part_that_touches_an_object_is_of_it(high: int, count: int) -> None:
    above: Box = (152 / W, (110 - high) / H, 162 / W, 110 / H)
    seen = watch(lambda t: with_bag(bag_from(20)(t), 200, above) if t >= 50 else bag_from(20)(t), 110)
    assert len(seen[-1][1]) == count
    assert seen[-1][1][0].id == 1
    assert seen[-1][1][0].since == pytest.approx(20, abs=2)


# Light and weather ---------------------------------------------------------------------------------------------------


def light(gain: Callable[[float], float | np.ndarray]) -> Film:
    return lambda t: np.clip((YARD - 16) * gain(t) + 16, 0, 255)


CLOUD = cv2.GaussianBlur(np.where(np.arange(W)[None, :] < W / 2, 1.0, 0.0).repeat(H, 0), (0, 0), 14)


@pytest.mark.parametrize(
    "gain",
    [
        lambda t: 1 - 0.7 * min(1, t / 120),
        lambda t: 0.3 + 0.9 * min(1, t / 120),
        lambda t: 1 if t < 40 else 0.6,
        lambda t: 0.6 if t < 40 else 1,
        lambda t: 1 - 0.4 * CLOUD * min(1, max(0, (t - 30) / 4)),
        lambda t: 1 - 0.4 * CLOUD * (1 if 30 < t < 80 else 0),
    ],
    ids=["dusk", "dawn", "sun goes", "sun comes", "a cloud's edge", "an awning's shade"],
)
def test_light_makes_no_object(gain: Callable[[float], float | np.ndarray]) -> None:
    assert others(watch(light(gain), 150, 2), None) == []


def test_an_overexposed_sky_makes_no_object_and_a_bag_is_found_before_it() -> None:
    """The camera takes another exposure now and then; what was white stays so, or shows what was lost in it."""
    place = YARD.copy()
    place[: H // 3] = 330
    place[: H // 8, W // 4 : W // 2] = 260  # a hill far off, that is lost in the sky at times
    times_s, gains = [0, 20, 21, 45, 46, 70, 71, 95, 96], [1.2, 1.2, 0.75, 0.75, 1.1, 1.1, 0.7, 0.7, 1.0]

    def film(bag: float) -> Film:
        return lambda t: np.clip((with_bag(place) if t >= bag else place) * float(np.interp(t, times_s, gains)), 0, 255)

    assert others(watch(film(1e9), 130, 2), None) == []
    seen = watch(film(30), 130, 2)
    assert others(seen) == []
    assert times(seen)[0] < 40


def test_a_bag_stays_through_dusk() -> None:
    film: Film = lambda t: np.clip((bag_from(20)(t) - 16) * (1 - 0.7 * min(1, t / 150)) + 16, 0, 255)  # noqa: E731
    seen = watch(film, 180, 2)
    assert times(seen)[0] < 30
    assert times(seen)[1] > 178
    assert others(seen) == []


def pool(x: float, y: float, size: float) -> np.ndarray:
    yy, xx = np.mgrid[0:H, 0:W]
    return np.exp(-(((xx - x) / size) ** 2 + ((yy - y) / (0.6 * size)) ** 2))


def test_headlights_that_sweep_and_that_stay_make_no_object() -> None:
    dark = 16 + 0.25 * (YARD - 16)

    def film(t: float) -> np.ndarray:
        x = min(160.0, 30 * max(0.0, t - 20)) if t < 120 else 160 + 30 * (t - 120)
        return np.clip(dark + (1.4 * (YARD - 16)) * pool(x, 120, 40) * (t > 20), 0, 235)

    assert others(watch(film, 160, sigma=4), None) == []


def test_a_sharp_shadow_on_ground_that_shows_through_makes_no_object() -> None:
    def film(t: float) -> np.ndarray:
        picture = YARD.copy()
        if 20 <= t < 100:
            picture[100:150, 100:160] = 16 + (picture[100:150, 100:160] - 16) * 0.55
        return picture

    assert others(watch(film, 140), None) == []


@pytest.mark.parametrize("gain", [0.7, 1.4])
def test_specks_of_light_make_no_object(gain: float) -> None:
    """Too small for their edges to tell, yet each pixel is brighter, or darker, by the same factor."""

    def film(t: float) -> np.ndarray:
        picture = YARD.copy()
        for x, y in ((60, 90), (150, 120), (230, 70)) if t >= 20 else ():
            picture[y : y + 8, x : x + 9] *= gain
        return picture

    assert others(watch(film, 60), None) == []


@pytest.mark.parametrize(("wide", "high", "found"), [(3, 5, False), (5, 5, False), (4, 7, True), (8, 8, True)])
def test_a_speck_is_too_small_to_tell(wide: int, high: int, found: bool) -> None:
    speck: Box = (150 / W, 110 / H, (150 + wide) / W, (110 + high) / H)
    dark = PLAIN.copy()
    dark[110 : 110 + high, 150 : 150 + wide] = 70
    seen = watch(lambda t: dark if t >= 10 else PLAIN, 40)
    listed = [s for _, statics in seen for s in statics]
    assert bool(listed) == found
    assert all(iou(s.xyxy, speck) > 0.2 for s in listed)


def test_a_shadow_that_creeps_makes_no_object() -> None:
    def film(t: float) -> np.ndarray:
        picture, edge = YARD.copy(), 100 + t / 20  # 3 pixels a minute
        whole = int(edge)
        picture[90:170, 60:whole] = 16 + (picture[90:170, 60:whole] - 16) * 0.6
        picture[90:170, whole] = 16 + (picture[90:170, whole] - 16) * (1 - 0.4 * (edge - whole))
        return picture

    assert others(watch(film, 600, 1), None) == []


HALF_PLAIN = np.where(np.arange(H)[:, None] < 128, YARD, PLAIN)


def shadows(place: np.ndarray) -> np.ndarray:
    """Hard ones: five on ground that shows through, four on ground that is too plain to."""
    picture = place.copy()
    for x in (6, 186, 222, 258, 294):
        picture[68:98, x : x + 26] *= 0.62
    for x in range(20, 300, 70):
        picture[140:153, x : x + 20] *= 0.6
    return picture


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0])
def test_the_sun_comes_out_and_all_shadows_are_there_at_once(fps: float) -> None:
    def sunny(t: float) -> np.ndarray:
        return shadows(HALF_PLAIN) if t >= 60 else HALF_PLAIN

    assert others(watch(sunny, 150, fps), None) == []
    # What lay there before still does, and what is put down a little later is found.
    before = watch(lambda t: with_bag(sunny(t)) if t >= 20 else sunny(t), 150, fps)
    assert (times(before)[0] < 30, times(before)[1] > 148, others(before)) == (True, True, [])
    after = watch(lambda t: with_bag(sunny(t)) if t >= 75 else sunny(t), 150, fps)
    assert (75 < times(after)[0] < 86, times(after)[1] > 148, others(after)) == (True, True, [])


@pytest.mark.parametrize("takes", [5.0, 15.0, 40.0])
def test_the_sun_comes_out_slowly(takes: float) -> None:
    """The shadows come one after the other, and none is an object for long; what is put down then is found."""

    def sunny(t: float) -> np.ndarray:
        share = float(np.clip((t - 40) / takes, 0, 1))
        return YARD * (1 - share) + shadows(YARD) * share

    assert [t for t, _ in others(watch(sunny, 150, 2), None) if t > 45 + takes] == []
    later = watch(lambda t: with_bag(sunny(t)) if t >= 110 else sunny(t), 150, 2)
    assert [t for t, _ in others(later) if t > 45 + takes] == []
    assert 110 < times(later)[0] < 120


def rain(t: float) -> np.ndarray:
    dice = np.random.default_rng(round(t * 100))
    picture = YARD * (1 - 0.1 * min(1, t / 60))
    for _ in range(120):
        x, y, n = dice.integers(0, W), dice.integers(0, H - 20), dice.integers(6, 18)
        picture[y : y + n, x] += 35
    return picture


def test_rain_makes_no_object_and_hides_none() -> None:
    assert others(watch(rain, 90), None) == []
    seen = watch(lambda t: with_bag(rain(t)) if t >= 20 else rain(t), 60)
    assert 24 <= times(seen)[0] <= 32
    assert others(seen) == []


def test_a_noisy_night() -> None:
    dark = 16 + 0.25 * (YARD - 16)
    seen = watch(lambda t: with_bag(dark, 75) if t >= 20 else dark, 60, sigma=5)
    assert 24 <= times(seen)[0] <= 32
    assert others(seen) == []


def test_a_coded_video() -> None:
    dice = np.random.default_rng(5)
    film = [noisy(bag_from(20)(i / 2), dice) for i in range(120)]
    look, seen = Foreground(), []
    for i, picture in enumerate(through_h264(film, 2, 60_000)):
        seen.append((i / 2, look.update(i / 2, picture)))
    assert 24 <= times(seen)[0] <= 30
    assert others(seen) == []


# Interruptions -------------------------------------------------------------------------------------------------------


def test_after_a_gap_the_object_is_the_same() -> None:
    dice, look = np.random.default_rng(3), Foreground()
    before = [look.update(t / 2, noisy(bag_from(20)(t / 2), dice)) for t in range(80)]
    after = [look.update(100 + t / 2, noisy(bag_from(20)(100), dice)) for t in range(20)]
    assert before[-1][0].id == after[-1][0].id == 1


def test_something_in_front_hides_it_and_gives_it_back() -> None:
    front: Box = (130 / W, 90 / H, 190 / W, 140 / H)

    def film(t: float) -> np.ndarray:
        picture = bag_from(20)(t)
        return with_bag(picture, 90, front) if 60 <= t < 85 else picture

    seen = watch(film, 120, tracks=lambda t: [track(front, 60, "truck")] if 60 <= t < 85 else [])
    assert all(not listed for t, listed in seen if 63 <= t < 84)
    assert {s.id for t, listed in seen if t > 88 for s in listed} == {1}


def test_a_white_post_before_a_camera_that_stirs_is_the_place() -> None:
    """A pixel to the left, after all was learnt, and for good."""
    place = YARD.copy()
    place[100:106, 148:152] = 230

    def film(time: float) -> np.ndarray:
        moved: np.ndarray = np.roll(place, -1, 1) if time >= 60 else place
        return moved

    assert not others(watch(film, 150), None)
    bag = watch(lambda t: with_bag(film(t)) if t >= 70 else film(t), 150)
    assert times(bag)[1] == 149.5


def test_another_view_begins_anew() -> None:
    dice, look, check = np.random.default_rng(3), Foreground(), PictureCheck()
    views = YARD, np.roll(ground(7), (37, 80), (0, 1))
    for i in range(200):
        picture = noisy(views[i > 60], dice)
        listed = look.update(i / 2, picture, (), check.update(i / 2, picture))
        assert listed == () or 30 < i / 2 < 38  # until it is sure that the view moved


@pytest.mark.parametrize("fault", ["dark", "bright", "blurred"])
def test_a_faulty_picture_says_nothing_and_changes_nothing(fault: Fault) -> None:
    dice, look = np.random.default_rng(3), Foreground()
    film = bag_from(20)
    before = [look.update(i / 2, noisy(film(i / 2), dice)) for i in range(80)][-1]
    assert all(look.update(40 + i / 2, noisy(YARD * 0.1, dice), (), {fault}) == () for i in range(40))
    after = [look.update(60 + i / 2, noisy(film(60), dice)) for i in range(10)][-1]
    assert [s.id for s in before] == [s.id for s in after] == [1]


def test_another_size_begins_anew() -> None:
    look, dice = Foreground(), np.random.default_rng(1)
    for t in range(40):
        picture = noisy(YARD, dice)
        assert look.update(float(t), picture if t < 20 else np.ascontiguousarray(picture[:, :240])) == ()


def test_a_clock_that_runs_back_begins_anew() -> None:
    look, dice = Foreground(), np.random.default_rng(1)
    for t in (*range(30), *range(5, 30)):
        assert look.update(float(t), noisy(YARD, dice)) == ()


def test_of_another_light_nothing_is_known_after_the_clock_ran_back() -> None:
    look, dice = Foreground(), np.random.default_rng(1)
    for t in range(30):
        look.update(float(t), noisy(shadows(YARD) if t >= 20 else YARD, dice))
    seen = [(float(t), look.update(float(t), noisy(with_bag(YARD) if t >= 20 else YARD, dice))) for t in range(40)]
    assert 20 < times(seen)[0] < 30
