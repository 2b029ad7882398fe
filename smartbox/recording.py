"""Detections as JSON lines: what a model said at each moment of a recording, to be replayed without the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from smartbox.errors import SourceError
from smartbox.types import Detections, Sounds
from smartbox.wording import problems_of

LINE = '{"source", "time", "detections": [{"label", "score", "xyxy"}], "sounds": {label: score}}'
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Coordinate = Annotated[float, Field(ge=-1.0, le=2.0)]  # a box may stick out of the picture, but pixels are no shares
Seconds = Annotated[float, Field(ge=0.0, le=1e9)]


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One line of a detections file: what a model said at `time` s; None where it was not asked."""

    source: str
    time: float
    utc: float
    detections: Detections | None
    sounds: Sounds | None


class Seen(BaseModel):
    """One box; keys that are not known are left alone."""

    model_config = ConfigDict(frozen=True)
    label: str
    score: Share
    xyxy: tuple[Coordinate, Coordinate, Coordinate, Coordinate]

    @model_validator(mode="after")
    def _upright(self) -> Self:
        x0, y0, x1, y1 = self.xyxy
        if x0 > x1 or y0 > y1:
            raise ValueError(f"xyxy is left, top, right, bottom, got {list(self.xyxy)}")
        return self


class Line(BaseModel):
    """One moment of one source."""

    model_config = ConfigDict(frozen=True)
    source: str | None = None
    time: Seconds
    detections: tuple[Seen, ...] | None = None
    sounds: dict[str, Share] | None = None


def recorded(path: Path, source: str, start_utc: float) -> Iterator[Recorded]:
    """The lines of a detections file that belong to `source` (or name none), in order of time.

    SourceError names a bad line.
    """
    last = 0.0
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                line = _line(text, f"source {source}: {path}:{number}") if text.strip() else None
                if line is None or line.source not in (None, source):
                    continue
                if line.time < last:
                    raise SourceError(f"source {source}: {path}:{number}: {line.time:g} s comes after {last:g} s")
                last = line.time
                yield Recorded(source, last, start_utc + last, _detections(line.detections), _sounds(line.sounds))
    except OSError as error:
        raise SourceError(f"source {source}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"source {source}: {path} is no text; a line is {LINE}") from error


def _line(text: str, where: str) -> Line:
    try:
        return Line.model_validate_json(text)
    except ValidationError as error:
        problem = problems_of(error, Line, "")[0]
        raise SourceError(f"{where}: {problem}; a line is {LINE}") from None


def _detections(boxes: Sequence[Seen] | None) -> Detections | None:
    if boxes is None:
        return None
    labels = tuple(sorted({box.label for box in boxes}))
    xyxy = np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4)
    score = np.array([box.score for box in boxes], np.float32)
    class_id = np.array([labels.index(box.label) for box in boxes], np.int64)
    return Detections(xyxy, score, class_id, labels)


def _sounds(heard: Mapping[str, float] | None) -> Sounds | None:
    return None if heard is None else Sounds(np.array(list(heard.values()), np.float32), tuple(heard))
