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
from smartbox.decoders._base import grid
from smartbox.lab.data import read_image
from smartbox.lab.evaluate import Detector
from smartbox.lab.kinds import kinds
from smartbox.preprocess import prepare


def detector(
    path: Path,
    outputs: dict[str, Any],
    shape: tuple[int | str, ...] = (1, 3, 64, 64),
    dtype: int = TensorProto.FLOAT,
    batch: int = 1,
) -> Path:
    """An ONNX file that says the same of every picture."""
    said = {name: np.repeat(value.astype(np.float32)[None], batch, 0) for name, value in outputs.items()}
    weights = [numpy_helper.from_array(value, f"{name}_") for name, value in said.items()]
    nodes = [
        helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["mean"], keepdims=0),
        *(node for name in outputs for node in _said(name)),
    ]
    weights.append(numpy_helper.from_array(np.zeros((), np.float32), "nothing"))
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", dtype, shape)],
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


def boxes_of_the_bright(path: Path) -> Path:
    """One that ends in two boxes where the picture is not black, and in none where it is."""
    constants = {
        "all_boxes": np.tile(np.float32([16, 16, 48, 48]), (1, 2, 1)),
        "all_scores": np.tile(np.float32([0.9, 0.1]), (1, 2, 1)),
        "two": np.array([2], np.int64),
        "from": np.array([0], np.int64),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["bright"], to=TensorProto.BOOL),
        helper.make_node("Cast", ["bright"], ["one"], to=TensorProto.INT64),
        helper.make_node("Mul", ["one", "two"], ["n"]),
        helper.make_node("Slice", ["all_boxes", "from", "n", "axis"], ["boxes"]),
        helper.make_node("Slice", ["all_scores", "from", "n", "axis"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, (1, "n", c)) for n, c in (("boxes", 4), ("scores", 2))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def of_even_size(path: Path) -> Path:
    """One of any even size: of an odd one the halves do not fit the whole."""
    nodes = [
        helper.make_node("MaxPool", ["images"], ["half"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["half", "", "twice"], ["whole"], mode="nearest"),
        helper.make_node("Concat", ["whole", "images"], ["both"], axis=1),
        helper.make_node("ReduceMean", ["both"], ["mean"], keepdims=0),
        *_said("output0"),
    ]
    constants = {"output0_": yolov8()[None], "nothing": np.zeros((), np.float32), "twice": np.float32([1, 1, 2, 2])}
    graph = helper.make_graph(
        nodes,
        "even",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, "h", "w"))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, (1, 6, "a"))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def decoded(yolox: Path, path: Path) -> Path:
    """The same YOLOX with its boxes in pixels, as `demo/export_onnx.py --decode_in_inference` gives them."""
    model = onnx.load(yolox)
    raw = model.graph.output[0].name
    cells, steps = grid((416, 416), (8, 16, 32))
    constants = {"cells": cells[None], "steps": steps[None], "parts": np.array([2, 2, 81], np.int64)}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    model.graph.node.extend(
        [
            helper.make_node("Split", [raw, "parts"], ["xy", "wh", "rest"], axis=2),
            helper.make_node("Add", ["xy", "cells"], ["moved"]),
            helper.make_node("Mul", ["moved", "steps"], ["centre"]),
            helper.make_node("Exp", ["wh"], ["grown"]),
            helper.make_node("Mul", ["grown", "steps"], ["extent"]),
            helper.make_node("Concat", ["centre", "extent", "rest"], ["decoded"], axis=2),
        ]
    )
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("decoded", TensorProto.FLOAT, (1, 3549, 85)))
    model.opset_import[0].version = max(model.opset_import[0].version, 13)  # Split takes its parts as an input
    onnx.save(model, path)
    return path


def yolov8(classes: int = 2) -> np.ndarray[Any, Any]:
    """One thing of class 1 in the middle, 32 x 16 pixels."""
    rows = np.zeros((84, 4 + classes), np.float32)
    rows[5, :4], rows[5, 4 + 1] = [32, 32, 32, 16], 0.9
    return rows.T


def code_of(command: list[str]) -> int | str | None:
    try:
        return main(command)
    except SystemExit as end:  # argparse
        return end.code


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
        (["--threshold", "1"], 2, "'1': must be below 1"),
        (["--scale", "nan"], 78, "--scale nan: must be a number above 0"),
        (["--std", "0"], 78, "--std 0: must be numbers above 0"),
        (["--mean", "1,2"], 78, "--mean 1,2: are 2 numbers; give one, or one per channel"),
        (["--mean", "inf"], 78, "--mean inf: must be numbers"),
        (["--offset", "0.5"], 78, "--offset 0.5: is for a nanodet, and this is a yolov8"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, labels: Path, change: list[str], code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()})
    command = ["lab", "import", str(model), "-o", str(tmp_path / "mine"), "--labels", str(labels), *change]
    assert code_of(command) == code
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_a_file_that_is_no_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.onnx").write_text("not a model")
    assert main(["lab", "import", str(tmp_path / "d.onnx"), "-o", str(tmp_path / "mine")]) == 78
    assert "d.onnx: onnxruntime cannot open it" in capsys.readouterr().err
    assert main(["lab", "import", str(tmp_path / "no.onnx"), "-o", str(tmp_path / "mine")]) == 1
    assert "there is no such file; give an ONNX file" in capsys.readouterr().err


def test_labels_and_the_bundles_name_are_checked(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()})
    tried = ["--labels", str(labels), "--pictures", str(pictures)]
    assert main(["lab", "import", str(model), "-o", str(tmp_path / "my model"), *tried]) == 78
    assert "'my model' is to be the bundle's name; give one of at most 64 letters" in capsys.readouterr().err
    labels.write_text("car\ncar\n")
    assert main(["lab", "import", str(model), "-o", str(tmp_path / "mine"), *tried]) == 78
    assert f"--labels {labels}: car is there twice" in capsys.readouterr().err
    labels.write_text("\ufeffperson\ncar\n")
    assert main(["lab", "import", str(model), "-o", str(tmp_path / "mine"), *tried]) == 0
    assert Bundle.open(tmp_path / "mine").labels == ("person", "car")


def test_an_import_takes_the_place_of_an_earlier_one_and_one_that_fails_does_not(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(pictures / "b.png"), np.full((64, 64, 3), 90, np.uint8))
    model, out = detector(tmp_path / "d.onnx", {"output0": yolov8()}), tmp_path / "mine"
    command = ["-o", str(out), "--labels", str(labels), "--pictures", str(pictures)]
    assert main(["lab", "import", str(model), *command]) == 0
    (out / "look" / "notes.txt").write_text("the gate's are best")
    first = Bundle.open(out)
    other = detector(tmp_path / "e.onnx", {"boxes": np.zeros((5, 4)), "scores": np.zeros((5, 3))})
    assert main(["lab", "import", str(other), *command]) == 78
    assert "scores [5, 3] are not those of" in capsys.readouterr().err
    assert (Bundle.open(out), first.verify()) == (first, [])
    (pictures / "b.png").unlink()
    assert main(["lab", "import", str(model), *command, "--threshold", "0.5"]) == 0
    assert Bundle.open(out).manifest.decoder.settings["score_threshold"] == 0.5
    assert Bundle.open(out).verify() == []
    assert sorted(path.name for path in (out / "look").iterdir()) == ["00.jpg", "notes.txt"]
    left = {"model.onnx", "manifest.yaml", "labels.txt", "golden.npz", "look"}
    assert {path.name for path in out.iterdir()} == left


def test_a_directory_of_other_files_is_left_alone(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    model = detector(out / "model.onnx", {"output0": yolov8()})
    command = ["lab", "import", str(model), "-o", str(out), "--labels", str(labels), "--pictures", str(pictures)]
    assert main(command) == 1
    assert f"-o {out}: holds files, and no bundle that import wrote" in capsys.readouterr().err
    assert list(out.iterdir()) == [model]


def test_an_integer_input_takes_plain_pixels(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-o", str(tmp_path / "mine"), "--labels", str(labels), "--pictures", str(pictures)]
    plain = detector(tmp_path / "u.onnx", {"output0": yolov8()}, dtype=TensorProto.UINT8)
    assert main(["lab", "import", str(plain), *command]) == 0
    picture = np.full((64, 64, 3), 200, np.uint8)
    assert np.unique(prepare(picture, Bundle.open(tmp_path / "mine").manifest.inputs[0])[0]).tolist() == [200]
    signed = detector(tmp_path / "i.onnx", {"output0": yolov8()}, dtype=TensorProto.INT8)
    assert main(["lab", "import", str(signed), *command]) == 78
    assert "its input is int8, and does not say how pixels become its -128 to 127" in capsys.readouterr().err
    assert main(["lab", "import", str(signed), *command, "--mean", "128"]) == 0
    assert np.unique(prepare(picture, Bundle.open(tmp_path / "mine").manifest.inputs[0])[0]).tolist() == [72]


def test_a_fixed_batch_is_filled_up(tmp_path: Path, labels: Path, pictures: Path) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()}, (4, 3, 64, 64), batch=4)
    command = ["-o", str(tmp_path / "mine"), "--labels", str(labels), "--pictures", str(pictures)]
    assert main(["lab", "import", str(model), *command]) == 0
    assert main(["models", "verify", str(tmp_path / "mine")]) == 0
    assert len(Detector(Bundle.open(tmp_path / "mine"), "onnxruntime")(np.zeros((64, 64, 3), np.uint8))) == 1


def test_the_number_of_boxes_may_vary(tmp_path: Path, labels: Path, pictures: Path) -> None:
    model, out = boxes_of_the_bright(tmp_path / "d.onnx"), tmp_path / "mine"
    command = ["-o", str(out), "--labels", str(labels), "--pictures", str(pictures)]
    assert main(["lab", "import", str(model), *command]) == 0
    bundle = Bundle.open(out)
    assert [o.shape for o in bundle.manifest.outputs] == [(1, None, 4), (1, None, 2)]
    found = [Detector(bundle, "onnxruntime")(np.full((64, 64, 3), grey, np.uint8)) for grey in (0, 200)]
    assert [f.score.tolist() for f in found] == [[], [pytest.approx(0.9)]]


def test_a_size_that_the_model_cannot_take_is_said(
    tmp_path: Path, labels: Path, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, out = of_even_size(tmp_path / "d.onnx"), str(tmp_path / "mine")
    command = ["lab", "import", str(model), "-o", out, "--labels", str(labels), "--pictures", str(pictures)]
    assert main([*command, "--size", "65x65"]) == 78
    said = capfd.readouterr().err
    assert "d.onnx: onnxruntime cannot run it with --size 65x65; give one that fits" in said
    assert len(said.splitlines()) == 2  # what is refused, and why; nothing of onnxruntime's own
    assert main([*command, "--size", "64x64"]) == 0


def test_weights_in_another_file_are_refused(tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = detector(tmp_path / "d.onnx", {"output0": yolov8()})
    onnx.save(onnx.load(model), model, save_as_external_data=True, location="d.data", size_threshold=0)
    assert main(["lab", "import", str(model), "-o", str(tmp_path / "mine"), "--labels", str(labels)]) == 78
    assert "d.onnx: its weights lie in another file; save it as one file" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_scores_that_look_like_logits_are_said(
    tmp_path: Path, labels: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = yolov8()
    rows[4:] = -7.5
    model = detector(tmp_path / "d.onnx", {"output0": rows})
    command = ["-o", str(tmp_path / "mine"), "--labels", str(labels), "--pictures", str(pictures), "--json"]
    assert main(["lab", "import", str(model), *command]) == 0
    said = json.loads(capsys.readouterr().out)["warning"]
    assert said.startswith("scores go from -7.5 to -7.5")
    assert "say `sigmoid: true` in the manifest's `decoder`" in said


def test_the_offset_of_a_picodet_is_said(tmp_path: Path, labels: Path, pictures: Path) -> None:
    model = detector(tmp_path / "d.onnx", {"out": np.zeros((85, 2 + 32))})
    command = ["lab", "import", str(model), "--labels", str(labels), "--pictures", str(pictures)]
    assert main([*command, "-o", str(tmp_path / "plus")]) == 0
    assert main([*command, "-o", str(tmp_path / "pico"), "--offset", "0.5"]) == 0
    made = [Bundle.open(tmp_path / name).manifest.decoder.settings["offset"] for name in ("plus", "pico")]
    assert made == [0.0, 0.5]


@pytest.mark.shared
def test_a_yolox_that_decodes_its_own_boxes_sees_the_same(shared: Path, tmp_path: Path) -> None:
    raw = shared / "peers" / "yolox_nano.onnx"
    own = decoded(raw, tmp_path / "own.onnx")
    pictures = sorted((shared / "detect" / "train" / "images").glob("cctv_*"))[:3]
    (tmp_path / "yard").mkdir()
    for picture in pictures:
        (tmp_path / "yard" / picture.name).write_bytes(picture.read_bytes())
    command = ["--pictures", str(tmp_path / "yard")]
    flags = ["--kind", "yolov5", "--colour", "BGR", "--scale", "1"]  # as the guide says
    assert main(["lab", "import", str(raw), "-o", str(tmp_path / "a"), *command]) == 0
    assert main(["lab", "import", str(own), "-o", str(tmp_path / "b"), *command, *flags]) == 0
    one, other = (Detector(Bundle.open(tmp_path / name), "onnxruntime", 0.35) for name in "ab")
    found = [(one(image), other(image)) for image in map(read_image, pictures)]
    assert sum(len(first) for first, _ in found) > 3
    for first, second in found:
        np.testing.assert_allclose(second.xyxy, first.xyxy, atol=1e-4)
        np.testing.assert_allclose(second.score, first.score, atol=1e-4)
