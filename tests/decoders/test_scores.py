"""Classifier outputs."""

import numpy as np
import pytest

from smartbox.decoders.scores import Plugin
from smartbox.types import View

WHOLE = View((1.0, 1.0), (0.0, 0.0))


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("none", [0.0, 1.0, 0.5]), ("softmax", [0.0321, 0.6439, 0.3240]), ("sigmoid", [0.2689, 0.8808, 0.7881])],
)
def test_activations(activation: str, expected: list[float]) -> None:
    values = [-1.0, 2.0, 0.5] if activation == "none" else [-1.0, 2.0, 1.3133]
    plugin = Plugin(labels=("siren", "yes", "no"), activation=activation)  # type: ignore[arg-type]
    sounds = plugin.decode({"scores": np.array([values], np.float32)}, WHOLE)
    np.testing.assert_allclose(sounds.score, expected, atol=1e-4)
    assert sounds.of("yes") == pytest.approx(expected[1], abs=1e-4)
