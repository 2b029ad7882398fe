"""Motion: still things in noisy pictures are still, moving things move, at any frame rate."""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest

from smartbox.luma import shrink
from smartbox.motion import Gate, MotionMeter, MotionSettings
from smartbox.types import Box, Image, Motion
from tests.encoder import through_h264

W, H = 640, 360
PERSON: Box = (0.45, 0.3, 0.6, 0.9)
STILL_EPS = 0.02  # of the sleep rule

Noise = Callable[[Image], Image]


def room(rng: np.random.Generator) -> Image:
    """A background with texture: furniture-like patches and a gradient."""
    picture = np.linspace(60, 150, W)[None, :].repeat(H, 0)
    for _ in range(25):
        x, y, w, h = rng.integers(0, W - 60), rng.integers(0, H - 40), rng.integers(20, 120), rng.integers(15, 90)
        picture[y : y + h, x : x + w] += rng.uniform(-50, 50)
    return np.clip(picture, 16, 235).astype(np.uint8)


def with_person(picture: Image, t: float, moving: bool) -> Image:
    """A seated person: torso, head, and an arm that goes up and down every 1.3 s when `moving`."""
    out = picture.copy()
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(PERSON, (W, H, W, H), strict=True))
    cx, height = (x0 + x1) // 2, y1 - y0
    reach = round(0.10 * height * np.sin(2 * np.pi * t / 1.3)) if moving else 0
    cv2.rectangle(out, (x0 + 12, y0 + height // 3), (x1 - 12, y1), 70, -1)
    cv2.circle(out, (cx + reach // 3, y0 + height // 6), height // 8, 170, -1)
    cv2.line(out, (cx, y0 + height // 2), (x1 - 5, y0 + height // 2 + reach), 170, 12)
    return out


def sensor(rng: np.random.Generator, sigma: float) -> Noise:
    return lambda picture: np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def jpeg(rng: np.random.Generator) -> Noise:
    """A cheap camera's MJPEG: sensor noise, quality 35, each picture coded for itself."""

    def code(picture: Image) -> Image:
        noisy = sensor(rng, 6)(picture)
        data = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 35])[1]
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)

    return code


def night(rng: np.random.Generator) -> Noise:
    """Infrared at high gain: noise that is stronger where it is dark, and correlated over several pixels."""

    def code(picture: Image) -> Image:
        grain = cv2.GaussianBlur(rng.normal(0, 1, picture.shape), (0, 0), 1.5) * 5
        return np.clip(picture * 0.5 + 16 + rng.normal(0, 8, picture.shape) + grain * 3, 0, 255).astype(np.uint8)

    return code


def h264(pictures: list[Image], fps: int) -> Iterator[Image]:
    return through_h264(pictures, fps, 300_000)


def rates(pictures: Iterator[Image], fps: float, box: Box, meter: MotionMeter | None = None) -> np.ndarray:
    """Motion within `box` of each picture after the first second."""
    meter = meter or MotionMeter()
    seen = [meter.update(i / fps, picture).within(box) for i, picture in enumerate(pictures)]
    return np.array(seen[max(1, round(fps)) :])


NOISES = {
    "none": lambda rng: lambda picture: picture,
    "sensor": lambda rng: sensor(rng, 8),
    "jpeg": jpeg,
    "night": night,
}


@pytest.mark.parametrize("fps", [1, 5, 25])
@pytest.mark.parametrize("noise", NOISES)
def test_a_still_person_is_still_and_a_working_one_is_not(noise: str, fps: int) -> None:
    rng = np.random.default_rng(3)
    background, code = room(rng), NOISES[noise](rng)

    def film(moving: bool) -> Iterator[Image]:
        return (code(with_person(background, i / fps, moving)) for i in range(4 * fps + 2))

    assert rates(film(False), fps, PERSON).max() < STILL_EPS
    assert np.median(rates(film(True), fps, PERSON)) > STILL_EPS


@pytest.mark.parametrize("fps", [5, 25])
def test_the_same_through_h264(fps: int) -> None:
    rng = np.random.default_rng(4)
    background = room(rng)

    def film(moving: bool) -> Iterator[Image]:
        grain = sensor(rng, 5)
        return h264([grain(with_person(background, i / fps, moving)) for i in range(5 * fps)], fps)

    assert rates(film(False), fps, PERSON).max() < STILL_EPS
    assert np.median(rates(film(True), fps, PERSON)) > STILL_EPS


def test_the_rate_hardly_depends_on_the_frame_rate() -> None:
    background = room(np.random.default_rng(5))

    def walk(fps: float) -> float:
        seconds = 4

        def film() -> Iterator[Image]:
            for i in range(round(seconds * fps)):
                picture = background.copy()
                x = round(50 + 100 * i / fps)  # 100 pixels a second
                picture[150:300, x : x + 40] = 220
                yield picture

        return float(rates(film(), fps, (0, 0, 1, 1)).mean())

    slow, usual, fast = walk(2), walk(5), walk(25)
    assert usual == pytest.approx(fast, rel=0.25)
    assert slow == pytest.approx(fast, rel=0.5)


def test_a_change_of_the_light_is_no_motion() -> None:
    rng = np.random.default_rng(6)
    background, grain = room(rng), sensor(rng, 3)
    gains = [1.0] * 10 + list(np.linspace(1, 0.7, 10)) + [1.15] * 5 + [0.6] * 5
    film = (grain(np.clip(background * g + 6 * g, 0, 255).astype(np.uint8)) for g in gains)
    meter = MotionMeter()
    peaks = [meter.update(i * 0.2, picture).rate.max() for i, picture in enumerate(film)]
    assert max(peaks) < MotionSettings().cell


def test_a_moving_thing_is_seen_while_the_light_changes() -> None:
    background = room(np.random.default_rng(7))

    def film() -> Iterator[Image]:
        for i in range(15):
            picture = background * (1 - 0.02 * i)
            picture[100:220, 100 + 8 * i : 140 + 8 * i] = 200
            yield picture.astype(np.uint8)

    assert rates(film(), 5, (0.1, 0.2, 0.7, 0.7)).min() > STILL_EPS


def test_a_cut_is_motion_once() -> None:
    rng = np.random.default_rng(8)
    one, other = room(rng), 255 - room(rng)
    meter = MotionMeter()
    shares = [float(meter.update(i * 0.2, p).rate.mean()) for i, p in enumerate([one, one, other, other, other])]
    assert shares[2] > 0.5
    assert shares[0] == shares[1] == shares[3] == shares[4] == 0


def test_motion_is_found_where_it_is() -> None:
    background = np.full((H, W), 100, np.uint8)
    moved = background.copy()
    moved[180:360, 320:640] = 180
    meter = MotionMeter()
    meter.update(0, background)
    motion = meter.update(0.2, moved)
    assert motion.within((0.55, 0.55, 0.95, 0.95)) > 0.9
    assert motion.within((0, 0, 0.45, 0.95)) == 0


@pytest.mark.parametrize("size", [(360, 640), (720, 1280), (1080, 1920), (1280, 720), (96, 96), (40, 60), (231, 411)])
def test_any_picture_becomes_a_small_one_of_whole_cells(size: tuple[int, int]) -> None:
    small = shrink(np.full(size, 77, np.uint8))
    assert small.shape[0] == 100
    assert small.shape[1] % 4 == 0
    assert small.shape[1] / 100 == pytest.approx(size[1] / size[0], rel=0.05)
    assert (small == 77).all()


def test_a_view_with_padded_rows_is_taken_as_it_is() -> None:
    rng = np.random.default_rng(1)
    padded = rng.integers(0, 255, (360, 704), np.uint8)
    assert (shrink(padded[:, :640]) == shrink(padded[:, :640].copy())).all()


def test_gaps_new_sizes_and_time_running_back_start_anew() -> None:
    dark, light = np.full((H, W), 30, np.uint8), np.full((H, W), 30, np.uint8)
    light[:100, :100] = 200
    meter = MotionMeter()
    for time, picture in [(0.0, dark), (60.0, light), (60.2, cv2.resize(dark, (400, 400))), (5.0, light)]:
        assert not meter.update(time, picture).rate.any()
    assert meter.update(5.2, dark).rate.any()


def quiet() -> Motion:
    return Motion(np.zeros((25, 44), np.float32))


@pytest.mark.parametrize("fps", [1, 2, 5, 7, 12.5, 25])
def test_a_still_picture_is_looked_at_every_min_interval(fps: float) -> None:
    gate = Gate()
    looked = []
    for i in range(round(60 * fps)):
        time = 1e6 + i / fps
        if gate.opens(time, quiet()):
            gate.passed(time)
            looked.append(time)
    steps = np.diff(looked)
    assert steps.min() >= min(1.5, 1 / fps) - 1e-3
    assert steps.max() <= 1.5 + 1 / fps


def test_the_interval_starts_with_an_inference_not_with_a_wish() -> None:
    gate = Gate()
    gate.passed(0.0)
    assert not gate.opens(1.4, quiet())
    assert gate.opens(1.6, quiet())
    assert gate.opens(1.8, quiet())  # the one at 1.6 was never made


def test_motion_opens_the_gate_at_once() -> None:
    gate = Gate()
    gate.passed(0.0)
    motion = quiet()
    motion.rate[7, 9] = 0.5
    assert gate.opens(0.2, motion)
    assert gate.opens(0.2, None)
    assert not gate.opens(0.2, quiet())


def test_noise_does_not_open_the_gate() -> None:
    rng = np.random.default_rng(9)
    for noise in (sensor(rng, 8), jpeg(rng), night(rng)):
        background, meter = room(rng), MotionMeter()
        opened = [float(meter.update(i * 0.2, noise(background)).rate.max()) >= 0.25 for i in range(50)]
        assert sum(opened) <= 1
