"""Sounds for training and scoring: the split, the spectra, what is synthesised, and a bundle scored end to end."""

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox import bundle as bundles
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.lab import soundclips
from smartbox.lab.evaluate_sound import at_snr, evaluate
from smartbox.lab.sets import build
from smartbox.lab.sets._sound import SPEC, add_power, faster, in_a_room, loudest, loudness, spectrum
from smartbox.lab.sets.alarms import alarm, noise, other
from smartbox.lab.sets.dangers import MAKE
from smartbox.logmel import features
from smartbox.manifest import Manifest
from smartbox.simulation.sound import alarm as simulated
from smartbox.simulation.sound import write_wav
from smartbox.types import Floats

LABELS = ("stop", "gunshot", "smoke_alarm", "background")
SHAPE = SPEC.shape


def tone(seconds: float, pitch: float = 600.0, level: float = 0.2) -> Floats:
    t = np.arange(round(seconds * SPEC.rate)) / SPEC.rate
    quiet = np.random.default_rng(1).normal(0, 1e-3, len(t))
    return np.asarray(level * np.sin(2 * np.pi * pitch * t) + quiet, np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Words of ten speakers, and two bangs."""
    for name in ("stop", "gunshot", "silence"):
        (tmp_path / name).mkdir()
    for speaker in range(10):
        for take in range(2):
            write_wav(tmp_path / "stop" / f"{speaker:08x}_nohash_{take}.wav", tone(1.0, 300 + 50 * speaker))
    for i in range(4):
        bang = np.concatenate([tone(2.0, level=0), tone(0.1, level=0.9), tone(2.0, level=0)])
        write_wav(tmp_path / "gunshot" / f"gunshot_{i:03}.wav", bang)
        write_wav(tmp_path / "silence" / f"{i}.wav", tone(1.0, level=0))
    return tmp_path


def set_of(folder: Path, **more: Any) -> Any:
    return build({"type": "sounds", "folder": str(folder), **more}, "data.0")


def test_the_split_is_by_speaker_and_never_changes() -> None:
    assert soundclips.key_of("bed_0ea0e2f4_nohash_1") == soundclips.key_of("0ea0e2f4_nohash_0") == "0ea0e2f4"
    assert soundclips.key_of("casual_001") == "casual_001"
    found = [soundclips.split_of(f"{i:08x}_nohash_0") for i in range(1000)]
    assert [found.count(part) for part in ("train", "dev", "test")] == [719, 107, 174]
    first = [i for i in range(40) if soundclips.split_of(f"siren_{i:03}") == "test"]
    assert first == [4, 6, 12, 19, 32, 35, 39]


def test_a_clip_is_read_as_the_box_reads_it(folder: Path) -> None:
    path = folder / "stop" / "00000000_nohash_0.wav"
    with wave.open(str(path)) as file:
        stored = np.frombuffer(file.readframes(10**6), np.int16) / np.float32(32768)
    np.testing.assert_allclose(soundclips.read(path), stored, atol=1e-6)


def test_a_folder_without_sounds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no folder of sounds in it"):
        soundclips.classes(tmp_path)


def test_no_speaker_is_in_two_parts_and_folders_become_labels(folder: Path) -> None:
    data = set_of(folder, rename={"silence": "background"}, versions=3)
    train, val = data.load(LABELS, "train"), data.load(LABELS, "val")
    assert len(train.classes) / 3 + len(val.classes) == 28
    assert set(np.unique(train.classes)) | set(np.unique(val.classes)) == {0, 1, 3}
    words = sum(soundclips.split_of(f"{i:08x}_nohash_0") == "test" for i in range(10))
    assert (val.classes == 0).sum() == 2 * words


def test_what_validation_sees_is_what_the_box_computes(folder: Path) -> None:
    path = folder / "stop" / "00000003_nohash_1.wav"
    ours = set_of(folder).plain(spectrum(soundclips.read(path)), SHAPE)
    box = features(soundclips.read(path), SPEC)
    assert ours.shape == box.shape
    assert np.abs(ours.astype(int) - box).max() <= 1  # the set keeps float16


def test_a_bang_is_in_its_window(folder: Path) -> None:
    data = set_of(folder, only=["gunshot"], where="bang")
    clip = spectrum(soundclips.read(folder / "gunshot" / "gunshot_001.wav"))
    rng = np.random.default_rng(0)
    assert all(data.cut(clip, rng).max() == clip.max() for _ in range(50))


def test_augmented_examples_differ_and_repeat_by_their_seed(folder: Path) -> None:
    data = set_of(folder, noise=[str(folder / "silence")])
    clip = data.load(LABELS, "train").arrays[0]
    one, same, different = (data.augment(clip, SHAPE, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert one.shape == SHAPE
    assert one.dtype == np.uint8
    assert (one != different).mean() > 0.3


def test_backwards_is_for_training_alone(folder: Path) -> None:
    forth, back = (set_of(folder, only=["stop"], versions=1, backwards=turned) for turned in (False, True))
    samples = tone(1.0) * np.linspace(0, 1, 16000, dtype=np.float32)
    path = folder / "stop" / "rising.wav"
    write_wav(path, samples)
    louder = [data._versions(path)[0].astype(float).max(1) for data in (forth, back)]
    assert louder[0][-30] > louder[0][30]
    assert louder[1][-30] < louder[1][30]
    assert len(back.load(LABELS, "val").classes) == 0


def test_a_share_of_the_examples_has_blanks(folder: Path) -> None:
    data = set_of(folder, vary={"masked": 0.4})
    found = [data.blanked(np.zeros((98, 64), np.float32), np.random.default_rng(i)).any() for i in range(400)]
    assert 0.3 < np.mean(found) < 0.5


def test_noise_is_added_as_power() -> None:
    assert add_power(np.array([0.0, 10.0]), np.array([0.0, -30.0])) == pytest.approx([3.01, 10.0], abs=0.01)
    one, two = tone(1.0, 500), tone(1.0, 2000)
    both = add_power(spectrum(one).astype(np.float32), spectrum(two).astype(np.float32))
    assert loudness(both) == pytest.approx(loudness(spectrum(one + two)), abs=0.3)


def test_speed_and_room_keep_level_and_move_pitch() -> None:
    def peak(samples: Floats) -> int:
        return int(spectrum(samples).mean(0).argmax())

    word = tone(1.0, 1000)
    assert len(faster(word, 1.25)) == pytest.approx(0.8 * len(word), abs=2)
    assert peak(faster(word, 1.25)) > peak(word) > peak(faster(word, 0.8))
    wet = in_a_room(word, np.random.default_rng(0))
    assert (wet**2).mean() == pytest.approx((word**2).mean(), rel=1e-3)


def test_an_alarm_s_window_holds_beeps_and_another_sound_is_none() -> None:
    made = build({"type": "alarms", "kind": "alarm", "label": "smoke_alarm", "count": 10}, "data.0")
    clips = made.load(LABELS, "train")
    assert set(clips.classes) == {2}
    rng = np.random.default_rng(0)
    for clip in clips.arrays:
        window = made.cut(clip, rng).max(1)
        assert (window > clip.max() - 15).sum() >= 20
    assert len(made.load(LABELS, "val").classes) == 2


def test_a_mask_hides_no_alarm_s_tone_and_others_have_masks_too() -> None:
    """What has no blank, or noise without its tone, must not be what an alarm is known by."""
    kinds = ("alarm", "other")
    made = [build({"type": "alarms", "kind": kind, "label": "smoke_alarm", "count": 4}, "data.0") for kind in kinds]
    for data in made:
        blanks = []
        for i, clip in enumerate(data.load(LABELS, "train").arrays * 10):
            window = data.cut(clip, np.random.default_rng(i))
            hidden = data.blanked(window, np.random.default_rng(i))
            blanks.append(hidden.mean())
            if data.kind == "alarm":
                assert hidden[window > window.max() - 15].mean() < 0.5
        assert np.mean(blanks) > 0.1


@pytest.mark.parametrize("kind", ["gunshot", "explosion"])
def test_a_bang_s_window_holds_its_loudest_moment(kind: str) -> None:
    made = build({"type": "dangers", "kind": kind, "count": 10}, "data.0")
    labels = ("siren", "gunshot", "explosion")
    for i, clip in enumerate(made.load(labels, "train").arrays):
        window = made.cut(clip, np.random.default_rng(i))
        assert window.shape == SPEC.shape[:2]
        at = loudest(clip)
        assert any(np.array_equal(clip[at], frame) for frame in window[15:-34])
    assert set(made.load(labels, "val").classes) == {labels.index(kind)}


def test_a_sound_that_is_no_label_is_told() -> None:
    for kind in ("siren", "gunshot"):
        made = build({"type": "dangers", "kind": kind, "count": 5}, "data.0")
        with pytest.raises(ConfigError, match=f"made of '{kind}', which is none of the labels yes, background"):
            made.load(("yes", "background"), "train")


@pytest.mark.parametrize("make", [alarm, other, lambda rng: noise(rng, 16000), *MAKE.values()])
def test_what_is_synthesised_is_sound(make: Any) -> None:
    for seed in range(12):
        samples = make(np.random.default_rng(seed))
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 3


def test_the_simulator_s_alarms_beep_as_the_standards_say() -> None:
    """T3: three times half a second; T4: four times a tenth."""
    for kind, expected in (("t3", 1.5), ("t4", 0.4)):
        samples = simulated("t3" if kind == "t3" else "t4", 3.9, 1, low=False)
        level = (samples[: len(samples) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
        assert 0.01 * (level > level.max() / 10).sum() == pytest.approx(expected, abs=0.12)


WORDS = ("stop", "gunshot", "background")


def scripted(directory: Path, scores: list[list[float]], labels: tuple[str, ...] = WORDS) -> Bundle:
    """A sound model that says these, window by window."""
    directory.mkdir()
    (directory / "script.jsonl").write_text("\n".join(json.dumps({"outputs": {"scores": row}}) for row in scores))
    manifest = {
        "name": "ears",
        "version": "1",
        "task": "sound",
        "labels": list(labels),
        "inputs": [{"name": "sound", "shape": [None, *SHAPE], "sound": {}}],
        "outputs": [{"name": "scores", "shape": [None, 3]}],
        "decoder": {"type": "scores"},
        "files": {"scripted": bundles.model_file(directory, "script.jsonl").model_dump()},
    }
    return bundles.write(directory, Manifest.model_validate(manifest))


def test_a_model_that_always_says_stop_is_scored_as_such(folder: Path, tmp_path: Path) -> None:
    bundle = scripted(tmp_path / "ears", [[0.9, 0.1, 0.0]])
    found = evaluate(bundle, folder, part=None, groups={"background": ("silence",)})
    assert found["words"] == 24
    assert found["top1"] == round(20 / 24, 4)
    assert found["per_class"] == {"stop": 1.0, "background": 0.0}
    assert found["confused"] == {"background as stop": 4}
    assert found["heard"] == {"stop": 1.0, "gunshot": 0.0, "background": 0.0}
    assert found["false_alarms"]["stop"]["count"] == 8  # four bangs and four silences
    assert set(found["false_alarms"]) == {"stop", "gunshot"}
    assert found["false_alarms"]["gunshot"]["per_hour_95"] == pytest.approx(3.0 / found["hours"], rel=0.01)
    assert found["at_score"]["0.8"] == {"heard": found["heard"], "false_alarms": {"stop": 8, "gunshot": 0}}
    assert found["at_score"]["0.9"]["heard"]["stop"] == 0.0  # 0.9 as float32 is less
    assert found["hours"] == pytest.approx((24 + 4 * 4.1) / 3600, rel=0.01)


def test_seconds_alone_that_raise_nothing_may_do_so_one_after_the_other(tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / "background").mkdir(exist_ok=True)
        write_wav(tmp_path / "background" / f"{i}.wav", tone(1.0, level=0))
    bundle = scripted(tmp_path / "ears", [[0.1, 0.9, 0.0]], ("stop", "siren", "background"))
    found = evaluate(bundle, tmp_path, part=None)
    assert found["false_alarms"]["siren"]["count"] == 0  # it must be heard for a second, and each has one window
    assert found["false_alarms"]["siren"]["in_one_stream"] == 1  # which does not end
    assert found["false_alarms"]["siren"]["per_hour_95"] == pytest.approx(4.74 * 3600 / 6, rel=0.01)


def test_a_detector_is_not_scored_on_sounds(folder: Path, tmp_path: Path) -> None:
    bundle = scripted(tmp_path / "ears", [[0, 0, 1]])
    with pytest.raises(ConfigError, match="no folder bears the name of a label with files; labels are stop, "):
        evaluate(bundle, folder, part=None, groups={"stop": (), "unknown": ("stop", "gunshot", "silence")})
    with pytest.raises(ConfigError, match="is no directory"):
        evaluate(bundle, tmp_path / "nowhere")


def test_noise_is_mixed_at_the_ratio_that_is_asked_for() -> None:
    quiet = np.random.default_rng(0).normal(0, 1, 4 * SPEC.rate).astype(np.float32)
    beeps = simulated("t3", 4.0, 1, low=False)
    mixed = at_snr(beeps, quiet, 10)
    on = mixed[int(0.1 * SPEC.rate) : int(0.4 * SPEC.rate)]
    off = mixed[int(3.4 * SPEC.rate) :]
    assert 10 * np.log10((on**2).mean() / (off**2).mean() - 1) == pytest.approx(10, abs=1)
