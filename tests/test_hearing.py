"""From chunks to windows: how many, when, and over which sound."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartbox.hearing import Hearing, Window
from smartbox.logmel import LogMel, features
from smartbox.types import AudioChunk, Floats

SPEC = LogMel()
SOUND = np.random.default_rng(3).normal(0, 0.1, 5 * SPEC.rate).astype(np.float32)


def chunk(samples: Floats, start: int, at: float = 100.0) -> AudioChunk:
    return AudioChunk("mic", 0, at + start / SPEC.rate, 1000.0 + start / SPEC.rate, SPEC.rate, samples)


def heard(sizes: list[int], sound: Floats = SOUND) -> list[Window]:
    hearing, windows, start = Hearing(SPEC), [], 0
    for size in sizes:
        windows += hearing.hear(chunk(sound[start : start + size], start))
        start += size
    return windows


def test_a_window_every_quarter_of_a_second_from_the_first_whole_one() -> None:
    windows = heard([8000] * 10)
    assert [w.time for w in windows] == pytest.approx([101.0 + 0.25 * i for i in range(17)])
    assert [w.utc for w in windows] == pytest.approx([1001.0 + 0.25 * i for i in range(17)])
    np.testing.assert_array_equal(windows[2].tensor, features(SOUND[8000:24000], SPEC))


@given(st.lists(st.integers(1, 20_000), max_size=12))
def test_the_size_of_the_chunks_changes_nothing(sizes: list[int]) -> None:
    whole = heard([sum(sizes)], np.resize(SOUND, sum(sizes)))
    parts = heard(sizes, np.resize(SOUND, sum(sizes)))
    assert len(parts) == len(whole)
    for one, other in zip(parts, whole, strict=True):
        assert one.time == pytest.approx(other.time)
        np.testing.assert_array_equal(one.tensor, other.tensor)


def test_no_window_spans_a_gap() -> None:
    hearing = Hearing(SPEC)
    assert hearing.hear(chunk(SOUND[:12000], 0)) == []
    assert hearing.hear(chunk(SOUND[:12000], 0, at=105.0)) == []
    assert [w.time for w in hearing.hear(chunk(SOUND[12000:16000], 12000, at=105.0))] == pytest.approx([106.0])


def test_jitter_of_the_clock_is_no_gap() -> None:
    hearing = Hearing(SPEC)
    hearing.hear(chunk(SOUND[:8000], 0))
    assert len(hearing.hear(chunk(SOUND[8000:16000], 8000, at=100.05))) == 1
