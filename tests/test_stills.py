"""Pictures of the start, the middle and the alarm: kept in time, bounded, drawn, one clean, masked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smartbox import build, config
from smartbox.errors import ConfigError
from smartbox.evidence import EvidenceLimits, EvidenceStore
from smartbox.inference import keep_pictures
from smartbox.overlay import cover
from smartbox.pipeline import Snapshot
from smartbox.stills import BURST, LIMIT, Stills
from smartbox.types import Frame, Image, Match

UTC = 1_790_000_000.0
CONFIG = """
version: 1
box: {{site: t, id: b, state_dir: {state}}}
mqtt: {{url: mqtt://127.0.0.1}}
sources:
  yard: {{type: file, path: none.mp4, fps: 5, masks: [{mask}]}}
rules:
  lens: {{type: tamper, cameras: [yard], dwell: 10s, evidence_count: {count}}}
"""
PERSON = Match("track:1", "person", 0.9, (0.1, 0.1, 0.3, 0.5))
RIGHT = "[[0.5, 0], [1, 0], [1, 1], [0.5, 1]]"


@dataclass(frozen=True)
class Waits:
    number: int
    share: float
    match: Match = PERSON
    started_at: float = 0.0


def frame(time: float, image: Image | None = None) -> Frame:
    picture = np.full((90, 160, 3), 50, np.uint8) if image is None else image
    return Frame.of("yard", round(time * 5), time, UTC + time, picture)


def written(tmp_path: Path, mask: str = RIGHT, count: int = 3) -> config.Config:
    file = tmp_path / "smartbox.yaml"
    file.write_text(CONFIG.format(state=tmp_path / "state", mask=mask, count=count))
    return config.load(file)


def dark(made: config.Config, seconds: float) -> list[Snapshot]:
    """The pictures of a camera that is covered from 2 s on."""
    pipeline = build.parts(made).pipelines["yard"]
    noise = np.random.default_rng(1)
    shots: list[Snapshot] = []
    for n in range(round(seconds * 5)):
        level = 120 if n < 10 else 6
        image = noise.integers(level - 5, level + 5, (90, 160, 3), dtype=np.uint8)
        shots += pipeline.step(pipeline.plan(frame(n / 5, image)), ()).snapshots
    return shots


def test_start_and_half_come_in_time_and_a_candidate_that_is_gone_leaves_none() -> None:
    stills = Stills()
    for second in range(10):
        stills.look("r", [Waits(1, second / 10)], frame(float(second)), 3)
    kept = stills.take("r", 1)
    assert [(s.moment, s.utc - UTC) for s in kept] == [("start", 0.0), ("half", 5.0)]
    assert kept[0].image.shape == (90, 160, 3)
    assert stills.take("r", 1) == ()
    stills.look("r", [Waits(2, 0.0)], frame(11.0), 3)
    stills.look("other", [], frame(11.2), 3)
    stills.look("r", [], frame(11.4), 3)
    assert stills.take("r", 2) == ()


def test_the_start_is_the_very_frame_for_each_of_a_few() -> None:
    stills = Stills()
    begins = {1: 0.0, 2: 0.2, 3: 0.4, 4: 0.6}
    for n in range(10):
        time = n / 5
        stills.look("r", [Waits(i, 0.1, started_at=b) for i, b in begins.items() if b <= time], frame(time), 3)
    for number, begin in begins.items():
        (start,) = stills.take("r", number)
        assert start.utc - UTC == pytest.approx(begin)


def test_whose_time_begins_anew_has_a_new_start() -> None:
    stills = Stills()
    for n in range(30):
        began = 0.0 if n < 15 else 3.0
        stills.look("r", [Waits(1, (n / 5 - began) / 20, started_at=began)], frame(n / 5), 3)
    (start,) = stills.take("r", 1)
    assert start.utc - UTC == pytest.approx(3.0)


@pytest.mark.parametrize(("count", "moments"), [(1, []), (2, ["start"]), (3, ["start", "half"])])
def test_as_many_as_are_wanted(count: int, moments: list[str]) -> None:
    stills = Stills()
    for second in range(10):
        stills.look("r", [Waits(1, second / 10)], frame(float(second)), count)
    assert [s.moment for s in stills.take("r", 1)] == moments


def test_a_crowd_costs_one_picture_a_second_and_bounded_memory() -> None:
    stills, made = Stills(), []

    def picture() -> Image:
        made.append(1)
        return np.zeros((90, 160, 3), np.uint8)

    for n in range(50):
        shown = Frame("yard", n, n / 5, UTC, (160, 90), picture)
        stills.look("r", [Waits(i, 0.1) for i in range(4 * n)], shown, 3)
    assert len(made) <= 10 + BURST
    assert sum(len(stills.take("r", i)) for i in range(200)) <= LIMIT


def test_pictures_of_an_alarm_masked_and_one_clean(tmp_path: Path) -> None:
    (shot,) = dark(written(tmp_path), 15)
    assert [s.moment for s in shot.stills] == ["start", "half"]
    files, small = keep_pictures(EvidenceStore(tmp_path / "e", EvidenceLimits(free=0)), shot)
    stem = shot.event.id
    assert [f.name for f in files] == [f"{stem}.jpg", f"{stem}-clean.jpg", f"{stem}-start.jpg", f"{stem}-half.jpg"]
    assert len({f.sha256 for f in files}) == 4
    pictures: list[Any] = [cv2.imread(str(tmp_path / "e" / f.name)) for f in files]
    pictures.append(cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR))
    for picture in pictures:
        height, width = picture.shape[:2]
        covered = picture[: height // 2, width // 2 + 4 :].astype(int)  # above the banner
        assert np.abs(covered - 96).max() < 8
        assert picture[: height // 2, : width // 2 - 4].mean() < 30
    assert pictures[1].mean() < 60, "no banner on the clean one"


def test_no_pictures_where_none_are_wanted(tmp_path: Path) -> None:
    assert dark(written(tmp_path, count=0), 15) == []
    (shot,) = dark(written(tmp_path, count=1), 15)
    assert shot.stills == ()


def test_a_mask_covers_to_its_edge_and_leaves_the_picture_alone() -> None:
    picture = np.arange(90 * 160 * 3, dtype=np.uint32).astype(np.uint8).reshape(90, 160, 3)
    before = picture.copy()
    out = cover(picture, [((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))])
    assert (picture == before).all()
    assert (out[23:67, 41:119] == 96).all()
    assert (out[:18] == picture[:18]).all()


def test_a_mask_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sources\.yard\.masks\.0"):
        written(tmp_path, "[[0, 0], [1, 1], [1, 0], [0, 1]]")
    with pytest.raises(ConfigError, match=r"sources\.yard\.masks\.0"):
        written(tmp_path, "[[0, 0], [1, 1]]")
