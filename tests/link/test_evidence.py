"""Pictures: whole files with a matching hash, a small thumbnail, and the oldest leave first."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from smartbox.errors import StorageError
from smartbox.evidence import THUMBNAIL_BYTES, EvidenceLimits, EvidenceStore, Overlay, picture, thumbnail

UTC = 1_790_000_000.0
PICTURE = np.full((360, 640, 3), 90, np.uint8)
OVERLAY = Overlay(
    zones=[("lane-east", [(0.1, 0.5), (0.9, 0.5), (0.9, 0.9), (0.1, 0.9)]), ("gate", [(0.2, 0.1), (0.4, 0.3)])],
    boxes=[((0.41, 0.53, 0.7, 0.83), "truck", 0.91, True), ((0.0, 0.0, 0.1, 0.2), "person", 0.5, False)],
    rule="lane-east-clear",
    text="fire_lane · Größe",
)
SMALL = EvidenceLimits(free=0)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_file_is_what_the_reference_says(tmp_path: Path) -> None:
    evidence, small = EvidenceStore(tmp_path / "e", SMALL).save_picture(PICTURE, OVERLAY, "id-1", UTC)
    content = (tmp_path / "e" / evidence.name).read_bytes()
    assert (evidence.kind, evidence.bytes) == ("jpeg", len(content))
    assert evidence.sha256 == hashlib.sha256(content).hexdigest()
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == PICTURE.shape
    assert cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR).shape[1] == 640
    assert names(tmp_path / "e") == [evidence.name]


def test_zones_and_boxes_are_seen_and_the_picture_is_left_alone(tmp_path: Path) -> None:
    before = PICTURE.copy()
    store = EvidenceStore(tmp_path, SMALL)
    plain, _ = store.save_picture(PICTURE, Overlay(), "plain", UTC)
    drawn, _ = store.save_picture(PICTURE, OVERLAY, "drawn", UTC)
    assert (before == PICTURE).all()
    one, two = (cv2.imread(str(tmp_path / e.name)).astype(int) for e in (plain, drawn))
    changed = np.abs(one - two).max(axis=2) > 30
    assert changed[190, 263:447].mean() > 0.5, "the upper edge of the truck's box"
    assert changed.mean() < 0.5


@pytest.mark.parametrize("shape", [(1080, 1920), (120, 160), (1, 1), (2000, 30)])
def test_the_worst_picture_has_a_thumbnail_that_fits(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    assert len(thumbnail(noise, OVERLAY, UTC)) <= THUMBNAIL_BYTES


def test_several_pictures_of_one_event_have_names_of_their_own(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, SMALL)
    used = {store.save_picture(PICTURE, OVERLAY, "id", UTC)[0].name for _ in range(3)}
    assert used == {"id.jpg", "id-2.jpg", "id-3.jpg"}


def test_files_of_one_moment_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    files = [picture(PICTURE, OVERLAY, f"id-{i}", UTC + i, moment) for i in range(3) for moment in ("", "clean", "")]
    store = EvidenceStore(tmp_path / "e", SMALL)
    kept = store.save_all(files)
    assert [e.name for e in kept[:3]] == ["id-0.jpg", "id-0-clean.jpg", "id-0-2.jpg"] and store.save_all([]) == []
    assert names(tmp_path / "e") == sorted(e.name for e in kept)
    for evidence in kept:
        assert hashlib.sha256((tmp_path / "e" / evidence.name).read_bytes()).hexdigest() == evidence.sha256
    small = EvidenceStore(tmp_path / "f", EvidenceLimits(free=1 << 62))
    with pytest.raises(StorageError, match="bytes free"):
        small.save_all(files)
    assert names(tmp_path / "f") == []


def test_too_many_bytes_and_too_old_go_oldest_first(tmp_path: Path) -> None:
    first = EvidenceStore(tmp_path, SMALL)
    size = first.save_picture(PICTURE, OVERLAY, "0", UTC)[0].bytes
    store = EvidenceStore(tmp_path, EvidenceLimits(bytes=3 * size, age=1000.0, free=0))
    for i in range(1, 6):
        store.save_picture(PICTURE, OVERLAY, str(i), UTC + i)
    assert names(tmp_path) == ["3.jpg", "4.jpg", "5.jpg"]
    assert store.trim(UTC + 1004.5) == 2
    assert names(tmp_path) == ["5.jpg"]


def test_a_new_start_knows_what_is_there_and_removes_half_files(tmp_path: Path) -> None:
    EvidenceStore(tmp_path, SMALL).save_picture(PICTURE, OVERLAY, "old", UTC)
    (tmp_path / ".half.jpg.new").write_bytes(b"x")
    store = EvidenceStore(tmp_path, EvidenceLimits(bytes=1, free=0))
    assert store.trim(UTC) == 1 and names(tmp_path) == []


def test_below_the_floor_of_free_space_no_picture_is_kept(tmp_path: Path) -> None:
    EvidenceStore(tmp_path, SMALL).save_picture(PICTURE, OVERLAY, "old", UTC)
    store = EvidenceStore(tmp_path, EvidenceLimits(free=1 << 62))
    with pytest.raises(StorageError, match="bytes free"):
        store.save_picture(PICTURE, OVERLAY, "new", UTC)
    assert names(tmp_path) == []


def test_room_is_made_from_the_oldest(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, SMALL)
    for i in range(15):
        store.save_picture(PICTURE, OVERLAY, f"{i:02}", UTC + i)
    store.make_room()
    assert names(tmp_path) == [f"{i:02}.jpg" for i in range(10, 15)]
