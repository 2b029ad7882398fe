"""Whether an engine computes what the float model does: its outputs against the golden ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox.errors import BackendError
from smartbox.manifest import Tolerance
from smartbox.types import Floats


@dataclass(frozen=True, slots=True)
class Agreement:
    """The worst of all outputs."""

    error: float
    """Largest |output - golden|."""
    noise: float
    """Largest root mean square of what differs, in standard deviations of the golden output."""
    tolerance: Tolerance
    holds: bool

    def __str__(self) -> str:
        said = f"off by at most {self.error:.3g} (allowed {self.tolerance.atol:.3g})"
        if self.tolerance.noise is not None:
            said += f", by {self.noise:.3g} in the mean (allowed {self.tolerance.noise:.3g})"
        return said


def compare(got: Mapping[str, Floats], golden: Mapping[str, Floats], tolerance: Tolerance) -> Agreement:
    """Outputs by name; what is not a number agrees with nothing. BackendError where the shapes are not the same."""
    for name, wanted in golden.items():
        if got[name].shape != wanted.shape:
            raise BackendError(f"output {name!r} is {got[name].shape}, the golden one {wanted.shape}")
    pairs = [(np.asarray(got[name], np.float64), np.asarray(wanted, np.float64)) for name, wanted in golden.items()]
    errors = [np.abs(value - wanted) for value, wanted in pairs]
    noises = [noise(value, wanted) for value, wanted in pairs]
    near = all(
        bool((error <= tolerance.atol + tolerance.rtol * np.abs(wanted)).all())
        for error, (_, wanted) in zip(errors, pairs, strict=True)
    )
    quiet = tolerance.noise is None or all(n <= tolerance.noise for n in noises)
    worst = max((float(error.max(initial=0.0)) for error in errors), default=0.0)
    return Agreement(worst, max(noises, default=0.0), tolerance, near and quiet)


def noise(value: NDArray[Any], golden: NDArray[Any]) -> float:
    """Root mean square of the difference, in standard deviations of `golden`."""
    difference = np.asarray(value, np.float64) - np.asarray(golden, np.float64)
    spread = float(np.std(np.asarray(golden, np.float64)))
    return float(np.sqrt(np.mean(difference**2)) / max(spread, 1e-12)) if difference.size else 0.0
