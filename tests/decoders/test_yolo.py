"""YOLO in its variants, and a real YOLOX on a real picture."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smartbox import bundle as bundles
from smartbox import decoders
from smartbox.decoders.yolo import Plugin
from smartbox.geometry import iou_matrix
from smartbox.manifest import Manifest
from smartbox.model import Model
from smartbox.preprocess import prepare
from smartbox.types import View

VIEW = View((1 / 32, 1 / 32), (0.0, 0.0))


def plugin(**changes: Any) -> Plugin:
    return Plugin(**({"labels": ("car", "person"), "size": (32, 32), "strides": (8, 16)} | changes))


def test_encoded_boxes_are_relative_to_their_cell() -> None:
    rows = np.zeros((16 + 4, 7), np.float32)
    rows[4 * 2 + 1] = [0.5, 0.25, np.log(2), np.log(1), 0.9, 0.1, 0.8]
    found = plugin().decode({"output": rows}, VIEW)
    x, y = (1 + 0.5) * 8, (2 + 0.25) * 8
    np.testing.assert_allclose(found.xyxy, [np.array([x - 8, y - 4, x + 8, y + 4]) / 32], atol=1e-6)
    assert found.label(0) == "person"
    assert found.score[0] == pytest.approx(0.72)


def test_pixels_without_objectness_and_transposed() -> None:
    """As YOLOv8 and later are exported."""
    rows = np.zeros((3, 6), np.float32)
    rows[1] = [16, 8, 16, 8, 0.7, 0.2]
    settings = {"encoded": False, "objectness": False, "transposed": True}
    found = plugin(**settings).decode({"output0": rows.T}, VIEW)
    np.testing.assert_allclose(found.xyxy, [[0.25, 0.125, 0.75, 0.375]], atol=1e-6)
    assert found.label(0) == "car"
    logits = rows.copy()
    logits[:, 4:] = np.log(np.clip(rows[:, 4:], 1e-4, 1) / (1 - np.clip(rows[:, 4:], 1e-4, 0.999)))
    again = plugin(**settings, sigmoid=True).decode({"output0": logits.T}, VIEW)
    np.testing.assert_allclose(again.score, found.score, atol=1e-5)


VEHICLES = (2, 5, 7)  # car, bus and truck of COCO's 80
LABELS = tuple({0: "person", 2: "car", 5: "bus", 7: "truck"}.get(i, f"coco-{i}") for i in range(80))


@pytest.mark.shared
def test_yolox_nano_finds_the_vehicles_of_real_pictures(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "yolox.onnx").write_bytes((shared / "peers" / "yolox_nano.onnx").read_bytes())
    manifest = Manifest.model_validate(
        {
            "name": "yolox-nano",
            "version": "1",
            "task": "detect",
            "labels": LABELS,
            "inputs": [
                {"name": "images", "shape": [1, 3, 416, 416], "dtype": "float32", "layout": "NCHW", "colour": "BGR"}
            ],
            "outputs": [{"name": "output", "shape": [1, 3549, 85]}],
            "decoder": {"type": "yolo", "score_threshold": 0.3},
            "files": {"onnxruntime": bundles.model_file(tmp_path, "yolox.onnx").model_dump()},
        }
    )
    bundle = bundles.write(tmp_path, manifest)
    decoder = decoders.build(bundle.manifest)
    model = Model(bundle, [("onnxruntime", None)], tmp_path)
    hits = total = 0
    for path in sorted((shared / "detect" / "val" / "images").glob("hw_*"))[:24]:
        image = cv2.imread(str(path))
        tensor, view = prepare(image, bundle.manifest.inputs[0])
        (outputs,) = model.run([tensor])
        found = decoder.decode(outputs, view)
        rows = np.loadtxt(path.parent.parent / "labels" / f"{path.stem}.txt", ndmin=2).reshape(-1, 5)
        large = rows[np.isin(rows[:, 0], (2, 4, 5)) & (rows[:, 4] > 0.15)][:, 1:]  # car, bus, truck of classes.txt
        truth = np.concatenate([large[:, :2] - large[:, 2:] / 2, large[:, :2] + large[:, 2:] / 2], 1).astype(np.float32)
        overlaps = iou_matrix(truth, found.xyxy[np.isin(found.class_id, VEHICLES)])
        total += len(truth)
        hits += int((overlaps.max(1, initial=0) > 0.5).sum())
    model.close()
    assert total >= 20
    assert hits / total > 0.8, f"{hits} of {total} vehicles"
