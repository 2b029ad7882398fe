"""Stills of real cameras, each shown for some time as a slow camera would: a car park, and people who lie.

A still stands for many equal frames, with a camera's noise, or it would rightly be told as frozen.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import yaml

from smartbox.lab import boxtable
from smartbox.score import Truth
from smartbox.types import Floats, Frame, Image

ROOT = Path(__file__).resolve().parents[2]
UTC = 1_790_000_000.0
FPS = 1.0
NOISE = 1.5  # grey levels

PARKED_S = 30.0
"""How long each still of the car park is shown: longer than a slot's `hold`, shorter than the dwell of what stands."""
OVERSTAY_S = 40.0
DRIVE = [[0.06, 0.66], [0.40, 0.66], [0.40, 0.97], [0.06, 0.97]]
"""The drive before the slots. In no still does anything stand there, but for two persons in the last of seq1."""
WALKERS = ("seq1_2013-02-22_07_15_01", 2)

EMPTY_DAY, EMPTY_S = "seq0", 120.0
"""A day on which nobody came, and how long each of its stills is shown: longer than what lies in a lane may."""

Unrest = Literal["exposure", "shake", "cloud"]
UNREST: tuple[Unrest, ...] = get_args(Unrest)
"""The camera closes or opens its iris every 25 s · its mast sways · a cloud's shade crosses the street."""
RESTLESS_S, RESTLESS_FPS = 150.0, 2.0
STREETS = 40  # every so many-th of the detector's street pictures
MARGIN = 8  # pixels that a mast sways at most

LYING_S = 40.0
ASLEEP_S = 20.0


def noisy(images: Sequence[Image], each_s: float, source: str = "camera") -> Iterator[Frame]:
    """One after the other, `each_s` s each, at FPS."""
    rng = np.random.default_rng(3_600_000)
    for index in range(int(len(images) * each_s * FPS)):
        time = index / FPS
        image = images[int(time // each_s)]
        seen = np.clip(image + rng.normal(0, NOISE, image.shape).astype(np.float32), 0, 255).astype(np.uint8)
        yield Frame.of(source, index, time, UTC + time, seen)


def restless(image: Image, unrest: Unrest, source: str = "camera") -> Iterator[Frame]:
    """A street in which nothing happens, seen by a camera that has to do with light and wind, and coded as JPEG."""
    rng = np.random.default_rng(3_700_000)
    rows, cols = image.shape[:2]
    wide = cv2.copyMakeBorder(image, MARGIN, MARGIN, MARGIN, MARGIN, cv2.BORDER_REFLECT)
    gain = wanted = 1.0
    for index in range(int(RESTLESS_S * RESTLESS_FPS)):
        time = index / RESTLESS_FPS
        dx, dy = np.array([1.5 * np.sin(8.2 * time), np.sin(5.7 * time + 1)]) + rng.normal(0, 0.6, 2)
        dx, dy = (dx, dy) if unrest == "shake" else (0.0, 0.0)
        shift = np.array([[1, 0, dx - MARGIN], [0, 1, dy - MARGIN]], np.float32)
        seen = cv2.warpAffine(wide, shift, (cols, rows)).astype(np.float32)
        if unrest == "exposure":
            wanted = rng.uniform(0.75, 1.3) if index % int(25 * RESTLESS_FPS) == 0 else wanted
            gain += (wanted - gain) / RESTLESS_FPS
            seen *= gain
        elif unrest == "cloud":
            seen *= _shade(time, cols)[None, :, None]
        seen += rng.normal(0, 2.0, seen.shape)
        _, coded = cv2.imencode(".jpg", np.clip(seen, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])
        yield Frame.of(source, index, time, UTC + time, np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8))


def _shade(time: float, cols: int) -> Floats:
    """Of each column, 0.6 in the cloud's shade, half a picture wide, which comes every 64 s."""
    first = (time / 40 % 1.6 - 0.3) * cols
    at = np.arange(cols)
    edges = [1 / (1 + np.exp((edge - at) / (0.06 * cols))) for edge in (first, first + 0.5 * cols)]
    return np.asarray(1 - 0.4 * (edges[0] - edges[1]), np.float32)


def streets(data: Path) -> list[Path]:
    """Pictures of streets, taken for those of fixed cameras."""
    folder = data / "detect" / "train" / "images"
    return [path for prefix in ("hw_", "cctv_") for path in sorted(folder.glob(f"{prefix}*"))[::STREETS]]


def read(path: Path) -> Image:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), np.uint8)


def sequences(data: Path) -> dict[str, list[Path]]:
    """The car park's stills by day, in order of time."""
    found: dict[str, list[Path]] = {}
    for path in sorted((data / "parking").glob("*.webp")):
        found.setdefault(path.name.partition("_")[0], []).append(path)
    return found


def slots_of(still: Path) -> list[dict[str, Any]]:
    """[{id, polygon, occupied}] of one still."""
    return list(json.loads(still.with_suffix(".json").read_text(encoding="utf-8"))["slots"])


def held_out(still: Path) -> bool:
    """Whether the slots' classifier was not trained on it, by its own recipe."""
    recipe = yaml.safe_load((ROOT / "models" / "muffnet-slot" / "recipe.yaml").read_text(encoding="utf-8"))
    (part,) = (part for part in recipe["data"] if part["type"] == "slots")
    return still.stem.startswith(tuple(part["held_out"]))


def learnt_empty(still: Path) -> bool:
    """Whether the detector has learnt, by its own recipe, that nothing is in it."""
    table = ROOT / "models" / "lrssd-park" / "empty.tsv"
    return still.stem in {row.name for row in boxtable.rows(table, still.parent)}


def parking_truth(source: str, stills: Sequence[Path], full_ratio: float, hold: float) -> list[Truth]:
    """Who stands longer than OVERSTAY_S in a slot, when the lot is full, and who walks on the drive."""
    taken = [{s["id"] for s in slots_of(still) if s["occupied"]} for still in stills]
    found = []
    for slot in sorted(set().union(*taken)):
        for first, last in _runs([slot in now for now in taken]):
            start, end = first * PARKED_S, (last + 1) * PARKED_S
            found.append(Truth("parking", source, f"slot:{slot}", start, end, _due(start, end, OVERSTAY_S)))
    total = len(slots_of(stills[0]))
    for first, last in _runs([len(now) / total >= full_ratio for now in taken]):
        start, end = first * PARKED_S, (last + 1) * PARKED_S
        found.append(Truth("parking", source, "lot", start, end, _due(start, end, hold)))
    found = [t for t in found if t.alarm_s is not None]
    for number, still in enumerate(stills):
        if still.stem == WALKERS[0]:
            start, end = number * PARKED_S, (number + 1) * PARKED_S
            found += [Truth("intrusion", source, f"walker {i + 1}", start, end) for i in range(WALKERS[1])]
    return found


def _due(start: float, end: float, dwell: float) -> float | None:
    return start + dwell if start + dwell < end else None


def _runs(holds: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last index of each stretch that holds."""
    starts = [i for i, now in enumerate(holds) if now and not (i and holds[i - 1])]
    ends = [i for i, now in enumerate(holds) if now and not (i + 1 < len(holds) and holds[i + 1])]
    return list(zip(starts, ends, strict=True))


def lying(data: Path) -> list[tuple[str, str, bool]]:
    """(name, posture, held out) of the pictures whose people were boxed and looked at by eye."""
    table = ROOT / "models" / "muffnet-posture" / "lying.tsv"
    return [(row.name, row.posture, boxtable.held_out(row.name)) for row in boxtable.rows(table, data / "lying")]


def lying_truth(name: str, posture: str) -> list[Truth]:
    asleep = [Truth("sleep", name, posture, 0.0, LYING_S, ASLEEP_S)] if posture == "lying" else []
    return [Truth("intrusion", name, "person", 0.0, LYING_S), *asleep]
