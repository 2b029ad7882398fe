"""Training: it runs, learns, keeps a curve, and goes on from its checkpoint."""

import csv
import re
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from smartbox.bundle import Bundle
from smartbox.errors import BackendError, ConfigError, SourceError, StorageError
from smartbox.lab import boxtable, export, pseudo, simulated, standin, teacher
from smartbox.lab.curve import draw
from smartbox.lab.recipe import DataSet, Recipe, Stage, read
from smartbox.lab.train_detect import COCO, FEATURES, prepare, rate, train
from smartbox.lab.training import Average, DivergedError, save
from tests.lab.conftest import stop_at


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """Bright squares on dark ground."""
    root = tmp_path / "data"
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    (root / "classes.txt").write_text("square")
    for i in range(4):
        image = np.full((64, 64, 3), 20, np.uint8)
        image[16:48, 8 * i : 8 * i + 32] = 220
        cv2.imwrite(str(root / "images" / f"p{i}.png"), image)
        (root / "labels" / f"p{i}.txt").write_text(f"0 {(8 * i + 16) / 64} 0.5 0.5 0.5\n")
    stage = {"size": [64], "batch": 4, "steps": 41, "lr": 3e-3, "warmup": 5, "mosaic": 0, "plain": 1, "degrade": 0}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "labels": ["square"],
            "net": {"stem": 8, "stages": [16, 24, 32], "widths": [8, 8, 16], "features": 16},
            "data": [{"folder": root}],
            "stages": [stage],
        }
    )


def test_the_loss_falls_and_the_curve_says_so(recipe: Recipe, tmp_path: Path) -> None:
    checkpoint = train(recipe, tmp_path / "run")
    with (tmp_path / "run" / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["20", "40"]
    assert float(rows[-1]["box"]) < float(rows[0]["box"])  # the boxes get better
    assert list(rows[0]) == ["stage", "step", "seconds", "lr", "class", "box", "coarse"]
    assert len(np.unique(cv2.imread(str(tmp_path / "run" / "curve.png")))) > 10
    assert {"ema", "net", "optimizer", "at"} <= set(torch.load(checkpoint, weights_only=True))


def test_a_finished_training_goes_on_with_a_longer_recipe(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe, tmp_path / "run")
    longer = recipe.model_copy(update={"stages": (*recipe.stages, recipe.stages[0].model_copy(update={"steps": 3}))})
    state = torch.load(train(longer, tmp_path / "run"), weights_only=True)
    assert state["at"] == [2, 0, 44]


def test_the_mean_follows_weights_that_scales_share_as_it_follows_all(recipe: Recipe) -> None:
    net = recipe.net.build(1)
    average = Average(net, 0.9)
    average.updates = 10_000  # grown up
    before = {key: value.clone() for key, value in average.net.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1.0)
    average.update(net)
    after = average.net.state_dict()
    moved = [float((after[key] - before[key]).mean()) for key, _ in net.named_parameters(remove_duplicate=False)]
    assert moved == pytest.approx([moved[0]] * len(moved), abs=1e-5)
    assert 0 < moved[0] < 1
    assert set(after) == set(before)


def test_the_rate_warms_up_and_then_falls_as_a_cosine() -> None:
    stage = Stage(steps=100, lr=1.0, lr_end=0.0, warmup=10)
    assert rate(stage, 0, 0.0)[1] == pytest.approx(0.1)
    assert rate(stage, 50, 0.0) == pytest.approx((0.5, 0.5))
    assert rate(stage, 100, 0.0)[0] == 1.0


def test_a_stage_out_of_time_is_over(recipe: Recipe) -> None:
    assert rate(Stage(steps=100, minutes=2), 1, 120.0)[0] == 1.0


def test_boxes_of_a_table_but_for_the_clips_that_it_holds_out(recipe: Recipe, tmp_path: Path) -> None:
    names = [f"clip_{i:03}_{end}" for i in range(20) for end in ("start", "end")]
    lines = [f"{name}\t0.25\t0.5\t0.75\t1\tlying" for name in names]
    nobody = next(name for name in reversed(names) if not boxtable.held_out(name))
    lines[names.index(nobody)] = nobody
    (tmp_path / "table.tsv").write_text("name\tx0\ty0\tx1\ty1\tposture\n" + "\n".join([*lines, lines[0]]))
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((60, 80, 3), np.uint8))
    data = DataSet(folder=tmp_path, boxed=tmp_path / "table.tsv", label="square")
    found = {picture.name: picture for picture in prepare(recipe, data)}
    assert set(found) == {name for name in names if not boxtable.held_out(name)} != set(names)
    assert found[names[0]].boxes.tolist() == [[20, 30, 60, 60]] * 2
    assert found[names[0]].classes.tolist() == [0, 0]
    assert found[names[0]].complete
    assert (len(found[nobody].boxes), found[nobody].complete) == (0, True)
    (tmp_path / "table.tsv").write_text(f"name\tx0\ty0\tx1\ty1\n{names[0]}\t0.25\t0.5\t0.75\n")
    with pytest.raises(ConfigError, match=r"table.tsv:2: is no box; its columns are name, x0"):
        prepare(recipe, data)


def test_a_table_of_one_clip_that_is_held_out_is_refused(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"site_empty_{i}" for i in range(5)]
    (tmp_path / "table.tsv").write_text("\n".join(["name", *names]))
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((60, 80, 3), np.uint8))
    data = DataSet(folder=tmp_path, boxed=tmp_path / "table.tsv", label="square")
    with pytest.raises(
        ConfigError, match=r"every picture \(5\) is held out.*alike up to their second `_` stay together"
    ):
        prepare(recipe, data)
    assert "table.tsv: 0 pictures to train on; 5 pictures held out" in capsys.readouterr().err


def test_a_teachers_classes_are_matched_by_name(tmp_path: Path) -> None:
    """What `lab teach` writes, read by a recipe with other labels."""
    folder, labels = tmp_path / "sim", ("car", "person")
    simulated.write(folder, simulated.Order(labels, 1_000_000, 4))
    bundle = Bundle.open(Path(__file__).resolve().parents[2] / "models" / "lrssd-park-lite")
    teacher.write(bundle, folder, labels, tmp_path / "taught.npz")
    own, other = (pseudo.read(tmp_path / "taught.npz", names) for names in (labels, ("bus", "person", "car")))
    assert set(own) == {path.stem for path in (folder / "images").iterdir()}
    classes = np.concatenate([rows[:, 5] for rows in own.values()])
    assert len(classes)
    assert np.concatenate([rows[:, 5] for rows in other.values()]).tolist() == (2 - classes).tolist()
    few = pseudo.read(tmp_path / "taught.npz", ("person",))
    assert sum(map(len, few.values())) == np.count_nonzero(classes)
    assert {value for rows in few.values() for value in rows[:, 5]} <= {0}


def test_a_teacher_must_have_seen_every_picture(recipe: Recipe, tmp_path: Path) -> None:
    box = np.array([[0, 0, 0.2, 0.2, 0.9, 0]], np.float32)
    data = recipe.data[0].model_copy(update={"teacher": tmp_path / "taught.npz", "open": ("square",)})
    rows = {f"p{i}": box for i in range(4)}
    np.savez(tmp_path / "taught.npz", **rows)  # without names, as it was written once
    assert [len(picture.boxes) for picture in prepare(recipe, data)] == [2] * 4
    del rows["p3"]
    np.savez(tmp_path / "taught.npz", **rows)
    with pytest.raises(SourceError, match=r"says nothing of 1 pictures of .*, p3 among them; run `smartbox lab teach`"):
        prepare(recipe, data)
    (tmp_path / "taught.npz").write_text("no teacher")
    with pytest.raises(SourceError, match="is no whole file of a teacher"):
        prepare(recipe, data)


def test_a_table_for_a_label_that_is_none_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    data = {"folder": tmp_path, "boxed": tmp_path / "table.tsv"}
    with pytest.raises(ValueError, match=r"data.0.label: 'person' is none of the labels square"):
        Recipe.model_validate({**recipe.model_dump(), "data": [data]})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"labels": []}, "labels.*must not be empty"),
        ({"labels": ["square", "square"]}, "labels.*square stands twice"),
        ({"name": "../up"}, "name.*pattern"),
        ({"groups": {"flat": ["cat"]}}, "groups.flat: 'cat' is none of the labels square"),
        ({"decoding": {"label_thresholds": {"cat": 0.5}}}, "decoding.label_thresholds: 'cat' is none of the labels"),
        ({"decoding": {"score_threshold": 1.0}}, "decoding.score_threshold.*less than 1"),
        ({"data": []}, "data.*must not be empty"),
        ({"data": [{"folder": "x", "open": ["cat"]}]}, "data.0.open: 'cat' is none of the labels"),
        ({"data": [{"folder": "x", "ambiguous": {"p": ["square", "cat"]}}]}, "data.0.ambiguous.p: 'cat' is none"),
        ({"data": [{"folder": "x", "repeat": {"p": 0}}]}, "data.0.repeat.p.*greater than 0"),
        ({"data": [{"folder": "x", "share": float("inf")}]}, "data.0.share.*finite"),
        ({"stages": []}, "stages.*must not be empty"),
        ({"stages": [{"size": []}]}, "stages.0.size.*must not be empty"),
        ({"stages": [{"size": [32]}]}, "size 32 leaves the coarsest scale no cell; train on 64 or more"),
        ({"stages": [{"minutes": 0}]}, "stages.0.minutes.*greater than 0"),
        ({"stages": [{"lr": -1}]}, "stages.0.lr.*greater than or equal to 0"),
        ({"stages": [{"scale": [1.6, 0.5]}]}, "scale: 1.6 to 0.5 is no range"),
        ({"net": {"stem": -1}}, "net.stem.*greater than 0"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe: Recipe, changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=re.compile(why, re.DOTALL)):
        Recipe.model_validate(recipe.model_dump() | changes)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("name: tiny\nseed: 1\nseed: 2\n")
    with pytest.raises(ConfigError, match=r"recipe\.yaml: .*the key seed stands twice.*line 3"):
        read(tmp_path / "recipe.yaml")


def test_a_recipe_without_a_table_is_written_as_ever(recipe: Recipe) -> None:
    """`lab compare` knows finished runs by what is written."""
    assert set(recipe.model_dump()["data"][0]) & {"boxed", "label"} == set()


def curve(run: Path) -> list[dict[str, str]]:
    with (run / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def changed(recipe: Recipe, **stage: object) -> Recipe:
    """`recipe` with other settings of its only stage."""
    return recipe.model_copy(update={"stages": (recipe.stages[0].model_copy(update=stage),)})


def test_a_training_that_is_stopped_keeps_what_it_did(
    recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, longer = tmp_path / "run", changed(recipe, steps=80)
    stop_at(run / "curve.csv", 1)
    with pytest.raises(KeyboardInterrupt):
        train(longer, run)
    done = torch.load(run / "checkpoint.pt", weights_only=True)["at"][1]
    assert 20 <= done < 80
    said = capsys.readouterr().err
    assert f"stopped at stage 0, step {done}" in said
    assert "the same command goes on from there" in said
    with (run / "curve.csv").open("a") as file:  # as a process that was killed leaves it
        file.write("0,100,1,1e-3,1.0,1.0,1.0\n0,1")
    assert torch.load(train(longer, run), weights_only=True)["at"] == [1, 0, 80]
    assert [row["step"] for row in curve(run)] == ["20", "40", "60", "80"]


def test_a_finished_training_says_so(recipe: Recipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(changed(recipe, steps=2), tmp_path / "run")
    capsys.readouterr()
    train(changed(recipe, steps=4), tmp_path / "run")
    assert "its stages are all finished already; add one to train on" in capsys.readouterr().err


def test_a_training_that_runs_away_is_stopped(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"stage 0, step \d+: loss or gradient is no finite .* rate of 1.00e\+30"):
        train(changed(recipe, lr=1e30, lr_end=1e30, warmup=1), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_curve_of_zeros_and_of_no_numbers_can_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "curve.csv").write_text("step,lr,box,class\n20,1,0.0,nan\n40,1,0.0,nan\n")
    draw(tmp_path / "curve.csv", tmp_path / "curve.png", ("box", "class"))
    assert cv2.imread(str(tmp_path / "curve.png")) is not None


def test_a_disk_that_is_full_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save({"at": 1}, path)
    path.with_suffix(".part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"checkpoint\.pt: cannot be written \(No space left on device\)"):
        save({"at": 2}, path)
    assert torch.load(path)["at"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_goes_on_only_by_what_it_was_trained_for(recipe: Recipe, tmp_path: Path) -> None:
    run, short = tmp_path / "run", changed(recipe, steps=1)
    checkpoint = train(short, run)
    other = short.model_copy(update={"labels": ("circle",)})
    for use in (partial(train, out=run), partial(export.restore, checkpoint=checkpoint)):
        with pytest.raises(
            BackendError, match=r"was trained with labels \['square'\], and the recipe has \['circle'\]"
        ):
            use(other)
    teacher = standin.yolox(tmp_path / "teacher.onnx", FEATURES // 2, COCO)
    with pytest.raises(BackendError, match="distil: this run was begun without it"):
        train(short.model_copy(update={"distil": teacher}), run)
    state = torch.load(checkpoint, weights_only=True)
    torch.save({"ema": state["ema"]}, checkpoint)  # as `lab restore` writes it
    assert export.restore(other, checkpoint)
    with pytest.raises(BackendError, match=r"holds weights to begin with, .* name it in the recipe's `start:`"):
        train(short, run)
    assert train(short.model_copy(update={"start": checkpoint}), tmp_path / "next").exists()


def test_what_cannot_be_begun_with_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    text, wide = tmp_path / "x.txt", tmp_path / "wide.pt"
    text.write_text("hello")
    torch.save({"ema": recipe.net.build(2).state_dict()}, wide)
    for key, path, why in (
        ("start", text, "is no checkpoint; give one that"),
        ("start", wide, "blocks and classes must be equal"),
        ("distil", text, "is no ONNX file; give an export of YOLOX-nano"),
        ("distil", standin.yolox(tmp_path / "small.onnx", 8, 3), "has 16 features and 3 classes, YOLOX-nano 128"),
    ):
        with pytest.raises(ConfigError, match=rf"^{key}: .*{path.name}.* ?{why}"):
            train(recipe.model_copy(update={key: path}), tmp_path / "run")
