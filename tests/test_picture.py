"""The picture's own faults: each found in time, none in a picture that is merely dull."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest

from smartbox.picture import PictureCheck, PictureSettings
from smartbox.types import Fault, Image
from tests.encoder import through_h264

W, H = 640, 360
Film = Callable[[float], Image]


def street(seed: int = 1) -> Image:
    """Larger than the view, so that it can be panned over: houses, windows, poles."""
    rng = np.random.default_rng(seed)
    picture = np.full((H + 200, W + 400), 110.0)
    for _ in range(120):
        x, y, w, h = rng.integers(0, W + 300), rng.integers(0, H + 120), rng.integers(6, 140), rng.integers(6, 100)
        picture[y : y + h, x : x + w] = rng.uniform(30, 220)
    return picture.astype(np.uint8)


STREET = street()
GRAINS = np.random.default_rng(99).normal(0, 1, (7, H, W)).astype(np.float32)
DICE = np.random.default_rng(98)


def view(x: int = 100, y: int = 50) -> Image:
    return STREET[y : y + H, x : x + W]


def noisy(picture: np.ndarray, sigma: float = 2.5) -> Image:
    """With sensor noise: one of seven grains, shifted at random."""
    grain = np.roll(GRAINS[DICE.integers(7)], DICE.integers(W), 1)
    return np.clip(picture + sigma * grain, 0, 255).astype(np.uint8)


def judge(film: Film, end: float, fps: float = 2, check: PictureCheck | None = None, start: float = 0.0) -> list:
    check = check or PictureCheck()
    return [(start + i / fps, check.update(start + i / fps, film(start + i / fps))) for i in range(round(end * fps))]


def spells(seen: Iterable[tuple[float, frozenset[Fault]]], fault: Fault) -> list[float]:
    """Times at which `fault` came and went, in turns."""
    turns: list[float] = []
    for time, faults in seen:
        if (fault in faults) != (len(turns) % 2 == 1):
            turns.append(time)
    return turns


def faulty(picture: Image, fault: Fault) -> Image:
    match fault:
        case "dark":
            return noisy(16 + picture * 0.03)
        case "bright":
            return noisy(np.clip(picture * 1.0 + 200, 0, 235), 1)
        case "blurred":
            return noisy(cv2.GaussianBlur(picture, (0, 0), 5))
        case "moved":
            return noisy(view(220, 80))
        case _:
            return picture


@pytest.mark.parametrize("fps", [1, 4])
@pytest.mark.parametrize("fault", ["dark", "bright", "blurred", "moved", "frozen"])
def test_each_fault_is_found_alone_and_taken_back(fault: Fault, fps: float) -> None:
    still = noisy(view())

    def film(t: float) -> Image:
        if 20 <= t < 45:
            return still if fault == "frozen" else faulty(view(), fault)
        return noisy(view())

    seen = judge(film, 60, fps)
    came, went = spells(seen, fault)
    assert 20 + 2 <= came <= 20 + 12
    assert 45 <= went <= 45 + 5
    assert not any(faults - {fault} for _, faults in seen)


@pytest.mark.parametrize("fault", ["dark", "bright", "blurred", "moved"])
def test_two_seconds_of_it_are_not_reported(fault: Fault) -> None:
    seen = judge(lambda t: faulty(view(), fault) if 20 <= t < 22 else noisy(view()), 30)
    assert not any(faults for _, faults in seen)


def test_a_covered_lens_in_daylight_is_blurred() -> None:
    seen = judge(lambda t: noisy(np.full((H, W), 120)) if t > 20 else noisy(view()), 40)
    assert spells(seen, "blurred")[0] < 26


@pytest.mark.parametrize("contrast", [0.8, 0.5, 0.3])
def test_fog_is_no_fault_and_does_not_flap(contrast: float) -> None:
    def film(t: float) -> Image:
        fog = 1 - (1 - contrast) * min(1, max(0, (t - 20) / 30)) * (0.9 + 0.1 * np.sin(t))
        return noisy(150 + (view() - 150.0) * fog)

    assert not any(faults for _, faults in judge(film, 120))


def test_dense_fog_is_said_once() -> None:
    def film(t: float) -> Image:
        fog = 1 - 0.98 * min(1, max(0, (t - 20) / 60)) - 0.01 * np.sin(t)
        return noisy(150 + (view() - 150.0) * fog)

    assert len(spells(judge(film, 150, 2), "blurred")) == 1


@pytest.mark.parametrize("sigma", [0.8, 3, 8])
def test_a_plain_wall_is_a_picture_like_any_other(sigma: float) -> None:
    wall = np.linspace(90, 130, W)[None, :].repeat(H, 0)
    assert not any(faults for _, faults in judge(lambda t: noisy(wall, sigma), 60))


def test_nightfall_with_lamps_and_noise_is_no_fault() -> None:
    def film(t: float) -> Image:
        day = max(0.2, 1 - t / 60)
        picture = 16 + (view() - 16.0) * day
        if t > 40:
            picture[60:120, 100:300] = 200  # what the lamp shows
        return noisy(picture, 2 + 6 * (1 - day))

    assert not any(faults for _, faults in judge(film, 90, 2))


def test_passers_by_and_a_lorry_do_not_move_the_view() -> None:
    def film(t: float) -> Image:
        picture = view().copy()
        x = int(40 * t) % (W + 100) - 100
        picture[150:330, max(0, x) : max(0, x + 60)] = 40
        if 30 < t < 40:  # a lorry in front of half of the picture
            picture[60:, 280:] = 180
            picture[100:140, 300:600] = 60
        return noisy(picture)

    assert not any(faults for _, faults in judge(film, 60))


def test_sunshine_and_shadows_do_not_move_the_view() -> None:
    def film(t: float) -> Image:
        shade = np.where(np.arange(W)[None, :] < W * t / 100, 0.6, 1.0)
        return noisy(view() * shade * (0.8 + 0.2 * np.sin(t / 5)))

    assert not any(faults for _, faults in judge(film, 100, 2))


def test_wind_that_shakes_the_pole_is_no_move() -> None:
    def film(t: float) -> Image:
        return noisy(view(100 + round(3 * np.sin(5 * t)), 50 + round(2 * np.cos(3 * t))))

    assert not any(faults for _, faults in judge(film, 60))


def test_a_moved_view_becomes_the_usual_one() -> None:
    film = lambda t: noisy(view(220, 80) if t > 20 else view())  # noqa: E731
    came, went = spells(judge(film, 110, 2), "moved")
    assert 22 < came < 26
    assert 75 < went < 90


def test_a_view_turned_elsewhere_is_moved() -> None:
    other = street(7)[50 : 50 + H, 100 : 100 + W]
    assert spells(judge(lambda t: noisy(other if t > 20 else view()), 40), "moved")[0] < 26


def coded(pictures: list[Image], fps: int) -> list[Image]:
    """Through x264 at 200 kbit/s with a key frame every two seconds."""
    return list(through_h264(pictures, fps, 200_000))


@pytest.mark.parametrize("sigma", [1.0, 2.5, 6.0])
def test_a_live_but_motionless_scene_through_h264_is_not_frozen(sigma: float) -> None:
    film = coded([noisy(view(), sigma) for _ in range(5 * 30)], 5)
    assert not any(faults for _, faults in judge(lambda t: film[round(t * 5)], 30, 5))


def test_a_frozen_picture_that_is_coded_anew_is_frozen() -> None:
    still = noisy(view())
    film = coded([noisy(view()) for _ in range(5 * 8)] + [still] * (5 * 35), 5)
    (came,) = spells(judge(lambda t: film[round(t * 5)], 43, 5), "frozen")
    assert came < 8 + 30  # x264 takes some key frames to settle


@pytest.mark.parametrize("level", [16, 235])
def test_a_cap_or_a_lamp_before_the_lens_is_not_frozen_as_well(level: int) -> None:
    """Such a picture has no noise: one cause is one fault, and afterwards the picture lives as before."""
    plain = np.full((H, W), level, np.uint8)
    seen = judge(lambda t: plain if 20 <= t < 60 else noisy(view()), 120)
    assert spells(seen, "frozen") == []
    assert len(spells(seen, "dark" if level == 16 else "bright")) == 2


def test_a_gap_freezes_nothing() -> None:
    check, still = PictureCheck(), noisy(view())
    for start in (0.0, 60.0, 120.0):
        assert not any(faults for _, faults in judge(lambda t: still, 5, check=check, start=start))


def test_a_new_size_in_mid_stream_is_no_fault() -> None:
    film = lambda t: cv2.resize(noisy(view()), (W * 2, H * 2) if t > 20 else (W, H))  # noqa: E731
    assert not any(faults for _, faults in judge(film, 40, 2))


def test_settings_are_kept() -> None:
    check = PictureCheck(PictureSettings(dark=120.0, hold=1.0))
    assert spells(judge(lambda t: noisy(view() * 0.5), 10, check=check), "dark")[0] <= 1.5


def test_an_encoder_that_pauses_longer_and_longer_is_not_frozen_until_it_is() -> None:
    news = [0.5 * i for i in range(20)] + [13, 18, 25, 37, 55, 75]  # s at which anything new comes
    stills = [noisy(view()) for _ in news]
    seen = judge(lambda t: stills[sum(t >= at for at in news) - 1], 160)
    (came,) = spells(seen, "frozen")
    assert 75 + 50 <= came <= 75 + 65
