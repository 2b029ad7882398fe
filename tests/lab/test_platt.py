"""Calibration finds the law that made the scores, and one truth answers for one detection."""

import numpy as np
import pytest

from smartbox.errors import ConfigError
from smartbox.lab.evaluate import Scored
from smartbox.lab.platt import fit, outcomes

BOX = np.array([0, 0, 10, 20], np.float32)


def test_finds_scale_and_offset() -> None:
    rng = np.random.default_rng(5)
    logit = rng.normal(-1, 1.5, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(2.5 * logit + 1.2)))
    scale, offset = fit([(1 / (1 + float(np.exp(-z))), bool(r)) for z, r in zip(logit, right, strict=True)])
    assert scale == pytest.approx(2.5, abs=0.15)
    assert offset == pytest.approx(1.2, abs=0.1)


def test_one_truth_answers_for_one_detection_and_unlabelled_names_for_none() -> None:
    found = [("person", 0.6, BOX), ("person", 0.8, BOX), ("vehicle", 0.9, BOX)]
    picture = Scored(frozenset({"person"}), [("person", BOX)], [], found, [])
    assert outcomes(picture) == [(0.8, True), (0.6, False)]


def test_refuses_what_cannot_be_learnt_from() -> None:
    with pytest.raises(ConfigError, match="too few"):
        fit([(0.5, True)] * 50)
