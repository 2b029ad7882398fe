"""Pictures: whole files with a matching hash, a small thumbnail, and the oldest leave first."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from smartbox.errors import StorageError
from smartbox.evidence import (
    THUMBNAIL_BYTES,
    EvidenceLimits,
    EvidenceStore,
    Overlay,
    PictureSeal,
    opened,
    picture,
    thumbnail,
)
from smartbox.inference import Inference
from smartbox.keyring import Keyring
from smartbox.mailbox import Mailboxes
from smartbox.pipeline import Snapshot, StepResult
from smartbox.types import Event, Frame, Scene
from tests.link.conftest import Boxes
from tests.link.events import Events

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


def test_what_is_not_the_stores_own_is_left_alone_and_not_counted(tmp_path: Path) -> None:
    theirs = [".env", ".gitignore", ".half.jpg", "notes.odt", "photo.jpg.part"]
    for name in theirs:
        (tmp_path / name).write_bytes(bytes(1000))
        os.utime(tmp_path / name, (UTC - 1e8, UTC - 1e8))
    for name in (".a.jpg.new", ".b-clean.jpg.sealed.new", ".c.mp4.new"):
        (tmp_path / name).write_bytes(b"half")
    store = EvidenceStore(tmp_path, EvidenceLimits(bytes=1, age=1.0, free=0))
    store.save_picture(PICTURE, OVERLAY, "new", UTC)
    assert names(tmp_path) == sorted([*theirs, "new.jpg"])
    assert store.trim(UTC) == 1 and names(tmp_path) == sorted(theirs)


def test_without_limits_files_are_added_and_nothing_else_happens(tmp_path: Path) -> None:
    (tmp_path / ".a.jpg.new").write_bytes(b"x")
    (tmp_path / "a.jpg").write_bytes(b"x")
    os.utime(tmp_path / "a.jpg", (UTC - 1e8, UTC - 1e8))
    store = EvidenceStore(tmp_path, None)
    assert store.save_picture(PICTURE, OVERLAY, "a", UTC)[0].name == "a-2.jpg"
    store.make_room()
    assert store.trim(UTC + 1e8) == 0
    assert names(tmp_path) == [".a.jpg.new", "a-2.jpg", "a.jpg"]


def test_a_directory_that_goes_away_is_made_anew(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path / "e", SMALL)
    store.save_picture(PICTURE, OVERLAY, "a", UTC)
    shutil.rmtree(tmp_path / "e")
    with pytest.raises(StorageError, match="No such file"):
        store.save_picture(PICTURE, OVERLAY, "b", UTC)
    store.save_picture(PICTURE, OVERLAY, "c", UTC)
    shutil.rmtree(tmp_path / "e")
    with pytest.raises(StorageError, match="No such file"):
        store.trim(UTC)
    assert store.trim(UTC) == 0 and names(tmp_path / "e") == []
    shutil.rmtree(tmp_path / "e")
    (tmp_path / "e").write_bytes(b"no directory")
    for act in (lambda: store.save_picture(PICTURE, OVERLAY, "d", UTC), lambda: store.save_clip(b"d", "d", UTC)):
        with pytest.raises(StorageError):
            act()


def worker(boxes: Boxes, store: EvidenceStore) -> Callable[[Event], Event]:
    """Commits an alarm with its picture as the inference worker does; the alarm as it stands in the outbox."""
    outbox, clock = boxes(make_room=store.make_room), boxes.clock
    inference = Inference(
        Mailboxes([]),
        {},
        {},
        outbox,
        store,
        clock,
        thumbnails=True,
        beat=lambda: None,
        on_step=lambda step: None,
        on_tick=lambda: (),
    )

    def alarm(event: Event) -> Event:
        frame = Frame.of("cam-03", 0, clock.monotonic(), clock.utc(), PICTURE)
        scene = Scene("cam-03", frame.time, frame.utc)
        step = StepResult(scene, (event,), (Snapshot(event, frame, ()),))
        inference._commit_steps([(None, step)])  # type: ignore[list-item]  # of the pipeline only its name is used
        return outbox.open_episodes()[-1]

    return alarm


def test_no_event_is_lost_with_the_directory_of_its_pictures(tmp_path: Path, boxes: Boxes, events: Events) -> None:
    directory = tmp_path / "e"
    alarm = worker(boxes, EvidenceStore(directory, SMALL))
    first = alarm(events.begin())
    assert [file.name for file in first.evidence] == [f"{first.id}.jpg", f"{first.id}-clean.jpg"]
    shutil.rmtree(directory)
    second = alarm(events.begin())
    assert second.seq == 2 and names(directory) == sorted(file.name for file in second.evidence)
    shutil.rmtree(directory)
    directory.write_bytes(b"no directory")
    third = alarm(events.begin())
    assert third.seq == 3 and third.evidence == ()
    directory.unlink()
    fourth = alarm(events.begin())
    assert fourth.seq == 4 and names(directory) == sorted(file.name for file in fourth.evidence) != []


DAY = 86400.0


@pytest.mark.parametrize("wrong", [12.0, UTC + 400 * DAY], ids=["unset clock", "from the future"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_picture_with_a_wrong_date_ages_and_holds_up_no_other(tmp_path: Path, wrong: float, restart: bool) -> None:
    limits = EvidenceLimits(age=14 * DAY, free=0)
    store = EvidenceStore(tmp_path, limits)
    for name, utc in (("wrong", wrong), ("a", UTC), ("b", UTC + 1)):
        store.save_picture(PICTURE, OVERLAY, name, utc)
        os.utime(tmp_path / f"{name}.jpg", (utc, utc))
    store = EvidenceStore(tmp_path, limits) if restart else store
    assert store.trim(20.0) == 0, "a clock that is not set says nothing"
    assert store.trim(UTC + 10 * DAY) == 0
    assert (tmp_path / "wrong.jpg").stat().st_mtime == UTC + 10 * DAY
    store = EvidenceStore(tmp_path, limits) if restart else store
    assert store.trim(UTC + 15 * DAY) == 2 and names(tmp_path) == ["wrong.jpg"]
    assert store.trim(UTC + 25 * DAY) == 1 and names(tmp_path) == []


def test_where_most_pictures_are_from_the_future_the_clock_is_wrong(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, EvidenceLimits(age=14 * DAY, free=0))
    for i in range(11):
        store.save_picture(PICTURE, OVERLAY, f"{i:02}", UTC + i * DAY)
    assert store.trim(UTC - 1000 * DAY) == 0
    assert store.trim(UTC + 14 * DAY + 1) == 1 and "00.jpg" not in names(tmp_path)


def test_what_cannot_be_deleted_still_counts(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, EvidenceLimits(age=DAY, free=0))
    store.save_picture(PICTURE, OVERLAY, "a", UTC)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "a.jpg").mkdir()
    for act in (store.make_room, lambda: store.trim(UTC + 2 * DAY)):
        with pytest.raises(StorageError, match=r"a\.jpg"):
            act()
    (tmp_path / "a.jpg").rmdir()
    assert store.trim(UTC + 2 * DAY) == 1


class SlowDisk:
    """Syncs of large files wait until `go`; the others do not."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.waits, self.go = threading.Event(), threading.Event()
        self._fsync = os.fsync
        patch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
        if os.fstat(handle).st_size >= 1_000_000:
            self.waits.set()
            assert self.go.wait(30)
        self._fsync(handle)


def test_a_picture_does_not_wait_for_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EvidenceStore(tmp_path, SMALL)
    size = max(first.save_picture(PICTURE, OVERLAY, str(i), UTC + i)[0].bytes for i in range(4))
    store = EvidenceStore(tmp_path, EvidenceLimits(bytes=1_000_000 + 3 * size + 100, free=0))
    for i in range(4):
        os.utime(tmp_path / f"{i}.jpg", (UTC + i, UTC + i))
    disk, clip = SlowDisk(monkeypatch), bytes(1_000_000)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.save_clip, clip, "clip", UTC + 5)
        assert disk.waits.wait(30)
        assert names(tmp_path) == [".clip.mp4.new", "1.jpg", "2.jpg", "3.jpg"], "its bytes count already"
        assert store.save_clip(b"small", "clip", UTC + 5).name == "clip-2.mp4", "its name is taken already"
        store.save_picture(PICTURE, OVERLAY, "beside", UTC + 6)
        assert not writing.done() and not disk.go.is_set()
        assert names(tmp_path) == [".clip.mp4.new", "2.jpg", "3.jpg", "beside.jpg", "clip-2.mp4"]
        assert store.trim(UTC + 6) == 0
        disk.go.set()
        assert writing.result(30).name == "clip.mp4"
    assert (tmp_path / "clip.mp4").read_bytes() == clip
    assert store.trim(UTC + 6) == 0
    store.save_picture(PICTURE, OVERLAY, "last", UTC + 7)
    assert names(tmp_path) == ["3.jpg", "beside.jpg", "clip-2.mp4", "clip.mp4", "last.jpg"]


def test_a_new_look_at_the_directory_spares_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, disk = EvidenceStore(tmp_path / "e", EvidenceLimits(bytes=1_500_000, free=0)), SlowDisk(monkeypatch)
    store.save_clip(b"first", "a", UTC)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.save_clip, bytes(1_000_000), "clip", UTC)
        assert disk.waits.wait(30)
        (tmp_path / "e").rename(tmp_path / "away")
        with pytest.raises(StorageError):
            store.trim(UTC)
        (tmp_path / "away").rename(tmp_path / "e")
        assert store.trim(UTC) == 0 and names(tmp_path / "e") == [".clip.mp4.new", "a.mp4"]
        disk.go.set()
        writing.result(30)
    assert store.trim(UTC) == 0 and names(tmp_path / "e") == ["a.mp4", "clip.mp4"]
    store.save_clip(bytes(600_000), "next", UTC + 1)
    assert names(tmp_path / "e") == ["next.mp4"], "it is counted once"


def test_a_clip_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "e"
    store, disk = EvidenceStore(directory, EvidenceLimits(bytes=1_500_000, free=0)), SlowDisk(monkeypatch)
    store.save_picture(PICTURE, OVERLAY, "a", UTC)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.save_clip, bytes(1_000_000), "clip", UTC + 1)
        assert disk.waits.wait(30)
        (directory / "clip.mp4").mkdir()  # so that it cannot be renamed
        disk.go.set()
        with pytest.raises(StorageError, match="directory"):
            writing.result(30)
    (directory / "clip.mp4").rmdir()
    assert names(directory) == ["a.jpg"]
    store.save_clip(bytes(1_000_000), "clip", UTC + 2)
    assert names(directory) == ["a.jpg", "clip.mp4"], "neither its name nor its bytes are taken"


def test_pictures_that_are_sealed_at_once_are_for_one_key(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "state")
    store = EvidenceStore(tmp_path / "e", SMALL, PictureSeal(keyring))
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda i: store.save_clip(b"%d" % i, "clip", UTC), range(16)))
    assert len({evidence.name for evidence in kept}) == 16
    for i, evidence in enumerate(kept):
        assert opened(tmp_path / "e" / evidence.name, keyring.opening)[1] == b"%d" % i
