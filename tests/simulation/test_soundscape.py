"""Sounds of a site that are no alarm."""

import numpy as np
import pytest

from benchmarks.score import sound as scored
from smartbox.simulation.sound import RATE, wailing
from smartbox.simulation.soundscape import EVERYDAY, everyday


@pytest.mark.parametrize("kind", EVERYDAY)
def test_everyday_sounds(kind: str) -> None:
    """Some seconds, as loud as is said, the same for a seed and another for another."""
    one = everyday(kind, 1)
    assert one.dtype == np.float32
    assert 0.3 <= len(one) / RATE <= 8
    assert float(np.abs(one).max()) == pytest.approx(1.0, abs=1e-5)
    assert np.sqrt((one**2).mean()) > 0.02
    assert np.array_equal(one, everyday(kind, 1))
    assert not np.array_equal(one[:4000], everyday(kind, 2)[:4000])


def test_a_siren_wails() -> None:
    """Its strongest tone goes up and down by half or more."""
    samples = wailing(6.0, 3)
    frames = np.abs(np.fft.rfft(samples[: len(samples) // 2048 * 2048].reshape(-1, 2048)))
    strongest = frames.argmax(1)[2:-2]
    assert strongest.max() > 1.5 * strongest.min()


def test_the_simulated_site_has_enough_of_both() -> None:
    """The contract: ten incidents and ten look-alikes at least."""
    due = sum(n for what, n in scored.SITE.items() if what in scored.LABELS)
    assert due >= 10
    assert sum(scored.SITE.values()) - due >= 10


def test_a_site_needs_no_recordings() -> None:
    inserts = [scored.Insert("siren", None, 1), scored.Insert("drill", None, 2), scored.Insert("smoke_alarm", None, 3)]
    samples, heard = scored.mixed(inserts, (), seed=5)
    assert [what for what, *_ in heard] == ["siren", "drill", "smoke_alarm"]
    for _, start, end in heard:
        inside = samples[int(start * RATE) : int(end * RATE)]
        assert np.sqrt((inside**2).mean()) > 0.006  # above the ventilation
