"""Boxes by a larger detector for classes that a data set does not label: run once, kept in one file outside git."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from smartbox.geometry import letterbox, nms
from smartbox.lab.data import entries
from smartbox.lab.progress import progress
from smartbox.types import Floats, Image

SIZE = 416
COCO = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}


def write(model: Path, folder: Path, names: tuple[str, ...], out: Path) -> None:
    """Run YOLOX-nano (COCO) over the pictures of `folder`; `out`.npz: name -> k x 6 (xyxy pixels, score, class)."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found = {}
    for entry in progress(entries(folder), "teacher"):
        found[entry.name] = detect(session, np.asarray(cv2.imread(str(entry.image)), np.uint8), names)
    np.savez(out, **found)


def detect(session: Any, image: Image, names: tuple[str, ...], floor: float = 0.1) -> Floats:
    """k x 6 of one picture. The decode is YOLOX's (Ge et al., 2021): xy + grid, exp(wh), times the stride."""
    height, width = image.shape[:2]
    scale, (w, h), _ = letterbox((width, height), (SIZE, SIZE))
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    canvas[:h, :w] = cv2.resize(image, (w, h))
    tensor = canvas.transpose(2, 0, 1)[None].astype(np.float32)
    raw = session.run(None, {session.get_inputs()[0].name: tensor})[0][0]
    grid, stride = _grid()
    centre, size = (raw[:, :2] + grid) * stride, np.exp(raw[:, 2:4]) * stride
    kinds = list(COCO)
    scores = raw[:, 5:][:, kinds] * raw[:, 4:5]
    best, score = scores.argmax(1), scores.max(1)
    keep = score > floor
    xyxy = (np.concatenate([centre - size / 2, centre + size / 2], 1)[keep] / scale).astype(np.float32)
    kind = np.array([names.index(COCO[k]) for k in kinds], np.int64)[best[keep]]
    order = nms(xyxy, score[keep].astype(np.float32), kind, 0.55)
    rows: Floats = np.concatenate([xyxy, score[keep, None], kind[:, None]], 1)[order].astype(np.float32)
    return rows


def _grid() -> tuple[NDArray[Any], NDArray[Any]]:
    cells, strides = [], []
    for stride in (8, 16, 32):
        n = SIZE // stride
        y, x = np.mgrid[:n, :n]
        cells.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full((n * n, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)
