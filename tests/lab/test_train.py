"""Training: it runs, learns, keeps a curve, and goes on from its checkpoint."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smartbox.bundle import Bundle
from smartbox.errors import ConfigError, SourceError
from smartbox.lab import boxtable, pseudo, simulated, teacher
from smartbox.lab.recipe import DataSet, Recipe, Stage
from smartbox.lab.train_detect import prepare, rate, train
from smartbox.lab.training import Average


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


def test_a_recipe_without_a_table_is_written_as_ever(recipe: Recipe) -> None:
    """`lab compare` knows finished runs by what is written."""
    assert set(recipe.model_dump()["data"][0]) & {"boxed", "label"} == set()
