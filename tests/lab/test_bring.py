"""A user's own detector becomes a bundle, or the reason is said."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from smartbox.__main__ import main
from smartbox.bundle import Bundle
from smartbox.lab.bring import kinds
from smartbox.lab.evaluate import Detector


def detector(path: Path, outputs: dict[str, Any], shape: tuple[int | str, ...] = (1, 3, 64, 64)) -> Path:
    """An ONNX file that says the same of every picture."""
    weights = [numpy_helper.from_array(value.astype(np.float32)[None], f"{name}_") for name, value in outputs.items()]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        *(node for name in outputs for node in _said(name)),
    ]
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def _said(name: str) -> list[Any]:
    return [
        helper.make_node("Mul", ["mean", "nothing"], [f"{name}-none"]),
        helper.make_node("Add", [f"{name}_", f"{name}-none"], [name]),
    ]


def yolov8(classes: int = 2) -> np.ndarray[Any, Any]:
    """One thing of class 1 in the middle, 32 x 16 pixels."""
    rows = np.zeros((84, 4 + classes), np.float32)
    rows[5, :4], rows[5, 4 + 1] = [32, 32, 32, 16], 0.9
    return rows.T


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("person\ncar\n")
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "a.png"), np.full((64, 64, 3), 90, np.uint8))
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((84, 7), "yolox"), ((252, 7), "yolov5"), ((6, 84), "yolov8"), ((84, 2 + 32), "nanodet"), ((85, 34), "nanodet")],
)
def test_a_kind_is_told_by_the_shape_of_its_output(shape: tuple[int, ...], kind: str) -> None:
    assert kinds({"out": shape}, (64, 64), 2)[0].name == kind


def test_an_import_is_a_whole_bundle_that_sees_what_the_model_sees(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = detector(tmp_path / "d.onnx", {"output0": yolov8()}), tmp_path / "mine"
    command = ["lab", "import", str(model), "-o", str(out), "--labels", str(labels), "--pictures", str(pictures)]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["found"], said["labels"]) == ("yolov8", {"car": 1}, 2)
    assert (out / "look" / "00.jpg").stat().st_size > 1000
    bundle = Bundle.open(out)
    assert bundle.verify() == []
    assert bundle.manifest.groups == {"vehicle": ("car",)}
    assert (bundle.manifest.inputs[0].colour, bundle.manifest.inputs[0].scale) == ("RGB", pytest.approx(1 / 255))
    found = Detector(bundle, "onnxruntime")(np.zeros((64, 64, 3), np.uint8))
    np.testing.assert_allclose(found.xyxy, [[0.25, 0.375, 0.75, 0.625]], atol=1e-6)


def test_an_open_size_is_asked_for_and_then_taken(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()}, (1, 3, "h", "w"))
    command = ["lab", "import", str(model), "-o", str(tmp_path / "mine"), "--labels", str(labels)]
    assert main(command) == 78
    assert "say the size with --size WIDTHxHEIGHT" in capsys.readouterr().err
    assert main([*command, "--size", "64x64", "--pictures", str(pictures)]) == 0
    assert Bundle.open(tmp_path / "mine").manifest.inputs[0].size == (64, 64)


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        (["--labels", "/nowhere"], 1, "there is no such file; give a text file with one label per line"),
        (["--kind", "nanodet"], 78, "are not those of a nanodet detector"),
        (["--size", "32x32"], 78, "its input is 64x64; leave --size out"),
        (["--pictures", "/nowhere"], 1, "there is no such directory; give a directory that holds some pictures"),
        (["--pictures", "/proc/self/fd"], 78, "holds no picture that can be read"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, labels: Path, change: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()})
    command = ["lab", "import", str(model), "-o", str(tmp_path / "mine"), "--labels", str(labels), *change]
    assert main(command) == code
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_a_file_that_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.onnx").write_text("not a model")
    assert main(["lab", "import", str(tmp_path / "d.onnx"), "-o", str(tmp_path / "mine")]) == 78
    assert "d.onnx: onnxruntime cannot open it" in capsys.readouterr().err
    assert main(["lab", "import", str(tmp_path / "no.onnx"), "-o", str(tmp_path / "mine")]) == 1
    assert "there is no such file; give an ONNX file" in capsys.readouterr().err
