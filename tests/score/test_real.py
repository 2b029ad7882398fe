"""What real stills and mixed sounds are shown and heard as, and what is due of them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.score import sound, stills
from benchmarks.score.sound import Insert
from smartbox.picture import PictureCheck
from smartbox.score import Truth
from smartbox.simulation.sound import RATE
from tests.sources.media import tone, write_wav


def car_park(folder: Path, taken: list[str]) -> list[Path]:
    """Stills of three slots a, b, c; those of `taken` are occupied, a still each."""
    (folder / "parking").mkdir()
    for number, now in enumerate(taken):
        path = folder / "parking" / f"seq9_{number}.webp"
        cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
        slots = [{"id": s, "polygon": [[0, 0], [1, 0], [1, 1]], "occupied": int(s in now)} for s in "abc"]
        path.with_suffix(".json").write_text(json.dumps({"slots": slots}))
    return stills.sequences(folder)["seq9"]


def test_who_stands_long_enough_is_due_and_so_is_the_full_lot(tmp_path: Path) -> None:
    paths = car_park(tmp_path, ["a", "ab", "abc", "b"])
    due = stills.parking_truth("park", paths, full_ratio=0.95, hold=10.0)
    assert due == [
        Truth("parking", "park", "slot:a", 0.0, 90.0, 40.0),
        Truth("parking", "park", "slot:b", 30.0, 120.0, 70.0),
        Truth("parking", "park", "lot", 60.0, 90.0, 70.0),
    ]


def test_a_still_is_no_frozen_picture(tmp_path: Path) -> None:
    (path,) = car_park(tmp_path, ["a"])
    check = PictureCheck()
    frames = list(stills.noisy([stills.read(path)], 40.0))
    assert [f.time for f in frames] == list(range(40))
    assert not any("frozen" in check.update(f.time, f.luma) for f in frames)


@pytest.mark.parametrize("unrest", stills.UNREST)
def test_a_restless_street_is_the_same_street(unrest: stills.Unrest) -> None:
    """Light and wind change what is seen by what is said of each, and nothing else."""
    street = cv2.GaussianBlur(np.random.default_rng(1).integers(40, 160, (90, 160, 3)).astype(np.uint8), (0, 0), 3)
    frames = list(stills.restless(street, unrest))
    assert len(frames) == stills.RESTLESS_S * stills.RESTLESS_FPS
    levels = np.array([f.image.mean() for f in frames]) / street.mean()
    halves = np.array([f.image[:, :80].mean() - f.image[:, 80:].mean() for f in frames])
    assert (np.ptp(levels) > 0.2) == (unrest != "shake")
    assert (np.ptp(halves) > 10) == (unrest == "cloud")
    moved = [cv2.phaseCorrelate(frames[0].luma.astype(np.float32), f.luma.astype(np.float32))[0] for f in frames[:20]]
    assert (np.abs(moved).max() > 0.5) == (unrest == "shake")


def test_the_lying_pictures_keep_to_the_models_split(shared: Path) -> None:
    pictures = stills.lying(shared)
    held = {name for name, _, held in pictures if held}
    assert 0 < len(held) < len(pictures) / 2
    ends = {name.rsplit("_", 1)[0]: set() for name, *_ in pictures}
    for name, _, is_held in pictures:
        ends[name.rsplit("_", 1)[0]].add(is_held)
    assert all(len(said) == 1 for said in ends.values()), "both ends of a clip are in one part"
    assert {s.stem[:4] for days in stills.sequences(shared).values() for s in days if stills.held_out(s)} == {
        "seq0",
        "seq1",
        "seq5",
    }


def test_sounds_are_mixed_where_and_as_loud_as_is_told(tmp_path: Path) -> None:
    clip = write_wav(tmp_path / "siren.wav", tone(1.0, RATE, 1000.0), RATE)
    hum = write_wav(tmp_path / "hum.wav", np.random.default_rng(1).normal(0, 0.1, 3 * RATE).astype(np.float32), RATE)
    samples, heard = sound.mixed([Insert("siren", clip, 1), Insert("casual", clip, 2)], [hum], seed=5)
    assert len(samples) / RATE == pytest.approx(3 * sound.EVERY_S)
    assert [what for what, *_ in heard] == ["siren", "casual"]
    for _, start, end in heard:
        assert end - start == pytest.approx(1.0, abs=0.01)
        loud, quiet = (samples[int(t * RATE) : int((t + 1) * RATE)] for t in (start, start - 2))
        ratio = 20 * np.log10(np.sqrt((loud**2).mean() - (quiet**2).mean()) / sound.BACKGROUND)
        assert sound.SNR[0] - 2 <= ratio <= sound.SNR[1] + 2


def test_every_label_is_heard_often_enough_and_the_order_is_settled() -> None:
    clips = {name: [Path(f"{name}.ogg")] for name in (*sound.LABELS, *sound.NEGATIVES)}
    plan = sound._plan(clips)
    assert plan == sound._plan(clips)
    for label in sound.LABELS:
        assert sum(i.what == label for i in plan) >= 10
    assert all(i.path is None for i in plan if i.what == "smoke_alarm")
