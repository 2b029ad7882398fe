"""Calibrates a detector's scores, so that 0.5 means: as often right as wrong (J. Platt, 1999).

Losses that weigh the quality of a box leave scores low; what tracker and rules expect of 0.5 must not depend on that.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from smartbox import decoders
from smartbox.bundle import Bundle, write
from smartbox.errors import BackendError, ConfigError
from smartbox.geometry import iou_matrix
from smartbox.lab.data import classes_of, labelled
from smartbox.lab.evaluate import Detector, Names, Scored, score
from smartbox.progress import each
from smartbox.types import Floats

FLOOR = 0.05
MATCH = 0.5
EDGE = 1e-6  # scores of 0 and 1 have no logit
DECODER = "lrssd"


def outcomes(picture: Scored) -> list[tuple[float, bool]]:
    """(score, right) of each detection whose name is labelled on this picture; one truth answers for one detection."""
    free = list(picture.truth)
    result = []
    for name, value, box in sorted(picture.found, key=lambda found: -found[1]):
        if name not in picture.known or any(_iou(box, blank) > MATCH for blank in picture.blank):
            continue
        match = max(
            (i for i, (n, truth) in enumerate(free) if n == name and _iou(box, truth) >= MATCH),
            key=lambda i: _iou(box, free[i][1]),
            default=None,
        )
        if match is not None:
            free.pop(match)
        result.append((value, match is not None))
    return result


def fit(pairs: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Scale and offset of the logit that make P(right) = sigmoid(scale * logit + offset) most likely."""
    found, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs], float)
    if not 10 <= right.sum() <= len(right) - 10:
        raise ConfigError(f"{len(right)} detections, {right.sum():.0f} right: too few right or wrong to calibrate on")
    found = found.clip(EDGE, 1 - EDGE)
    logit = np.log(found / (1 - found))

    def loss(at: NDArray[np.float64]) -> float:
        z = at[0] * logit + at[1]
        return float(np.mean(np.logaddexp(0, z) - right * z))

    scale, offset = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    if not scale > 0:
        raise ConfigError(f"{len(right)} detections: higher scores are not right more often: no calibration")
    return float(scale), float(offset)


def calibrate(bundle: Bundle, folders: Sequence[Path], names: Names, threshold: float | None = None) -> Bundle:
    """Fit on all labelled pictures of `folders` and write the manifest anew; never give validation pictures.

    threshold: the decoder's new score_threshold, in calibrated scores. ConfigError or BackendError where nothing can
    be fitted or the bundle is not whole: then its manifest stays as it was.
    """
    if (kind := bundle.manifest.decoder.type) != DECODER:
        raise ConfigError(f"{bundle.path}: its decoder is {kind}; scores of {DECODER} alone can be calibrated")
    if wrong := bundle.verify():
        raise BackendError("\n".join(wrong))
    settings = bundle.manifest.decoder.model_dump()
    settings.update(logit_scale=1.0, logit_offset=0.0)
    if threshold is not None:
        settings["score_threshold"] = threshold
    detector = Detector(_with(bundle, settings), next(iter(bundle.manifest.files)), FLOOR)
    pairs: list[tuple[float, bool]] = []
    for folder in folders:
        own = classes_of(folder)
        for entry in each(labelled(folder), "calibrate"):
            pairs += outcomes(score(detector, entry, own, names))
    detector.session.close()
    scale, offset = fit(pairs)
    settings.update(logit_scale=round(scale, 4), logit_offset=round(offset, 4))
    calibrated = _with(bundle, settings).manifest
    decoders.build(calibrated)
    return write(bundle.path, calibrated)


def _with(bundle: Bundle, settings: dict[str, object]) -> Bundle:
    decoder = type(bundle.manifest.decoder).model_validate(settings)
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"decoder": decoder}))


def _iou(a: Floats, b: Floats) -> float:
    return float(iou_matrix(np.asarray(a, np.float32)[None], np.asarray(b, np.float32)[None])[0, 0])
