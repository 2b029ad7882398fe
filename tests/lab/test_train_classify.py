"""Training a classifier: it learns, repeats itself, goes on from its checkpoint, and says what is wrong in a recipe."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError

from smartbox.errors import BackendError, ConfigError
from smartbox.lab import export_classify
from smartbox.lab.export_classify import input_spec
from smartbox.lab.recipe_classify import ClassifyRecipe, read, task_of
from smartbox.lab.sets import build
from smartbox.lab.train_classify import Batches, gather, normalise, plain, train
from smartbox.preprocess import prepare
from tests.lab.conftest import stop_at

NET = {"spec": {"stem": 8, "stages": [16, 24, 32], "widths": [8, 8, 16], "blocks": [1, 1, 1]}, "expand": 32}
Make = Callable[..., ClassifyRecipe]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue noise, in a folder each."""
    root = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(1)
    for label, strong in (("blue", 0), ("red", 2)):
        (root / label).mkdir()
        for i in range(20):
            image = rng.integers(0, 100, (40, 30, 3)).astype(np.uint8)
            image[..., strong] += 120
            cv2.imwrite(str(root / label / f"{label}{i}_x.png"), image)
    return root


@pytest.fixture
def make(folder: Path) -> Make:
    def made(**changes: Any) -> ClassifyRecipe:
        plain: dict[str, Any] = {
            "task": "classify",
            "name": "tiny",
            "labels": ["blue", "red"],
            "net": {"options": NET},
            "input": {"shape": [32, 32, 3]},
            "data": [{"type": "folder", "folder": folder}],
            "schedule": {"batch": 8, "steps": 60, "lr": 5e-3, "warmup": 5},
            "ema": 0.9,
        }
        return ClassifyRecipe.model_validate(plain | changes)

    return made


def weights(checkpoint: Path) -> torch.Tensor:
    state = torch.load(checkpoint, weights_only=True)["ema"]
    return torch.cat([value.float().flatten() for value in state.values()])


def test_it_learns_and_leaves_a_curve(make: Make, tmp_path: Path) -> None:
    train(make(), tmp_path, threads=1)
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["20", "40", "60", "60"]
    assert float(rows[2]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["val_top1"]) == 1.0
    assert cv2.imread(str(tmp_path / "curve.png")) is not None


def test_a_stopped_run_goes_on_as_if_it_had_not_been(make: Make, tmp_path: Path) -> None:
    schedule = {"batch": 4, "steps": 6, "lr": 1e-3, "lr_end": 1e-3, "warmup": 1}
    whole = train(make(schedule=schedule), tmp_path / "whole", threads=1)
    train(make(schedule=schedule | {"steps": 3}), tmp_path / "parts", threads=1)
    parts = train(make(schedule=schedule), tmp_path / "parts", threads=1)
    assert torch.equal(weights(whole), weights(parts))
    assert torch.equal(weights(whole), weights(train(make(schedule=schedule), tmp_path / "again", threads=1)))
    other = train(make(schedule=schedule, seed=2), tmp_path / "other", threads=1)
    assert not torch.equal(weights(whole), weights(other))


def test_ctrl_c_costs_no_step_and_a_finished_run_is_left_as_it_is(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, run = make(), tmp_path / "run"
    stop_at(run / "curve.csv", 1)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, threads=1)
    assert re.search(r"stopped at step [2-5]\d, saved in ", capsys.readouterr().err)
    assert torch.equal(weights(train(recipe, run, threads=1)), weights(train(recipe, tmp_path / "whole", threads=1)))
    curve = (run / "curve.csv").read_bytes()
    assert [row["step"] for row in csv.DictReader(curve.decode().splitlines())] == ["20", "40", "60", "60"]
    train(recipe, run, threads=1)
    assert "its 60 steps are finished already; raise `schedule.steps`" in capsys.readouterr().err
    assert (run / "curve.csv").read_bytes() == curve


def test_a_checkpoint_is_of_its_labels_and_its_input(make: Make, tmp_path: Path) -> None:
    schedule = {"batch": 4, "steps": 1}
    checkpoint = train(make(schedule=schedule), tmp_path / "run", threads=1)
    for changes, why in (
        ({"labels": ["red", "blue"]}, r"labels \['blue', 'red'\], and the recipe has \['red', 'blue'\]"),
        (
            {"input": {"shape": [32, 32, 3], "resize": "letterbox"}},
            "input.resize stretch, and the recipe has letterbox",
        ),
    ):
        other = make(schedule=schedule, **changes)
        with pytest.raises(BackendError, match=why):
            export_classify.restore(other, checkpoint)
        with pytest.raises(BackendError, match=why):
            train(other, tmp_path / "run", threads=1)
    assert export_classify.restore(make(input={"shape": [32, 32, 3], "name": "crop"}), checkpoint)


def test_weights_of_another_net_are_nothing_to_begin_with(make: Make, tmp_path: Path) -> None:
    torch.save({"ema": {"stem.weight": torch.ones(3, 3)}}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"^start: .*other\.pt is of another net: none of its layers fits"):
        train(make(start=tmp_path / "other.pt"), tmp_path / "run", threads=1)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": ["a"]}, "labels"),
        ({"labels": ["a", "a"]}, "labels.*a stands twice"),
        ({"name": "../up"}, "name.*pattern"),
        ({"groups": {"warm": ["red", "pink"]}}, "groups.warm: 'pink' is none of the labels blue, red"),
        ({"input": {"shape": [0, 32, 3]}}, "input.shape.0.*greater than 0"),
        ({"input": {"shape": [32, 32, 1]}}, "BGR has 3 channels, the shape 1"),
        ({"input": {"mean": 114.5}}, "input.mean: is 114.5; of pictures it is a whole number"),
        ({"input": {"colour": None}}, "input.colour: None with shape .*: the lab trains on BGR"),
        ({"schedule": {"minutes": 0}}, "schedule.minutes.*greater than 0"),
        ({"schedule": {"lr": float("nan")}}, "schedule.lr.*finite"),
        ({"weight_decay": -1}, "weight_decay.*greater than or equal to 0"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(make: Make, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=re.compile(why, re.DOTALL)):
        make(**changes)


def test_one_channel_and_floats_are_inputs_too(make: Make) -> None:
    recipe = make(task="sound", input={"shape": [4, 6, 1], "colour": None, "mean": -5.0, "deviation": 2.0})
    arrays = torch.full((2, 4, 6, 1), -3.0)
    assert normalise(arrays, recipe.input).unique().tolist() == [1.0]
    assert normalise(arrays, recipe.input).shape == (2, 1, 4, 6)


def test_the_parts_share_no_picture_and_classes_are_drawn_alike(make: Make) -> None:
    recipe = make(schedule={"batch": 200, "steps": 1})
    parts = {part: gather(recipe, part)[0] for part in ("train", "val")}
    assert len(parts["train"].classes) + len(parts["val"].classes) == 40
    assert 0 < len(parts["val"].classes) < 20
    _, classes = Batches(recipe, [parts["train"]])[0]
    assert 70 < int(classes.sum()) < 130


def test_a_recipe_says_what_it_trains(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("{name: x, labels: [a]}")
    assert task_of(path) == "detect"
    path.write_text("{task: classify, name: x, labels: [a, b], data: [{type: folders}]}")
    assert task_of(path) == "classify"
    with pytest.raises(ConfigError, match=r"data\.0\.type.*'folders' is no set; known are .*folder"):
        read(path)


def test_a_misspelt_key_of_a_set_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.3\.foldr"):
        build({"type": "folder", "foldr": folder}, "data.3")


def test_a_letterboxed_crop_stands_at_the_top_left(make: Make) -> None:
    recipe = make(input={"shape": [8, 8, 3], "resize": "letterbox"})
    out = recipe.sets[0].plain(np.full((10, 20, 3), 7, np.uint8), (8, 8, 3))
    assert (out[:4] == 7).all()
    assert (out[4:] == 114).all()


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_crops_go_in_as_the_box_makes_them(make: Make, resize: str) -> None:
    recipe = make(input={"shape": [32, 48, 3], "resize": resize})
    parts = gather(recipe, "val")
    arrays, _ = plain(recipe, parts)
    boxed = [prepare(crop, input_spec(recipe))[0] for crop in parts[0].arrays]
    assert np.array_equal(arrays, np.stack(boxed))


@pytest.mark.parametrize(
    ("given", "entry", "reason"),
    [
        ({"shape": [32, 32, 3], "colour": "RGB"}, {}, "input.colour: RGB with shape .*: the lab trains on BGR"),
        ({"shape": [32, 32, 1], "colour": "Y"}, {}, r"input.colour: Y .*, of shape \[height, width, 3\]"),
        ({"shape": [32, 32, 3]}, {"resize": "letterbox"}, "data.0.resize: 'letterbox', but .* says 'stretch'"),
        ({"shape": [48, 48, 3]}, {"type": "slots", "size": 64}, "data.0.size: 64, but the recipe's input says 48"),
        ({"shape": [48, 64, 3]}, {"type": "slots"}, r"input.shape: \[48, 64, 3\] is no square, and slots cut squares"),
        ({"shape": [64, 64, 3]}, {"type": "upright"}, "data.0.resize: squares round people are letterboxed"),
    ],
)
def test_an_input_that_the_sets_do_not_make_is_refused(
    make: Make, folder: Path, given: dict[str, Any], entry: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    data = [{"type": "folder", "folder": str(folder), **entry}]
    raw = make().model_dump(mode="json", exclude={"input", "data", "start"}) | {"input": given, "data": data}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(ConfigError, match=reason):
        read(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("side", [48, 96])
def test_the_side_of_a_square_is_the_inputs(make: Make, tmp_path: Path, side: int) -> None:
    slots = {"type": "carparks", "seed": 1_000_001, "count": 1, "held_out": 1, "cache": tmp_path}
    recipe = make(labels=["free", "occupied"], input={"shape": [side, side, 3]}, data=[slots])
    (held_out,), (kept,) = gather(recipe, "val"), gather(recipe, "train")
    assert held_out.arrays[0].shape == (side, side, 3)
    assert kept.arrays[0].shape[0] >= 1.5 * side  # with room around
    assert recipe.sets[0].plain(kept.arrays[0], (side, side, 3)).shape == (side, side, 3)


def test_names_that_begin_alike_are_still_split(
    make: Make, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("blue", "red"):
        (tmp_path / label).mkdir()
        for i, path in enumerate(sorted((folder / label).iterdir())):
            (tmp_path / label / f"{'PXL' if label == 'red' else 'IMG'}_{i:04}.png").write_bytes(path.read_bytes())
    recipe = make(data=[{"type": "folder", "folder": tmp_path}])
    counts = {part: np.bincount(gather(recipe, part)[0].classes).tolist() for part in ("train", "val")}
    assert all(0 < count < 20 for part in counts.values() for count in part)
    parts = ["{} blue, {} red".format(*counts[part]) for part in ("train", "val")]
    assert capsys.readouterr().err == f"{tmp_path}: {parts[0]} to train on; {parts[1]} held out\n"


def test_a_folder_that_is_held_out_as_a_whole_is_refused(make: Make, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    for name in ("PXL_1", "PXL_2", "PXL2_1"):
        (tmp_path / "red" / f"{name}.png").write_bytes((folder / "red" / "red0_x.png").read_bytes())
    recipe = make(data=[{"type": "folder", "folder": tmp_path, "val_share": 0.99}])
    with pytest.raises(
        ConfigError, match=r"every picture \(3\) is held out.*alike up to their first `_` stay together"
    ):
        gather(recipe, "train")
