"""Simulated pictures as a training folder."""

from pathlib import Path

import pytest

from smartbox.errors import ConfigError
from smartbox.lab.data import load
from smartbox.lab.simulated import MARK, Order, ensure, write

LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


@pytest.mark.parametrize("kind", [{}, {"park": True}, {"carparks": True}])
def test_a_folder_of_simulated_pictures_is_read_like_any_other(tmp_path: Path, kind: dict[str, bool]) -> None:
    write(tmp_path, Order(LABELS, 1_000_000, 3, **kind))
    pictures = load(tmp_path, LABELS)
    assert [p.image.shape for p in pictures] == [(360, 640, 3)] * 3
    assert all(len(p.ignore) == 0 for p in pictures)
    assert sum(len(p.boxes) for p in pictures) > 0
    for picture in pictures:
        assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()


def test_what_was_not_finished_is_made_again(tmp_path: Path) -> None:
    order = Order(LABELS, 1_000_000, 2)
    blocked = tmp_path / "labels" / "sim_1000000_00001.txt"
    blocked.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        ensure(tmp_path, order)
    assert not (tmp_path / "classes.txt").exists()
    blocked.rmdir()
    ensure(tmp_path, order)
    assert len(load(tmp_path, LABELS)) == 2
    (tmp_path / MARK).unlink()  # as folders were made earlier
    (tmp_path / "images" / "sim_1000000_00001.jpg").unlink()
    ensure(tmp_path, order)
    assert len(load(tmp_path, LABELS)) == 2


def test_a_folder_of_another_order_is_refused(tmp_path: Path) -> None:
    write(tmp_path, Order(("person", "car"), 1_000_000, 1))
    ensure(tmp_path, Order(("car", "person"), 1_000_000, 1))  # classes are matched by name
    for order in (Order(("person", "car"), 1_000_001, 1), Order(("person",), 1_000_000, 1)):
        with pytest.raises(ConfigError, match=r"was made with .*; give another directory"):
            ensure(tmp_path, order)
    with pytest.raises(ConfigError, match=r"labels \['person', 'car'\], not \['car', 'person'\]"):
        write(tmp_path, Order(("car", "person"), 1_000_000, 1))


def test_a_folder_that_does_not_say_how_it_was_made_counts_by_its_pictures(tmp_path: Path) -> None:
    write(tmp_path, Order(LABELS, 1_000_000, 1))
    (tmp_path / MARK).unlink()
    ensure(tmp_path, Order(LABELS, 1_000_001, 1))
    with pytest.raises(ConfigError, match=r"holds sim_1000000_00000.jpg, which is none of these"):
        ensure(tmp_path, Order(LABELS, 1_000_001, 2))
    with pytest.raises(ConfigError, match=r"was made with labels"):
        write(tmp_path, Order(LABELS[:2], 1_000_000, 1))
