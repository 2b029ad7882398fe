"""Log-mel features: the golden file, a reference library, and what a window's shape is."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smartbox.logmel import SILENCE_DB, STEPS_PER_DB, LogMel, decibels, features
from smartbox.types import Floats

SPEC = LogMel()
GOLDEN = Path(__file__).with_name("logmel_golden.npz")


def chirp(seconds: float = 1.0) -> Floats:
    """A rising tone over noise, as int16 would hold it."""
    rng = np.random.default_rng(7)
    t = np.arange(round(seconds * SPEC.rate)) / SPEC.rate
    tone = 0.3 * np.sin(2 * np.pi * (200 * t + 3000 * t**2)) * (t > 0.2)
    return np.asarray(np.rint((tone + rng.normal(0, 0.003, len(t))) * 32768) / 32768, np.float32)


def test_the_golden_file_bit_by_bit() -> None:
    """Recorded once (tests/logmel_golden.npz: samples int16, features uint8); any release of NumPy gives the same."""
    with np.load(GOLDEN) as golden:
        found = features(golden["samples"].astype(np.float32) / 32768, SPEC)
        np.testing.assert_array_equal(found, golden["features"])


def test_the_same_numbers_as_kaldi() -> None:
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = SPEC.rate
    options.frame_opts.frame_length_ms, options.frame_opts.frame_shift_ms = 1000 * SPEC.frame, 1000 * SPEC.hop
    options.frame_opts.window_type = "hanning"
    options.frame_opts.dither, options.frame_opts.preemph_coeff = 0.0, 0.0
    options.mel_opts.num_bins, options.mel_opts.low_freq, options.mel_opts.high_freq = SPEC.bands, SPEC.low, SPEC.high
    bank = knf.OnlineFbank(options)
    bank.accept_waveform(SPEC.rate, chirp().tolist())
    bank.input_finished()
    natural = np.stack([bank.get_frame(i) for i in range(bank.num_frames_ready)])
    ours = decibels(chirp(), SPEC)
    assert natural.shape == ours.shape
    np.testing.assert_allclose(ours, natural * 10 / np.log(10), atol=0.02)  # it computes in float32


def test_silence_and_a_full_scale_tone_stay_in_range() -> None:
    assert not features(np.zeros(SPEC.samples, np.float32), SPEC).any()
    loud = features(np.sin(2 * np.pi * 1000 * np.arange(SPEC.samples) / SPEC.rate).astype(np.float32), SPEC)
    assert loud.max() == pytest.approx((40 - SILENCE_DB) * STEPS_PER_DB, abs=5)


def test_half_the_level_is_six_decibels_less() -> None:
    np.testing.assert_allclose(decibels(chirp(), SPEC) - decibels(chirp() / 2, SPEC), 6.02, atol=0.01)


@given(st.integers(400, 4000))
def test_as_many_frames_as_are_whole(count: int) -> None:
    found = features(np.zeros(count, np.float32), SPEC)
    assert found.shape == (1 + (count - 400) // 160, 64, 1)


def test_a_window_has_the_shape_that_the_manifest_states() -> None:
    assert features(chirp(), SPEC).shape == SPEC.shape == (98, 64, 1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"high": 9000}, "high 9000 <= rate / 2 = 8000"),
        ({"seconds": 0.02}, "shorter than one frame"),
        ({"every": 2}, "sound would fall between"),
        ({"hop_s": 1}, "extra"),
    ],
)
def test_settings_that_fit_nothing_are_refused(bad: dict[str, float], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        LogMel.model_validate(bad)
