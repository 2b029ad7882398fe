"""`lab evaluate`, `calibrate` and `teach` by the commands that people type; what the detectors say is written down."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from smartbox import bundle as bundles
from smartbox.manifest import Manifest
from smartbox.peers import read
from tests.cli.conftest import Said
from tests.conftest import ROOT

LABELS = ("car", "bus", "truck")
MIDDLE = "0.5 0.5 0.5 0.5\n"
CAR, BUS = (
    {"label": label, "score": score, "xyxy": [0.25, 0.25, 0.75, 0.75]} for label, score in (("car", 0.6), ("bus", 0.5))
)
Command = Callable[..., Said]


def played(
    folder: Path, answer: Mapping[str, Any], labels: Sequence[str] = LABELS, outputs: str = "boxes", **decoder: Any
) -> Path:
    """A bundle that says `answer` of every picture of 64 x 64."""
    folder.mkdir()
    (folder / "said.jsonl").write_text(json.dumps(answer))
    picture = {"name": "image", "shape": [None, 64, 64, 3], "layout": "NHWC", "colour": "RGB", "resize": "stretch"}
    manifest = {
        "name": folder.name,
        "version": "1",
        "task": "detect",
        "labels": labels,
        "inputs": [picture],
        "outputs": [{"name": name, "shape": [None, None, None]} for name in ("boxes", "scores")],
        "decoder": {"type": outputs, **decoder},
        "files": {"scripted": bundles.model_file(folder, "said.jsonl").model_dump()},
    }
    return bundles.write(folder, Manifest.model_validate(manifest)).path


def pictures(folder: Path, classes: str, labels: Mapping[str, str]) -> Path:
    """A YOLO folder of grey pictures: name -> what its label file holds."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text(classes)
    for name, text in labels.items():
        cv2.imwrite(str(folder / "images" / f"{name}.png"), np.full((64, 64, 3), 90, np.uint8))
        (folder / "labels" / f"{name}.txt").write_text(text)
    return folder


def figures(said: Said) -> dict[str, Any]:
    assert said.code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    return found


def constant(path: Path, shape: Sequence[int | str], rows: Sequence[int | str]) -> Path:
    """A YOLOX of three classes that sees nothing, with these shapes written on it."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        helper.make_node("Add", ["rows", "none"], ["output"]),
    ]
    values = {"nothing": np.zeros((), np.float32), "rows": np.zeros((1, 84, 8), np.float32)}
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, rows)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_peer_may_have_any_name_and_must_have_one_size(tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "car\nbus\n", {"a": f"1 {MIDDLE}"})
    command = ("lab", "evaluate", eyes, "--data", data, "--json", "--peer")
    odd = constant(tmp_path / "my (best) yolox.onnx", (1, 3, 64, 64), (1, 84, 8))
    assert list(figures(smartbox(*command, f"{odd}=car,bus,truck"))["peers"]) == ["my (best) yolox"]
    for shape, rows in (((1, 3, "h", "w"), (1, 84, 8)), (("n", 3, "h", "w"), ("n", 84, "a"))):
        said = smartbox(*command, f"{constant(tmp_path / 'free.onnx', shape, rows)}=car,bus,truck")
        assert (said.code, said.out) == (78, "")
        assert "free.onnx: is no YOLOX of one size" in said.err
        assert "make a bundle of it with `smartbox lab import`" in said.err


def test_a_detector_of_the_open_model_zoo_is_shown_a_stretched_picture(shared: Path, tmp_path: Path) -> None:
    for file, resize in (("pvb-2000.xml", "stretch"), ("yolox_nano.onnx", "letterbox")):
        (tmp_path / resize).mkdir()
        peer = read(shared / "peers" / file, tmp_path / resize)
        assert peer.bundle.manifest.inputs[0].resize == resize


def test_a_teacher_writes_the_file_that_it_names_whatever_pictures_are_called(
    tmp_path: Path, smartbox: Command
) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "bus\ncar\n", {"file": "", "allow_pickle": ""})
    named = Path(
        figures(smartbox("lab", "teach", eyes, "--data", data, "-o", tmp_path / "taught", "--json"))["teacher"]
    )
    with np.load(named) as taught:
        assert sorted(taught) == ["allow_pickle", "file"]
        np.testing.assert_allclose(taught["file"], [[0.25, 0.25, 0.75, 0.75, 0.5, 0]])


def test_who_cannot_teach_is_told_so_at_once(tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "zebra\n", {"a": ""})
    for bundle, reason in (
        (eyes, "eyes knows car, bus, truck; none of zebra is among them"),
        (ROOT / "models" / "muffnet-slot", "a bundle for classify; a teacher is a detector"),
    ):
        said = smartbox("lab", "teach", bundle, "--data", data, "-o", tmp_path / "taught.npz")
        assert (said.code, said.out) == (78, "")
        assert reason in said.err
        assert not (tmp_path / "taught.npz").exists()
