"""What classifiers learn from: slots and people cut as the box cuts them, parts that never meet."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from smartbox import crops
from smartbox.errors import ConfigError
from smartbox.lab import boxtable
from smartbox.lab.sets import DataSet, build
from smartbox.lab.sets._warped import low_sun
from smartbox.lab.sets.boxed import Plugin as Boxed
from smartbox.lab.sets.posts import nearest
from smartbox.manifest import InputSpec
from smartbox.simulation.carparks import boxed, carparks
from smartbox.simulation.postures import rooms

MODELS = Path(__file__).resolve().parents[2] / "models"
SHAPE = (64, 64, 3)
POSTURES = ("upright", "head-down", "lying", "unsure")
SLOTS = ("free", "occupied")
SPEC = InputSpec(name="image", shape=(None, *SHAPE), layout="NHWC", colour="BGR")


def made(kind: str, **settings: Any) -> DataSet:
    return build({"type": kind, **settings}, "data.0")


def check(data: DataSet, labels: tuple[str, ...]) -> dict[str, set[str]]:
    """Both parts give the net what it takes; returns the classes of each."""
    seen = {}
    for part in ("train", "val"):
        found = data.load(labels, part)  # type: ignore[arg-type]
        assert len(found.classes)
        rng = np.random.default_rng(1)
        for array in found.arrays[:6]:
            for made_of in (data.plain(array, SHAPE), data.augment(array, SHAPE, rng)):
                assert made_of.shape == SHAPE
                assert made_of.dtype == np.uint8
        seen[part] = {labels[c] for c in found.classes}
    return seen


def test_simulated_car_parks_are_kept_and_repeat_themselves(tmp_path: Path) -> None:
    settings = {"seed": 1_000_001, "count": 3, "held_out": 3}
    data = made("carparks", **settings, cache=tmp_path)
    assert check(data, SLOTS) == {"train": set(SLOTS), "val": set(SLOTS)}
    again = made("carparks", **settings, cache=tmp_path / "other").load(SLOTS, "val")
    first = data.load(SLOTS, "val")
    assert all(np.array_equal(a, b) for a, b in zip(first.arrays, again.arrays, strict=True))


def test_what_is_kept_is_of_these_labels_and_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = made("carparks", seed=1_000_001, count=1, held_out=1, cache=tmp_path)
    first = data.load(SLOTS, "val")
    (path,) = tmp_path.iterdir()
    assert data.load(SLOTS[::-1], "val").classes.tolist() == (1 - first.classes).tolist()
    path.write_bytes(path.read_bytes()[:1000])
    again = data.load(SLOTS, "val")
    assert f"{path}: is not whole; it is made anew" in capsys.readouterr().err
    assert np.array_equal(np.stack(first.arrays), np.stack(again.arrays))
    assert np.array_equal(np.stack(first.arrays), np.stack(data.load(SLOTS, "val").arrays))
    assert capsys.readouterr().err == ""
    assert len(list(tmp_path.iterdir())) == 2


def test_labels_that_a_recipe_lacks_are_named(people: Path) -> None:
    (people / "a.json").write_text('{"slots": []}')
    cv2.imwrite(str(people / "a.png"), np.zeros((50, 80, 3), np.uint8))
    (people / "t.tsv").write_text("name\tx0\ty0\tx1\ty1\tposture\na\t0.1\t0.1\t0.9\t0.5\tlying")
    for data, label in (
        (made("slots", folder=people), "free"),
        (made("boxed", folder=people, table=people / "t.tsv", val_share=0), "lying"),
    ):
        with pytest.raises(ConfigError, match=f"made of '{label}', which is none of the labels blue, red"):
            data.load(("blue", "red"), "train")


def test_a_low_sun_shades_a_part_and_warms_the_rest() -> None:
    rng = np.random.default_rng(5)
    grey = np.full((64, 64, 3), 120, np.uint8)
    seen = [low_sun(grey, rng) for _ in range(50)]
    assert all(image.shape == grey.shape and image.dtype == np.uint8 for image in seen)
    assert sum(image.min() < 100 for image in seen) > 35  # stripes that do not miss it
    assert all((image[..., 2].max() >= image[..., 0].max()) for image in seen)  # where the sun is: more red than blue


def test_the_slots_of_a_car_park_lie_in_the_picture() -> None:
    for image, slots in carparks(1_000_001, 3, 320, 180):
        assert image.shape == (180, 320, 3)
        for slot in slots:
            assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in slot.polygon)


def test_the_boxes_of_a_car_park_are_those_of_its_slots() -> None:
    """The same pictures: where a slot is taken somebody is boxed, and a free one is nothing."""
    pairs = list(zip(carparks(1_000_004, 6), boxed(1_000_004, 6), strict=True))
    assert any(slot.taken for (_, slots), _ in pairs for slot in slots)
    for (image, slots), (same, boxes) in pairs:
        assert np.array_equal(image, same)
        vehicles = [box for label, box, _ in boxes if label in {"car", "truck"}]
        for slot in slots:
            if slot.taken:
                x, y = np.mean(slot.polygon, 0)
                assert any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in vehicles)
        assert sum(slot.taken for slot in slots) <= len(vehicles)


def test_simulated_rooms_have_every_posture(tmp_path: Path) -> None:
    data = made("rooms", seed=1_000_000, count=12, held_out=8, cache=tmp_path)
    assert check(data, POSTURES) == {"train": set(POSTURES), "val": set(POSTURES)}


def test_a_guard_at_the_post_is_cut_by_the_boxes_that_the_detector_finds(tmp_path: Path) -> None:
    data = made("posts", seed=1_000_000, count=6, held_out=4, cache=tmp_path, detector=MODELS / "lrssd-park")
    assert {"upright", "head-down"} <= check(data, POSTURES)["train"]
    exact = np.array([[0.1, 0.1, 0.3, 0.5]], np.float32)
    found = np.array([[0.5, 0.1, 0.7, 0.5], [0.12, 0.1, 0.3, 0.5]], np.float32)
    assert np.array_equal(nearest(exact, found), found[1])
    assert nearest(exact, found[:1]) is None


def test_who_lies_is_wider_than_who_sits() -> None:
    shapes: dict[str, list[float]] = {"lying": [], "upright": []}
    for image, people in rooms(1_000_002, 12):
        for label, (x0, y0, x1, y1), visible in people:
            if label in shapes and visible > 0.9:
                shapes[label].append((x1 - x0) * image.shape[1] / ((y1 - y0) * image.shape[0]))
    assert np.median(shapes["lying"]) > 1.5 * np.median(shapes["upright"])


def test_slots_of_pictures_are_split_by_picture_and_cut_as_the_box_does(tmp_path: Path) -> None:
    polygon = [[0.1, 0.2], [0.5, 0.2], [0.5, 0.8], [0.1, 0.8]]
    for name, taken in (("a1", 0), ("a2", 1), ("b1", 1)):
        image = np.random.default_rng(taken).integers(0, 255, (90, 160, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
        document = {"slots": [{"id": "1", "polygon": polygon, "occupied": taken}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    data = made("slots", folder=tmp_path, held_out=["b"])
    assert check(data, SLOTS) == {"train": set(SLOTS), "val": {"occupied"}}
    image = np.asarray(cv2.imread(str(tmp_path / "b1.png")), np.uint8)
    boxed = crops.slot(image, tuple((x, y) for x, y in polygon), SPEC)
    assert np.array_equal(data.load(SLOTS, "val").arrays[0], boxed)
    (tmp_path / "b1.png").unlink()
    with pytest.raises(ConfigError, match=r"b1\.json has no picture"):
        data.load(SLOTS, "val")


@pytest.fixture
def people(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "classes.txt").write_text("person")
    rng = np.random.default_rng(3)
    for i in range(30):
        cv2.imwrite(str(tmp_path / "images" / f"p{i}.png"), rng.integers(0, 255, (100, 100, 3)).astype(np.uint8))
        (tmp_path / "labels" / f"p{i}.txt").write_text("0 0.5 0.5 0.3 0.8\n0 0.5 0.5 0.9 0.4\n")
    return tmp_path


def test_tall_boxes_are_upright_and_wide_ones_left_out(people: Path) -> None:
    data = made("upright", folder=people, unsure=0)
    assert check(data, POSTURES) == {"train": {"upright"}, "val": {"upright"}}
    assert sum(len(data.load(POSTURES, part).classes) for part in ("train", "val")) == 30  # type: ignore[arg-type]


def test_what_nobody_can_judge_is_unsure(people: Path) -> None:
    data = made("upright", folder=people, unsure=1)
    assert check(data, POSTURES)["train"] == {"upright", "unsure"}


def test_both_ends_of_a_clip_stay_together(people: Path) -> None:
    table = people / "table.tsv"
    rows = [f"c_{i:03}_{end}\t0.1\t0.1\t0.9\t0.5\tlying" for i in range(20) for end in ("start", "end")]
    table.write_text("name\tx0\ty0\tx1\ty1\tposture\n" + "\n".join(rows))
    for row in rows:
        name = row.split("\t")[0]
        cv2.imwrite(str(people / f"{name}.png"), np.zeros((50, 80, 3), np.uint8))
    data = made("boxed", folder=people, table=table, unsure=0)
    assert isinstance(data, Boxed)
    assert check(data, POSTURES) == {"train": {"lying"}, "val": {"lying"}}
    assert all(boxtable.held_out(f"c_{i:03}_start") == boxtable.held_out(f"c_{i:03}_end") for i in range(20))
    for bad in ("nan\t0\t1\t1", "0.9\t0\t0.1\t1", "0\t0\t1\t50"):
        table.write_text(f"name\tx0\ty0\tx1\ty1\nc_000_start\t{bad}\n")
        with pytest.raises(ConfigError, match=r"table.tsv:2: is no box; its columns are"):
            list(boxtable.rows(table, people))
    table.write_bytes("name\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"table.tsv: is no text; it must be a tab-separated table in UTF-8"):
        list(boxtable.rows(table, people))
    table.write_text("name\tx0\ty0\tx1\ty1\tposture\n" + "\n".join(rows))
    (people / "c_000_end.png").unlink()
    with pytest.raises(ConfigError, match="c_000_end"):
        for part in ("train", "val"):
            data.load(POSTURES, part)  # type: ignore[arg-type]


def test_a_table_whose_pictures_are_all_held_out_is_refused(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = people / "table.tsv"
    table.write_text("name\tx0\ty0\tx1\ty1\tposture\nsite_empty_0\t0.1\t0.1\t0.9\t0.5\tlying\n")
    cv2.imwrite(str(people / "site_empty_0.png"), np.zeros((50, 80, 3), np.uint8))
    with pytest.raises(
        ConfigError, match=r"every picture \(1\) is held out.*alike up to their second `_` stay together"
    ):
        made("boxed", folder=people, table=table).load(POSTURES, "train")
    assert "table.tsv: 0 pictures to train on; 1 pictures held out" in capsys.readouterr().err
    whole = made("boxed", folder=people, table=table, val_share=1)
    assert [len(whole.load(POSTURES, part).classes) > 0 for part in ("train", "val")] == [False, True]  # type: ignore[arg-type]
