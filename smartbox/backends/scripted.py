"""A backend that plays answers from a file: an ordinary engine to rehearse with, for tests and fault drills.

JSON lines, one per picture, from the first again after each opening:
`{"outputs": {"scores": [[...]], ...}}` tensors of one picture · `{"detections": [{"label", "score", "xyxy"}]}` as a
detections file for replay has them, given as the tensors of a `boxes` decoder · `{"error": "…"}` fails ·
`{"hang": true}` never returns until the session is closed · `{"crash": true}` kills the process, as native code does.
"""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from smartbox.backends._base import BackendSettings, Session, Tensors, weights
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.manifest import Manifest
from smartbox.settings import Settings
from smartbox.types import Box


class Detection(Settings):
    label: str
    score: float
    xyxy: Box


class Line(BaseModel):
    """One picture's answer; a recording's other keys (source, time) are of no use here."""

    outputs: dict[str, list[Any]] | None = None
    detections: list[Detection] = Field(default_factory=list)
    error: str | None = None
    hang: bool = False
    crash: bool = False


class Plugin(BackendSettings):
    """Recorded answers instead of an engine."""

    file: Path | None = None
    """JSON lines to play; default: the bundle's file for `scripted`."""
    loop: bool = True
    """Start again at the end; otherwise the last line repeats."""
    refuse: str | None = None
    """Refuse to open, with this text, as an absent device does."""

    def open(self, bundle: Bundle) -> Session:
        if self.refuse is not None:
            raise BackendError(f"scripted: {self.refuse}")
        return _Session(bundle.manifest, self._lines(bundle), self.loop)

    def _lines(self, bundle: Bundle) -> list[Line]:
        """Of the file that was named, else of the bundle's, which may be sealed."""
        if self.file is None:
            return _read(weights(bundle, "scripted"), f"{bundle.path / bundle.manifest.files['scripted'].path}")
        try:
            return _read(self.file.read_bytes(), str(self.file))
        except OSError as error:
            raise BackendError(f"scripted: {self.file} cannot be read: {error}") from error


def _read(content: bytes, where: str) -> list[Line]:
    try:
        texts = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise BackendError(f"scripted: {where} cannot be read: {error}") from error
    lines = [_line(text, f"{where} line {i}") for i, text in enumerate(texts, 1) if text.strip()]
    if not lines:
        raise BackendError(f"scripted: {where} has no line")
    return lines


def _line(text: str, where: str) -> Line:
    try:
        return Line.model_validate_json(text)
    except ValidationError as error:
        raise BackendError(f"scripted: {where} is no answer: {error}") from error


class _Session(Session):
    def __init__(self, manifest: Manifest, lines: list[Line], loop: bool) -> None:
        super().__init__("scripted", manifest, 1)
        self._lines = lines
        self._loop = loop
        self._next = 0
        self._released = threading.Event()

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:  # noqa: ARG002  it plays, it does not look
        line = self._lines[self._next % len(self._lines) if self._loop else min(self._next, len(self._lines) - 1)]
        self._next += 1
        if line.hang:
            self._released.wait()
            raise BackendError("scripted: closed while it hung")
        if line.crash:
            os.abort()
        if line.error is not None:
            raise BackendError(f"scripted: {line.error}")
        if line.outputs is not None:
            return {name: np.asarray(value, np.float32)[None] for name, value in line.outputs.items()}
        return self._boxes(line.detections)

    def _boxes(self, detections: list[Detection]) -> dict[str, NDArray[Any]]:
        """Tensors that a `boxes` decoder reads back; exact where the manifest's input says stretch."""
        labels = self._manifest.labels
        size = np.array(self._manifest.inputs[0].size * 2, np.float32)
        boxes, scores = np.zeros((1, len(detections), 4), np.float32), np.zeros((1, len(detections), len(labels)))
        for row, found in enumerate(detections):
            if found.label not in labels:
                raise BackendError(f"scripted: label {found.label!r} is not one of {', '.join(labels)}")
            boxes[0, row] = np.array(found.xyxy, np.float32) * size
            scores[0, row, labels.index(found.label)] = found.score
        return {"boxes": boxes, "scores": scores.astype(np.float32)}

    def _close(self) -> None:
        self._released.set()
