"""YOLO folders: boxes, classes, and what must not be taken for background."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smartbox.errors import SourceError
from smartbox.lab.augment import Augment, flip, mosaic, place, plain
from smartbox.lab.data import ANY, Picture, classes_of, entries, load, read_boxes
from smartbox.lab.pseudo import ambiguous, join
from smartbox.lab.simulated import Order, write

NAMES = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures: all classes labelled, only persons labelled, nothing labelled completely."""
    root = tmp_path / "train"
    for part in ("images", "labels"):
        (root / part).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(NAMES))
    for name, lines in {
        "full": "2 0.5 0.5 0.2 0.4\n",
        "people": "0 0.25 0.5 0.1 0.5\n",
        "some": "2 0.1 0.1 0.1 0.1\n",
    }.items():
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.full((100, 200, 3), 90, np.uint8))
        (root / "labels" / f"{name}.txt").write_text(lines)
    (tmp_path / "images.tsv").write_text(
        "split\tname\tsource\tlabelled\tboxes\n"
        f"train\tfull\ta\t{','.join(NAMES)} (bus counted as truck)\t1\n"
        "train\tpeople\tb\tperson\t1\n"
        "train\tsome\tc\tnone complete: distant ones unlabelled, persons unlabelled\t1\n"
    )
    return root


def test_the_table_beside_the_folder_says_what_is_labelled(folder: Path) -> None:
    known = {entry.name: entry.labelled for entry in entries(folder)}
    assert known == {"full": frozenset(NAMES), "people": frozenset({"person"}), "some": frozenset()}


def test_without_a_table_everything_is_labelled(folder: Path) -> None:
    (folder.parent / "images.tsv").unlink()
    assert {entry.labelled for entry in entries(folder)} == {None}


def test_classes_that_are_not_labelled_are_ignored_all_over_the_picture(folder: Path) -> None:
    full, people, some = load(folder, NAMES)
    assert len(full.ignore) == 0
    assert sorted(people.ignored.tolist()) == [1, 2, 3, 4, 5]
    assert (people.ignore == [0, 0, 200, 100]).all()
    assert some.ignored.tolist() == [ANY]


def test_boxes_are_in_pixels_and_in_the_recipes_class_order(folder: Path) -> None:
    full = load(folder, ("truck", "car", "person", "bicycle", "motorcycle", "bus"))[0]
    assert full.classes.tolist() == [1]
    np.testing.assert_allclose(full.boxes, [[80, 30, 120, 70]], atol=1e-3)


def test_a_class_that_the_recipe_lacks_is_named(folder: Path) -> None:
    with pytest.raises(SourceError, match=r"\['truck'\] are not classes of the recipe"):
        load(folder, NAMES[:-1])


def test_classes_are_lines_and_may_have_spaces(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\ufefftraffic light\r\n person \n\n\n", encoding="utf-8")
    assert classes_of(tmp_path) == ("traffic light", "person")
    (tmp_path / "classes.txt").write_text("person\n\ncar\n")
    with pytest.raises(SourceError, match=r"classes.txt:2: is empty"):
        classes_of(tmp_path)


def test_of_two_pictures_with_one_name_the_row_of_the_folder_s_split_counts(folder: Path) -> None:
    with (folder.parent / "images.tsv").open("a") as file:
        file.write("val\tpeople\tz\tcar\t1\n")
    assert {entry.name: entry.labelled for entry in entries(folder)}["people"] == frozenset({"person"})
    with (folder.parent / "images.tsv").open("a") as file:
        file.write("train\tpeople\tz\tcar\t1\n")
    with pytest.raises(SourceError, match="names people twice, labelled otherwise"):
        entries(folder)


def test_where_the_table_names_nothing_nothing_is_labelled(folder: Path) -> None:
    (folder.parent / "images.tsv").write_text("name\tlabelled\nfull\t\npeople\ttruck (bus counted as truck)\nsome")
    known = {entry.name: entry.labelled for entry in entries(folder)}
    assert known == {"full": frozenset(), "people": frozenset({"truck"}), "some": frozenset()}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 32 32 20 20", "its middle is outside of the picture"),
        ("0 0.5 -0.02 0.1 0.1", "its middle is outside of the picture"),
        ("0 0.5 0.5 -0.3 0.3", "its size is below 0"),
        ("0 .3 .3 .6 .3 .6 .6 .3", "is no box"),
        ("0 30 30 60 30 60 60 30 60", "its middle is outside of the picture"),
    ],
)
def test_a_line_that_is_no_box_is_refused(line: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(SourceError, match=rf"a.txt:2: '{line}' .*{reason}.*a line is CLASS X Y WIDTH HEIGHT"):
        read_boxes(tmp_path / "a.txt", 100, 100)


def test_a_box_may_have_a_score_and_reach_over_the_edge(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2 0.93\n1 1.005 0.5 0.2 1\n")
    boxes, classes = read_boxes(tmp_path / "a.txt", 100, 100)
    assert classes.tolist() == [0, 1]
    np.testing.assert_allclose(boxes, [[40, 40, 60, 60], [90.5, 0, 100, 100]], atol=1e-3)


def test_an_outline_is_the_box_that_it_fills_and_a_box_without_an_area_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 .3 .3 .6 .35 .5 .6\n0 0.5 0.5 0.3 0\n")
    boxes, classes = read_boxes(tmp_path / "a.txt", 100, 100)
    assert classes.tolist() == [1]
    np.testing.assert_allclose(boxes, [[30, 30, 60, 60]], atol=1e-3)


def test_label_files_of_other_names_than_the_pictures_are_a_mistake(folder: Path) -> None:
    for path in (folder / "labels").glob("*.txt"):
        path.rename(path.with_name(f"{path.stem}_jpg.txt"))
    with pytest.raises(SourceError, match=r"no label file here .* that of full.png must be full.txt"):
        load(folder, NAMES)
    for path in (folder / "labels").glob("*.txt"):
        path.unlink()
    assert [len(picture.boxes) for picture in load(folder, NAMES)] == [0, 0, 0]


def test_every_picture_that_the_simulator_draws_is_read(tmp_path: Path) -> None:
    write(tmp_path, Order(NAMES, 2_100_000, 4))
    assert len(load(tmp_path, NAMES)) == 4


def test_a_picture_without_a_label_file_has_no_boxes(tmp_path: Path) -> None:
    boxes, classes = read_boxes(tmp_path / "none.txt", 10, 10)
    assert boxes.shape == (0, 4)
    assert classes.shape == (0,)


def test_a_teacher_labels_what_is_open_and_casts_doubt_on_the_rest(folder: Path) -> None:
    sure_car, unsure_bus = [10, 10, 40, 40, 0.9, 2], [100, 10, 140, 40, 0.2, 4]
    stray_person, labelled_again = [150, 10, 180, 90, 0.8, 0], [40, 25, 60, 75, 0.9, 0]
    pixels = np.array([sure_car, unsure_bus, stray_person, labelled_again], np.float32)
    taught = pixels / np.array([200, 100, 200, 100, 1, 1], np.float32)
    _, people, some = load(folder, NAMES)
    rivals = {k: (2, 4, 5) for k in (2, 4, 5)}
    joined = join(people, taught, frozenset(), rivals)
    assert joined.classes.tolist() == [0, 2]  # the label, and the teacher's car
    doubts = sorted(zip(joined.ignored.tolist(), joined.ignore[:, 0].round().tolist(), strict=True))
    assert doubts == [(0, 150.0), (2, 100.0), (4, 100.0), (5, 100.0)]
    assert join(some, taught, frozenset(), rivals) is some  # a teacher cannot complete what is incomplete


def test_a_teacher_who_saw_nothing_makes_open_classes_background(folder: Path) -> None:
    people = load(folder, NAMES)[1]
    assert len(join(people, np.zeros((0, 6), np.float32), frozenset(), {}).ignore) == 0


def test_a_label_that_may_mean_another_is_no_verdict_on_that(folder: Path) -> None:
    full = ambiguous(load(folder, NAMES)[0], 2, 4)
    assert full.ignored.tolist() == [4]
    np.testing.assert_allclose(full.ignore, full.boxes)


def one(boxes: list[list[float]]) -> Picture:
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    return Picture(
        "x", image, np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), np.int64),
        np.array([[0, 0, 160, 120]], np.float32), np.array([3]),
    )  # fmt: skip


def test_plain_is_the_box_s_own_letterbox() -> None:
    example = plain(one([[40, 30, 80, 90]]), 320)
    np.testing.assert_allclose(example.boxes, [[80, 60, 160, 180]])
    assert (example.image[240:] == 114).all()


def test_flipping_twice_changes_nothing() -> None:
    example = plain(one([[40, 30, 80, 90]]), 320)
    again = flip(flip(example))
    assert (again.image == example.image).all()
    np.testing.assert_allclose(again.boxes, example.boxes)


def test_what_is_mostly_cut_away_becomes_ignore() -> None:
    rng = np.random.default_rng(1)
    picture = one([[0, 0, 4, 100], [60, 40, 100, 100]])
    seen = [place(picture, 128, (0, 0, 128, 128), 2.5, rng) for _ in range(30)]
    for example in seen:
        assert (example.boxes >= 0).all()
        assert (example.boxes <= 128).all()
        assert len(example.boxes) + len(example.ignore) - 1 <= 2
    assert any(len(e.ignore) > 1 for e in seen)


def test_a_mosaic_ignores_only_in_its_own_corner() -> None:
    rng = np.random.default_rng(2)
    example = mosaic([one([])] * 4, 128, (1.5, 1.5), rng)
    area = (example.ignore[:, 2:] - example.ignore[:, :2]).prod(1)
    assert len(example.ignore) == 4
    assert area.sum() <= 128 * 128 + 1


def test_the_same_seed_gives_the_same_example() -> None:
    pictures = [one([[40, 30, 80, 90]])] * 4
    a, b = (Augment()(pictures, 128, np.random.default_rng(9)) for _ in range(2))
    assert (a.image == b.image).all()
    assert (a.boxes == b.boxes).all()


def test_the_real_set_has_what_its_readme_says(shared: Path) -> None:
    train = shared / "detect" / "train"
    assert classes_of(train) == NAMES
    found = entries(train)
    assert len(found) > 3000
    assert all(e.labelled == frozenset({"person"}) for e in found if e.name.startswith("hu_"))


@pytest.mark.parametrize("scale", [0.23, 0.31, 0.555, 0.61, 1.0, 2.0, 4.0])
def test_what_is_placed_lies_in_its_box(scale: float) -> None:
    image = np.full((77, 111, 3), 114, np.uint8)
    image[50:70, 70:100] = 255
    none = np.zeros((0, 4), np.float32)
    box = np.array([[70, 50, 100, 70]], np.float32)
    picture = Picture("one", image, box, np.zeros(1, np.int64), none, np.zeros(0, np.int64))
    size = 400 if scale > 1 else 120
    away = []
    for seed in range(20):
        example = place(picture, size, (0, 0, size, size), scale * 111 / size, np.random.default_rng(seed))
        weight = example.image[..., 0].astype(float).clip(114) - 114
        middles = np.arange(size) + 0.5
        x, y = (weight.sum(axis) @ middles / weight.sum() for axis in (0, 1))
        x0, y0, x1, y1 = example.boxes[0]
        away.append([x - (x0 + x1) / 2, y - (y0 + y1) / 2])
    assert np.abs(np.mean(away, 0)).max() < 0.1
