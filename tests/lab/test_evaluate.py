"""Scoring: AP as pycocotools counts it, groups, ignored classes, and the figures at the shipped threshold."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smartbox import bundle
from smartbox.__main__ import main
from smartbox.errors import ConfigError
from smartbox.lab import export
from smartbox.lab.data import load
from smartbox.lab.evaluate import Names, Scored, at_few_false, at_threshold, average_precision, evaluate, match
from smartbox.lab.nets.lrssd import Lrssd
from smartbox.lab.recipe import Recipe, read
from smartbox.types import Floats

LABELS = ("person", "car", "truck", "motorcycle")


def box(x: float, y: float, w: float = 40, h: float = 60) -> Floats:
    return np.array([x, y, x + w, y + h], np.float32)


def scored(truth: list[Floats], found: list[tuple[float, Floats]], blank: list[Floats] | None = None) -> Scored:
    return Scored(
        frozenset({"person"}),
        [("person", b) for b in truth],
        blank or [],
        [("person", s, b) for s, b in found],
        [("person", s, b) for s, b in found if s > 0.5],
    )


def test_perfect_detections_have_ap_one() -> None:
    assert average_precision([scored([box(0, 0)], [(0.9, box(0, 0))])], "person") == pytest.approx((1.0, 1.0))


def test_a_false_box_ahead_of_the_true_one_halves_the_precision() -> None:
    ap = average_precision([scored([box(0, 0)], [(0.9, box(200, 200)), (0.8, box(0, 0))])], "person")
    assert ap is not None
    assert ap[0] == pytest.approx(0.5)


def test_a_picture_where_the_class_is_not_labelled_does_not_count() -> None:
    other = Scored(frozenset({"car"}), [], [], [("person", 0.99, box(5, 5))], [])
    assert average_precision([scored([box(0, 0)], [(0.9, box(0, 0))]), other], "person") == pytest.approx((1.0, 1.0))


def test_a_box_on_an_ignored_thing_is_neither_hit_nor_miss() -> None:
    picture = scored([box(0, 0)], [(0.99, box(200, 200)), (0.9, box(0, 0))], blank=[box(190, 190, 60, 80)])
    assert average_precision([picture], "person") == pytest.approx((1.0, 1.0))
    assert at_threshold([picture], "person")["false_per_100"] == 0.0


def test_no_truth_means_no_figure() -> None:
    assert average_precision([scored([], [(0.9, box(0, 0))])], "person") is None


def test_at_the_threshold_recall_is_by_height_and_weak_boxes_do_not_count() -> None:
    picture = scored(
        [box(0, 0, h=30), box(100, 0, h=60), box(200, 0, h=100)],
        [(0.9, box(100, 0, h=60)), (0.4, box(0, 0, h=30)), (0.8, box(300, 300))],
    )
    result = at_threshold([picture, scored([], [])], "person")
    assert result == {"recall_by_height": {"20-40": 0.0, "40-80": 1.0, "80+": 0.0}, "false_per_100": 50.0}


def test_beside_others_the_score_is_raised_until_one_box_in_a_hundred_pictures_is_false() -> None:
    good, false = scored([box(0, 0)], [(0.6, box(0, 0))]), scored([], [(0.9, box(0, 0)), (0.7, box(200, 200))])
    found = at_few_false([good] * 98 + [false], "person")
    assert (found["false_per_100"], found["recall_by_height"]["40-80"]) == (0.0, 0.0)
    assert found["score"] >= 0.9
    found = at_few_false([good] * 99 + [scored([box(0, 0)], [(0.8, box(0, 0)), (0.7, box(200, 200))])], "person")
    assert found == {"score": 0.0, "false_per_100": 1.0, "recall_by_height": {"20-40": None, "40-80": 1.0, "80+": None}}


def test_another_s_detector_is_scored_beside_it(tiny: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["lab", "evaluate", str(tiny), "--data", str(folder), "--json"]
    assert main(command) == 0
    alone = json.loads(capsys.readouterr().out)
    assert main([*command, "--peer", str(tiny)]) == 0
    both = json.loads(capsys.readouterr().out)
    peer = both.pop("peers")[bundle.Bundle.open(tiny).name]
    assert both["AP50"] == alone["AP50"]
    assert peer["boxes"] == alone["boxes"]
    assert main([*command, "--peer", str(folder / "classes.txt")]) == 78
    assert "give a bundle's directory, a YOLOX as .onnx, or an IR" in capsys.readouterr().err


def test_one_box_is_one_hit() -> None:
    taken, missed = match(np.stack([box(0, 0), box(1, 0)]), np.stack([box(0, 0)]))
    assert taken == {0}
    assert missed == [1]


RECIPE = """
name: tiny
labels: [person, car, truck, motorcycle]
groups: {vehicle: [car, truck]}
size: 64
net: {stem: 8, stages: [16, 24, 32], widths: [8, 8, 16], features: 16}
data: [{folder: FOLDER, name: made up, licence: none}]
stages: [{steps: 2, batch: 2, size: [64], warmup: 1}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("val")
    for part in ("images", "labels"):
        (root / part).mkdir()
    (root / "classes.txt").write_text("\n".join([*LABELS, "submarine"]))
    for i in range(3):
        image = np.random.default_rng(i).integers(0, 255, (48, 64, 3)).astype(np.uint8)
        cv2.imwrite(str(root / "images" / f"p{i}.png"), image)
        (root / "labels" / f"p{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.2 0.2\n3 0.8 0.8 0.2 0.2\n")
    return root


@pytest.fixture(scope="module")
def tiny(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of an untrained net, exported as any other."""
    out = tmp_path_factory.mktemp("bundle")
    (out / "recipe.yaml").write_text(RECIPE.replace("FOLDER", str(folder)))
    recipe = read(out / "recipe.yaml")
    torch.manual_seed(1)
    net = Lrssd(recipe.net.spec(4)).eval()
    pictures = load(folder, (*LABELS, "submarine"))
    fake = export.quantized(net, recipe, pictures, 3)
    export.write(out / "tiny", recipe, net, fake, export.Release("1"))
    return out / "tiny"


def test_an_exported_bundle_is_whole(tiny: Path) -> None:
    opened = bundle.Bundle.open(tiny)
    assert opened.verify() == []
    assert opened.manifest.labels == LABELS
    assert set(opened.manifest.files) == {"onnxruntime", "openvino", "tflite", "mnn"}
    assert opened.manifest.files["tflite"].precision.weight_bits == 8
    inputs, outputs = opened.golden()
    assert inputs["image"].shape == (2, 64, 64, 3)
    assert outputs["boxes"].shape == (2, 85, 4)


def test_the_command_prints_the_contract(tiny: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--group", "vehicle=car,truck", "--ignore", "motorcycle", "--json"]
    assert main(["lab", "evaluate", str(tiny), "--data", str(folder), *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 3
    assert set(result["AP50"]) == {"person", "vehicle"}
    assert set(result["at_threshold"]["person"]) == {"recall_by_height", "false_per_100"}
    assert result["not_scored"] == ["submarine"]
    assert {"mAP50", "mAP"} <= set(result)


def test_a_folder_that_shares_no_class_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "classes.txt").write_text("submarine")
    with pytest.raises(ConfigError, match="submarine; the bundle knows person"):
        evaluate(bundle.Bundle.open(tiny), tmp_path, Names({}, frozenset()))


def test_a_misspelt_key_of_a_recipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE + "epochs: 3\n")
    with pytest.raises(ConfigError, match="epochs"):
        read(tmp_path / "r.yaml")


def test_a_group_without_members_is_refused(tiny: Path, folder: Path) -> None:
    assert main(["lab", "evaluate", str(tiny), "--data", str(folder), "--group", "vehicle"]) == 2


def test_recipes_round_trip(tiny: Path) -> None:
    recipe = read(tiny.parent / "recipe.yaml")
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
