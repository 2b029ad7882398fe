"""Simulated pictures as a training folder."""

from pathlib import Path

import pytest

from smartbox.lab.data import load
from smartbox.lab.simulated import write

LABELS = ("person", "bicycle", "car", "motorcycle", "bus", "truck")


@pytest.mark.parametrize("kind", [{}, {"park": True}, {"carparks": True}])
def test_a_folder_of_simulated_pictures_is_read_like_any_other(tmp_path: Path, kind: dict[str, bool]) -> None:
    write(tmp_path, LABELS, 1_000_000, 3, **kind)
    pictures = load(tmp_path, LABELS)
    assert [p.image.shape for p in pictures] == [(360, 640, 3)] * 3
    assert all(len(p.ignore) == 0 for p in pictures)
    assert sum(len(p.boxes) for p in pictures) > 0
    for picture in pictures:
        assert (picture.boxes[:, 2:] > picture.boxes[:, :2]).all()
