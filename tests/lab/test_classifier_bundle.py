"""A classifier from recipe to bundle to figures, by the commands that people type; then on a source's crops."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from smartbox.__main__ import main
from smartbox.bundle import Bundle

pytestmark = pytest.mark.timeout(400)  # every format is written and every engine opened, beside whatever else runs

RECIPE = """
task: classify
name: tiny
labels: [free, occupied]
net: {options: {spec: {stem: 8, stages: [16, 24, 32], widths: [8, 8, 16], blocks: [1, 1, 1]}, expand: 32}}
input: {shape: [32, 32, 3]}
data: [{type: slots, size: 32, folder: FOLDER, held_out: [b]}]
schedule: {batch: 8, steps: 120, lr: 5.0e-3, warmup: 5}
ema: 0.9
"""
SLOTS = {f"P{i}": [[x, 0.2], [x + 0.2, 0.2], [x + 0.2, 0.8], [x, 0.8]] for i in range(4) for x in [0.05 + 0.23 * i]}


def lot(taken: int) -> np.ndarray:
    """Grey ground; bit i of `taken`: something red stands in slot i."""
    image = np.full((90, 160, 3), 120, np.uint8)
    for i, polygon in enumerate(SLOTS.values()):
        if taken >> i & 1:
            x0, y0, x1, y1 = (
                int(v) for v in (*np.multiply(polygon[0], (160, 90)), *np.multiply(polygon[2], (160, 90)))
            )
            image[y0:y1, x0:x1] = (20, 20, 200)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lot")
    for i, taken in enumerate((0, 15, 5, 10, 3, 9)):
        name = f"{'b' if i > 3 else 'a'}{i}"
        cv2.imwrite(str(root / f"{name}.png"), lot(taken))
        slots = [{"id": s, "polygon": p, "occupied": taken >> n & 1} for n, (s, p) in enumerate(SLOTS.items())]
        (root / f"{name}.json").write_text(json.dumps({"slots": slots}))
    return root


@pytest.fixture(scope="module")
def tiny(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    recipe = out / "recipe.yaml"
    recipe.write_text(RECIPE.replace("FOLDER", str(folder)))
    assert main(["lab", "train", str(recipe), "-o", str(out / "run"), "--threads", "1"]) == 0
    words = ["--checkpoint", str(out / "run" / "checkpoint.pt"), "-o", str(out / "tiny"), "--version", "1"]
    assert main(["lab", "export", str(recipe), *words, "--calibrate", "32"]) == 0
    return out / "tiny"


def test_the_bundle_is_whole_in_every_format(tiny: Path) -> None:
    bundle = Bundle.open(tiny)
    assert bundle.verify() == []
    assert bundle.manifest.task == "classify"
    assert bundle.manifest.decoder.type == "scores"
    assert {"onnxruntime", "tflite"} <= set(bundle.manifest.files)
    assert bundle.manifest.cost.macs


@pytest.mark.parametrize("backend", ["onnxruntime", "tflite"])
def test_evaluate_scores_slots_from_their_polygons(
    tiny: Path, folder: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(folder), "--prefix", "b", "--backend", backend, "--json"]
    assert main(["lab", "evaluate", str(tiny), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["top1"], result["backend"]) == (8, 1.0, backend)
    assert result["per_class"]["occupied"] == {"count": 4, "recall": 1.0, "precision": 1.0}


def test_evaluate_scores_a_folder_per_class(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny.parent / "recipe.yaml"
    assert main(["lab", "examples", str(recipe), "-o", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["examples"] == {"slots": {"free": 4, "occupied": 4}}
    assert main(["lab", "evaluate", str(tiny), "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == 1.0


def test_a_folder_without_the_classes_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "evaluate", str(tiny), "--data", str(tmp_path)]) == 78
    assert "a directory for each of free, occupied" in capsys.readouterr().err


CONFIG = """
version: 1
box: {{site: t, id: b, state_dir: {state}}}
mqtt: {{url: mqtt://127.0.0.1}}
models: {{slots: {{bundle: {bundle}, backends: [onnxruntime]}}}}
sources: {{lot: {{type: file, path: {clip}, fps: 5}}}}
zones:
  bays:
    source: lot
    slots: {slots}
rules:
  full: {{type: parking, zones: [bays], model: {model}, hold: 2s, full_ratio: 1.0}}
"""


def configuration(tmp_path: Path, tiny: Path, model: str = "slots") -> Path:
    path = tmp_path / "smartbox.yaml"
    clip = tmp_path / "clip.mp4"
    if not clip.exists():
        writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 5, (160, 90))
        for i in range(150):  # the last slot is taken from second 10 to 20
            writer.write(lot(15 if 50 <= i < 100 else 7))
        writer.release()
    slots = json.dumps(SLOTS)
    path.write_text(CONFIG.format(state=tmp_path / "state", bundle=tiny, clip=clip, slots=slots, model=model))
    return path


def test_a_lot_without_any_detector_is_watched_by_the_classifier(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, tiny)
    assert main(["replay", "-c", str(config), "--json"]) == 0
    begin, *_ = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert begin["type"] == "smartbox.alarm.parking.begin"
    assert 12.0 <= begin["data"]["clock"]["monotonic_s"] <= 14.5  # taken, seen within 2 s, held for 2 s
    assert begin["data"]["model"]["name"] == "tiny"


def test_check_says_what_it_costs(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = configuration(tmp_path, tiny)
    assert main(["check", "-c", str(config)]) == 0
    assert "slots is shown at most 4 slots every 2 s" in capsys.readouterr().out
    assert main(["check", "-c", str(config), "--json"]) == 0
    (closeup,) = json.loads(capsys.readouterr().out)["plan"]["closeups"]
    assert closeup["mmacs_per_s"] > 0


def test_a_model_that_is_no_classifier_of_slots_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path, tiny, model="slot")
    assert main(["check", "-c", str(config)]) == 78
    assert "did you mean 'slots'" in capsys.readouterr().err
    config = configuration(tmp_path, Path("lrssd-park"))
    assert main(["check", "-c", str(config)]) == 78
    assert "'slots' is a model to detect; this needs one to classify slots" in capsys.readouterr().err
