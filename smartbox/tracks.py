"""The state of all tracks of one source in one structured array, and what time and detections do to it.

Each track is a Kalman filter with constant velocity for the centre and none for the size, in units of the object's
longer side as seen, so that one covariance serves all axes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]  # of RECORD
ASPECT = 16 / 9  # width : height of a usual picture; only the units of gates depend on it
MEASURED = 0.04**2  # variance of a detection's edges, in units of the longer side
EDGE = 0.01  # closer to the picture's edge a box is cut
BRISK = 0.5  # longer sides / s: a person's walk
TURNS_IN = 0.8  # s; who walks out of the picture does not come back at the same pace within it
UNSTEADY = 1.0  # (longer sides)^2 / s^3: a walker turns round, a car brakes, within about a second

RECORD = np.dtype(
    [
        ("id", "i8"),
        ("group", "i8"),
        ("confirmed", "?"),
        ("hits", "i8"),
        ("score", "f8"),
        ("pos", "f8", 4),  # centre x, y, width, height: the filter's estimate
        ("vel", "f8", 2),  # of the centre, per second
        ("cov", "f8", 3),  # of place, place with speed, speed; in units of the longer side, the same for all axes
        ("first_seen", "f8"),
        ("last_seen", "f8"),
        ("sure_at", "f8"),  # last time that a sure detection found it
        ("missed_since", "f8"),  # first inference that did not find it; nan while it is found
        ("shown_until", "f8"),  # listed until then although not found; WATCHED while it is found
        ("rest", "f8", 4),  # xyxy where it last came to rest
        ("away_since", "f8"),  # it has been off `rest` since then; nan while at rest
        ("moved_at", "f8"),
        ("leaves", "f8", 2),  # -1, 0 or 1 per axis: over which edges of the picture it went when last it left briskly
        ("left_at", "f8"),
        ("anchor", "f8", 2),  # bottom centre when last found
        ("told", "f8", 2),  # the anchor that the last listing ended with
    ]
)


def predict(rows: Rows, moving: NDArray[np.bool_], step: float) -> None:
    """`step` s later: who is not moving stays, who is lost slows down, all become less certain."""
    lost = ~np.isnan(rows["missed_since"])
    rows["vel"][lost] *= np.exp(-step / 1.5)
    rows["pos"][moving, :2] += rows["vel"][moving] * step
    place, mixed, speed = rows["cov"].T
    place = place + 2 * step * mixed + step**2 * speed + UNSTEADY * step**3 / 3
    mixed = mixed + step * speed + UNSTEADY * step**2 / 2
    known = np.minimum(1, 4 / place)  # what was lost long ago is somewhere in the picture, not further away
    rows["cov"] = np.stack([place, mixed, speed + UNSTEADY * step], 1) * known[:, None]


def correct(rows: Rows, xyxy: Any, noise: Any) -> None:
    """Take a detection for each row; noise: its variance, in units of the longer side."""
    place, mixed, speed = rows["cov"].T
    gain, gain_speed = place / (place + noise), mixed / (place + noise)
    wrong = centres(xyxy) - rows["pos"]
    rows["pos"] += gain[:, None] * wrong
    rows["vel"] += gain_speed[:, None] * wrong[:, :2]
    rows["cov"] = np.stack([(1 - gain) * place, (1 - gain) * mixed, speed - gain_speed * mixed], 1)


def note_movement(rows: Rows, time: float, ratio: float, lasting: float) -> None:
    """Note which rows really moved: two opposite edges went the same way, or all outward or inward, and stayed so.

    A passer-by who hides part of an object moves one edge only, and jitter does not last.
    """
    now = boxes(rows["pos"])
    unit = units(rows["pos"])
    shift = (now - rows["rest"]).reshape(-1, 2, 2) / unit[:, None]  # row, edge (low, high), axis
    same_way = (shift.prod(1) > 0) * np.abs(shift).min(1)
    cut = np.stack([np.maximum(now, rows["rest"])[:, :2] <= EDGE, np.minimum(now, rows["rest"])[:, 2:] >= 1 - EDGE], 1)
    free = np.where(cut, 0.0, np.abs(shift)).max(1)
    same_way = np.where(cut.any(1), free, same_way)  # what comes in from outside shows one moving edge only
    scale = rows["pos"][:, 2:] / (rows["rest"][:, 2:] - rows["rest"][:, :2])
    nearer = (scale > 1.35).all(1) | (scale < 1 / 1.35).all(1)
    off = (same_way.max(1) > ratio) | nearer
    since = np.where(np.isnan(rows["away_since"]), time, rows["away_since"])
    moved = off & (time - since >= lasting)
    rows["away_since"] = np.where(off & ~moved, since, np.nan)
    rows["moved_at"] = np.where(moved, time, rows["moved_at"])
    drift = 1 - np.exp(-(time - rows["last_seen"]) / 60)  # a camera that sags over hours moves nothing
    rows["rest"] += np.where(moved, 1.0, np.where(off, 0.0, drift))[:, None] * (now - rows["rest"])


def note_leaving(rows: Rows, time: float) -> NDArray[np.bool_]:
    """Note which rows are leaving the picture; returns those that came back too soon to be the same."""
    box, speed = boxes(rows["pos"]), rows["vel"] / units(rows["pos"])
    back: NDArray[np.bool_] = (-rows["leaves"] * speed > BRISK).any(1) & (time - rows["left_at"] <= TURNS_IN)
    out = 1.0 * ((box[:, 2:] >= 1 - EDGE) & (speed > BRISK)) - ((box[:, :2] <= EDGE) & (speed < -BRISK))
    goes = (out != 0).any(1)
    rows["leaves"] = np.where(goes[:, None], out, rows["leaves"])
    rows["left_at"] = np.where(goes, time, rows["left_at"])
    return back


def centres(xyxy: Any) -> NDArray[np.float64]:
    """xyxy -> centre x, y, width, height."""
    low, high = np.asarray(xyxy[:, :2], float), np.asarray(xyxy[:, 2:], float)
    return np.concatenate([(low + high) / 2, high - low], 1)


def boxes(pos: Any) -> NDArray[np.float64]:
    """Centre x, y, width, height -> xyxy."""
    half = pos[:, 2:] / 2
    return np.concatenate([pos[:, :2] - half, pos[:, :2] + half], 1)


def anchors(pos: Any) -> NDArray[np.float64]:
    """Bottom centre, inside the picture."""
    bottom: NDArray[np.float64] = np.stack([pos[:, 0], pos[:, 1] + pos[:, 3] / 2], 1)
    return bottom.clip(0, 1)


def units(pos: Any) -> NDArray[np.float64]:
    """The longer side of each box as seen, in the units of x and of y: n x 2."""
    longer = np.maximum(pos[:, 2] * ASPECT, pos[:, 3])
    return np.stack([longer / ASPECT, longer], 1)
