"""`lab evaluate`, `calibrate` and `teach` by the commands that people type; what the detectors say is written down."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from smartbox import bundle as bundles
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.lab.platt import fit
from smartbox.lab.pseudo import NAMES
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


@pytest.mark.parametrize("more", [[], ["--pipeline"]])
def test_a_box_that_would_never_be_reported_kills_none_that_would(
    more: list[str], tmp_path: Path, smartbox: Command
) -> None:
    strict = played(tmp_path / "strict", {"detections": [CAR, BUS]}, label_thresholds={"car": 0.7})
    data = pictures(tmp_path / "data", "car\nbus\n", {"a": f"1 {MIDDLE}"})
    found = figures(smartbox("lab", "evaluate", strict, "--data", data, "--json", *more))
    assert found["at_threshold"]["bus"]["recall_by_height"]["20-40"] == 1.0
    assert found["at_threshold"]["car"]["false_per_100"] == 0.0


def test_data_may_have_the_name_of_a_group(tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "vehicle\nboat\n", {"a": f"0 {MIDDLE}"})
    command = ("lab", "evaluate", eyes, "--data", data, "--json")
    found = figures(smartbox(*command, "--group", "vehicle=car,bus,truck"))
    assert (found["AP50"], found["not_scored"]) == ({"vehicle": 1.0}, ["boat"])
    assert smartbox(*command).code == 78


@pytest.mark.parametrize("words", [["--ignore", "motorcylce"], ["--group", "vehicle=car,motorcylce"]])
def test_a_class_that_nobody_knows_is_told(words: list[str], tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "car\nmotorcycle\n", {"a": ""})
    said = smartbox("lab", "evaluate", eyes, "--data", data, *words)
    assert said.code == 0
    assert "motorcylce: left out, neither the data nor the model has such a class" in said.err
    assert "bus, car, motorcycle, truck" in said.err
    right = smartbox("lab", "evaluate", eyes, "--data", data, *(w.replace("lce", "cle") for w in words))
    assert (right.code, "left out" in right.err) == (0, False)


def test_peers_of_one_name_are_told_apart(tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    other = shutil.copytree(eyes, tmp_path / "other" / "eyes")
    third = played(tmp_path / "third", {"detections": [CAR]})
    data = pictures(tmp_path / "data", "car\nbus\n", {"a": f"1 {MIDDLE}"})
    peers = [word for peer in (eyes, other, third) for word in ("--peer", peer)]
    found = figures(smartbox("lab", "evaluate", eyes, "--data", data, "--json", *peers))
    assert list(found["peers"]) == [str(eyes), str(other), "third"]


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


def test_what_says_nothing_about_a_classifier_is_told_and_strange_folders_are_listed(
    tmp_path: Path, smartbox: Command
) -> None:
    for name in ("free", "Occupied", "notes"):
        (tmp_path / name).mkdir()
    for name in ("free", "Occupied"):
        cv2.imwrite(str(tmp_path / name / "a.png"), np.full((40, 40, 3), 90, np.uint8))
    command = ("lab", "evaluate", ROOT / "models" / "muffnet-slot", "--data", tmp_path)
    assert figures(smartbox(*command, "--json"))["not_scored"] == ["Occupied"]
    assert 'not_scored: ["Occupied"]' in smartbox(*command).out
    said = smartbox(*command, "--ignore", "free", "--pipeline")
    assert said.code == 0
    assert "--ignore, --pipeline: left out, for muffnet-slot is a bundle for classify" in said.err


def cells(folder: Path, right: float, wrong: float) -> tuple[Path, Path]:
    """A detector of 8 x 8 cells that scores every second one `right` and each other `wrong`, and such a folder."""
    scores, lines = [], []
    for i in range(64):
        true = i // 8 % 2 == i % 2
        scores.append([right if true else wrong])
        lines += [f"0 {(i % 8 + 0.5) / 8} {(i // 8 + 0.5) / 8} 0.125 0.125\n"] if true else []
    scores[:6] = [[(right + wrong) / 2]] * 6  # so that scores do not tell all
    answer = {"scores": scores, "boxes": [[0.5] * 4] * 64}
    bundle = played(
        folder / "cells", {"outputs": answer}, ["person"], "lrssd", strides=[8], sigmoid=False, score_threshold=0.35
    )
    return bundle, pictures(folder / "data", "person\n", {"a": "".join(lines)})


@pytest.mark.parametrize(
    ("right", "wrong", "threshold", "reason"),
    [
        (0.2, 0.7, "0.3", "higher scores are not right more often"),
        (0.7, 0.2, "1", "decoder.score_threshold: Input should be less than 1"),
        (0.04, 0.02, "0.3", "too few right or wrong"),
    ],
)
def test_a_calibration_that_fails_leaves_the_bundle_as_it_was(
    right: float, wrong: float, threshold: str, reason: str, tmp_path: Path, smartbox: Command
) -> None:
    bundle, data = cells(tmp_path, right, wrong)
    before = (bundle / "manifest.yaml").read_bytes()
    said = smartbox("lab", "calibrate", bundle, "--data", data, "--threshold", threshold)
    assert (said.code, said.out) == (78, "")
    assert reason in said.err
    assert (bundle / "manifest.yaml").read_bytes() == before


def test_a_calibrated_bundle_opens(tmp_path: Path, smartbox: Command) -> None:
    bundle, data = cells(tmp_path, 1.0, 0.2)
    said = smartbox("lab", "calibrate", bundle, "--data", data, "--threshold", "0.3")
    assert said.code == 0, said.err
    settings = Bundle.open(bundle).manifest.decoder.settings
    assert settings["logit_scale"] > 0
    assert settings["score_threshold"] == 0.3
    assert smartbox("lab", "evaluate", bundle, "--data", data).code == 0


def test_a_score_of_one_hides_no_other() -> None:
    rng = np.random.default_rng(1)
    found = rng.uniform(0.05, 0.99, 400)
    pairs = [(float(p), bool(r)) for p, r in zip(found, rng.random(400) < found**2, strict=True)]
    assert fit([*pairs, (1.0, True)]) == pytest.approx(fit(pairs), abs=0.01)
    with pytest.raises(ConfigError, match="not right more often"):
        fit([(1 - p, r) for p, r in pairs])


def test_other_decoders_and_classifiers_are_not_calibrated(tmp_path: Path, smartbox: Command) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "car\n", {"a": ""})
    said = smartbox("lab", "calibrate", eyes, "--data", data)
    assert (said.code, said.out) == (78, "")
    assert "its decoder is boxes; scores of lrssd alone can be calibrated" in said.err


def test_a_teacher_writes_the_file_that_it_names_whatever_pictures_are_called(
    tmp_path: Path, smartbox: Command
) -> None:
    eyes = played(tmp_path / "eyes", {"detections": [BUS]})
    data = pictures(tmp_path / "data", "bus\ncar\n", {"file": "", "allow_pickle": ""})
    named = Path(
        figures(smartbox("lab", "teach", eyes, "--data", data, "-o", tmp_path / "taught", "--json"))["teacher"]
    )
    with np.load(named) as taught:
        assert sorted(taught) == [NAMES, "allow_pickle", "file"]
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
