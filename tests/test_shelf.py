"""Installing, refusing, going back: what ran before runs on, whatever is cut off or tampered with."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from smartbox.bundle import Bundle
from smartbox.errors import ConfigError
from smartbox.keys import SealError
from smartbox.library import Library
from smartbox.shelf import MARKS, POINTER, Shelf
from smartbox.trials import DEATHS, Trials
from tests import tiny
from tests.sealing import EARLIER, LATER, NOW, box, publisher, sealed

LAB = publisher()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write(tmp_path_factory.mktemp("plain") / "tiny", "scripted")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return box(tmp_path / "state", LAB)


Release = Callable[..., Path]


@pytest.fixture
def release(plain: Bundle, shelf: Shelf, tmp_path: Path) -> Release:
    """release(3, …) -> a sealed file of release 3 for this box."""

    def make(seq: int, **terms: object) -> Path:
        name = "-".join(map(str, [seq, *terms.values()])).replace(":", "")
        return sealed(plain, tmp_path / f"{name}.sealed", LAB, shelf, seq=seq, **terms)

    return make


def seq_of(bundle: Bundle | None) -> int:
    assert bundle is not None and bundle.manifest.release is not None
    return bundle.manifest.release.release_seq


def running(shelf: Shelf) -> int:
    """The release that a start would open now."""
    return seq_of(shelf.open("tiny")[0])


def everything(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_install_and_go_back(shelf: Shelf, release: Release) -> None:
    for seq in (3, 5, 9):
        assert seq_of(shelf.install(release(seq), NOW)) == seq
        assert running(shelf) == seq
    assert shelf.names() == ["tiny"]
    assert len(list((shelf.root / "tiny").glob("*.sealed"))) == 2, "the current one and the one before"
    assert seq_of(shelf.rollback("tiny")) == 5
    assert running(shelf) == 5
    with pytest.raises(SealError, match="first that was installed"):
        shelf.rollback("tiny")
    with pytest.raises(SealError, match=r"is release 5 of tiny; this box has seen 9 .*rollback"):
        shelf.install(release(5), NOW)
    shelf.install(release(9), NOW)
    assert running(shelf) == 9


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand files over to another user")
def test_what_root_installs_the_service_can_read(release: Release, shelf: Shelf) -> None:
    os.chown(shelf.state_dir, 4711, 4711)
    shutil.rmtree(shelf.keyring.path.parent)
    shelf.keyring.made()
    for part in (shelf.keyring.path, shelf.keyring.path.parent):
        assert part.stat().st_uid == 4711
    before = os.umask(0o077)
    try:
        shelf.install(release(1), NOW)
    finally:
        os.umask(before)
    assert {path.stat().st_uid for path in shelf.state_dir.rglob("*")} == {4711}


def test_the_same_again_changes_nothing(shelf: Shelf, release: Release) -> None:
    shelf.install(release(3), NOW)
    again = release(4)
    shelf.install(again, NOW)
    before = everything(shelf.state_dir)
    shelf.install(again, NOW)
    assert everything(shelf.state_dir) == before
    assert seq_of(shelf.rollback("tiny")) == 3


@pytest.mark.row(27)
@pytest.mark.row(29)
def test_what_is_refused_changes_nothing(shelf: Shelf, release: Release, plain: Bundle, tmp_path: Path) -> None:
    shelf.install(release(5, not_after=EARLIER), 1_700_000_000.0)
    before = everything(shelf.state_dir)
    good = release(6).read_bytes()
    start = 18 + 4 + int.from_bytes(good[18:22], "big")
    other = box(tmp_path / "other", LAB)

    def written(content: bytes) -> Path:
        path = tmp_path / f"tampered-{len(list(tmp_path.iterdir()))}.sealed"
        path.write_bytes(content)
        return path

    chunked = sealed(plain, tmp_path / "chunked", LAB, shelf, seq=6, chunk=256).read_bytes()
    begin = 18 + 4 + int.from_bytes(chunked[18:22], "big")
    chunks = [chunked[i : i + 272] for i in range(begin, len(chunked), 272)]
    for path, reason in (
        (release(4), "this box has seen 5 and takes nothing older"),
        (release(5, not_after=LATER), "has seen with other content"),
        (release(6, not_after=EARLIER), f"expired: not to be installed after {EARLIER}"),
        (release(6, not_after="soon"), "'soon' is no time"),
        (release(6, hardware=("mips",)), "is for mips"),
        (sealed(plain, tmp_path / "forged", publisher(), shelf, seq=6), "which box.publishers does not name"),
        (sealed(plain, tmp_path / "elsewhere", LAB, other, seq=6), "is sealed for the key"),
        (written(good[: start + 50] + bytes([good[start + 50] ^ 1]) + good[start + 51 :]), "was changed"),
        (written(good[:-1]), "changed or cut off"),
        (written(chunked[:begin] + b"".join(chunks[:-1])), "is cut off after part"),
        (written(chunked[:begin] + b"".join([chunks[1], chunks[0], *chunks[2:]])), "parts in another order"),
        (written(b""), "no sealed file"),
        (tmp_path / "none", "No such file"),
        (plain.path, "Is a directory"),
    ):
        with pytest.raises(SealError, match=reason):
            shelf.install(path, NOW)
        assert everything(shelf.state_dir) == before, reason
        assert running(shelf) == 5, "what is installed runs on, past its not_after too"
    with pytest.raises(SealError, match="clock was never set"):
        shelf.install(release(6, not_after=LATER), 1000.0)


def test_a_plain_bundle_in_its_place_is_left_alone(shelf: Shelf, release: Release, plain: Bundle) -> None:
    shutil.copytree(plain.path, shelf.root / "tiny")
    with pytest.raises(SealError, match="is a plain bundle of that name"):
        shelf.install(release(1), NOW)


def test_the_one_before_runs_when_the_current_one_is_damaged(shelf: Shelf, release: Release) -> None:
    shelf.install(release(1), NOW)
    current = shelf.root / "tiny" / (shelf.slot("tiny") or pytest.fail()).current.file
    shelf.install(release(2), NOW)
    newest = next(p for p in current.parent.glob("2-*"))
    content = newest.read_bytes()
    newest.write_bytes(content[:-5] + bytes(5))
    bundle, refused = shelf.open("tiny")
    assert seq_of(bundle) == 1
    assert len(refused) == 1 and "was changed" in refused[0] and newest.name in refused[0]
    shutil.copy(current, newest)  # an older release under the newer one's name
    bundle, refused = shelf.open("tiny")
    assert seq_of(bundle) == 1 and "not what was installed there" in refused[0]
    current.write_bytes(b"")
    bundle, refused = shelf.open("tiny")
    assert bundle is None and len(refused) == 2
    shelf.install(release(3), NOW)
    assert running(shelf) == 3


def test_what_runs_is_kept_when_something_new_is_installed(shelf: Shelf, release: Release) -> None:
    """Not what is current by name: that may be damaged, or kill the process."""
    trials = Trials(shelf.state_dir)
    books = Library((shelf.root,), shelf, lambda: NOW, killed=trials.killed)
    books.install(release(1))
    books.install(release(2))
    newest = next((shelf.root / "tiny").glob("2-*"))
    newest.write_bytes(newest.read_bytes()[:-1])
    deadly = books.install(release(3))
    assert not newest.exists()
    for _ in range(DEATHS):
        trials.begin(f"tiny {deadly.sha256[:8]} scripted 1234")
    assert seq_of(books.find("tiny")[0]) == 1
    books.install(release(4))
    assert (shelf.slot("tiny") or pytest.fail()).previous.release_seq == 1  # type: ignore[union-attr]
    (shelf.root / "tiny" / POINTER).write_bytes(b"torn")
    books.install(release(5))
    assert seq_of(shelf.rollback("tiny")) == 4
    assert seq_of(books.install(release(5))) == 5


def test_rollback_to_one_that_does_not_open_changes_nothing(shelf: Shelf, release: Release) -> None:
    shelf.install(release(1), NOW)
    shelf.install(release(2), NOW)
    next((shelf.root / "tiny").glob("1-*")).write_bytes(b"x")
    before = everything(shelf.state_dir)
    with pytest.raises(SealError, match="no sealed file"):
        shelf.rollback("tiny")
    assert everything(shelf.state_dir) == before and running(shelf) == 2


def test_cut_off_at_each_step(shelf: Shelf, release: Release, tmp_path: Path) -> None:
    """The states between the renames of an install, made by hand: the old one runs, and installing again works."""
    shelf.install(release(1), NOW)
    old = everything(shelf.state_dir)
    shelf.install(release(2), NOW)
    new = everything(shelf.state_dir)
    coming = next(name for name in new if "/2-" in name)
    half = old | {"models/tiny/.incoming-1": new[coming][:1000]}
    copied = old | {"models/tiny/.incoming-1": new[coming]}
    named = old | {coming: new[coming]}
    marked = named | {MARKS: new[MARKS]}
    pointing = marked | {f"models/tiny/.{POINTER}.new": new[f"models/tiny/{POINTER}"][:20]}
    for state in (half, copied, named, marked, pointing):
        shutil.rmtree(shelf.state_dir)
        for name, content in state.items():
            (shelf.state_dir / name).parent.mkdir(parents=True, exist_ok=True)
            (shelf.state_dir / name).write_bytes(content)
        assert shelf.open("tiny")[1] == [] and running(shelf) == 1
        shelf.install(release(2), NOW)
        assert running(shelf) == 2 and not list(shelf.root.glob("*/.incoming*"))
        assert seq_of(shelf.rollback("tiny")) == 1


def test_installs_at_once_take_turns(shelf: Shelf, release: Release) -> None:
    shelf.install(release(1), NOW)

    def told(path: Path) -> str:
        try:
            return str(seq_of(shelf.install(path, NOW)))
        except SealError as error:
            assert "takes nothing older" in str(error)
            return "older"

    for newest in (5, 9, 13):
        paths = [release(seq) for seq in range(newest - 3, newest + 1)]
        with ThreadPoolExecutor(len(paths)) as pool:
            said = set(pool.map(told, paths))
        assert str(newest) in said and shelf.open("tiny")[1] == [] and running(shelf) == newest
        assert f'"release_seq":{newest}' in (shelf.state_dir / MARKS).read_text()
        assert len([p for p in (shelf.root / "tiny").iterdir() if p.name != POINTER]) == 2, "no rests"


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"current": 1}', b"\xff"])
def test_torn_state_is_survived(shelf: Shelf, release: Release, torn: bytes) -> None:
    shelf.install(release(1), NOW)
    shelf.install(release(2), NOW)
    (shelf.root / "tiny" / POINTER).write_bytes(torn)
    assert running(shelf) == 2, "the newest that lies there"
    with pytest.raises(SealError, match="this box has seen 2"):
        shelf.install(release(1), NOW)
    shelf.install(release(2), NOW)
    (shelf.state_dir / MARKS).write_bytes(torn)
    assert running(shelf) == 2
    with pytest.raises(SealError, match="this box has seen 2"):
        shelf.install(release(1), NOW)


def test_the_highest_release_outlives_the_slot(shelf: Shelf, release: Release) -> None:
    shelf.install(release(8), NOW)
    shutil.rmtree(shelf.root)
    with pytest.raises(SealError, match="this box has seen 8"):
        shelf.install(release(7), NOW)


def library(shelf: Shelf, *places: Path) -> Library:
    return Library((shelf.root, *places), shelf, lambda: NOW)


def test_where_a_model_is_found(shelf: Shelf, release: Release, plain: Bundle, tmp_path: Path) -> None:
    shipped = tmp_path / "shipped"
    shutil.copytree(plain.path, shipped / "tiny")
    books = library(shelf, shipped)
    assert books.find("tiny")[0].sealed is None
    shelf.install(release(1), NOW)
    assert seq_of(books.find("tiny")[0]) == 1
    assert seq_of(books.find(str(release(2)))[0]) == 2, "a path to a sealed file"
    with pytest.raises(ConfigError, match="expired"):
        books.find(str(release(3, not_after=EARLIER)))
    next((shelf.root / "tiny").glob("1-*")).write_bytes(b"x")
    bundle, refused = books.find("tiny")
    assert bundle.sealed is None and "no sealed file" in refused[0], "the shipped one, and why"
    with pytest.raises(ConfigError, match=r"no sealed file.*; .* is a plain bundle, and only a sealed one"):
        books.find("tiny", sealed_only=True)
    with pytest.raises(ConfigError, match="is a plain bundle, and only a sealed one"):
        books.find(f"{shipped}/tiny", sealed_only=True)
    with pytest.raises(ConfigError, match="no bundle 'tinny'"):
        books.find("tinny")


def test_a_release_that_kills_the_process_gives_way_to_what_was_before(
    shelf: Shelf, release: Release, tmp_path: Path
) -> None:
    """Row 28, for models: as long as there is something before it, and until the next orderly stop."""
    trials = Trials(shelf.state_dir)
    books = Library((shelf.root,), shelf, lambda: NOW, killed=trials.killed)
    shelf.install(release(1), NOW)
    old = books.find("tiny")[0]
    shelf.install(release(2), NOW)
    new = books.find("tiny")[0]
    for _ in range(DEATHS):
        assert seq_of(books.find("tiny")[0]) == 2
        trials.begin(f"tiny {new.sha256[:8]} scripted 1234")
    found, refused = books.find("tiny")
    assert seq_of(found) == 1 and found.sha256 == old.sha256
    assert len(refused) == 1 and "died 3 times in a row with it" in refused[0]
    trials.forgive()
    assert seq_of(books.find("tiny")[0]) == 2
    for n in range(DEATHS):
        trials.begin(f"tiny {new.sha256[:8]} scripted 1234")
        trials.begin(f"tiny {old.sha256[:8]} engine-{n} 1234")
    assert seq_of(books.find("tiny")[0]) == 2, "both do: it is not the release"


def test_a_shipped_sealed_file_is_found_and_a_shipped_plain_one_is_gone_back_to(
    shelf: Shelf, release: Release, plain: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "shipped").mkdir()
    release(1).rename(tmp_path / "shipped" / "tiny.sealed")
    books = library(shelf, tmp_path / "shipped")
    assert seq_of(books.find("tiny")[0]) == 1
    shelf.install(release(2), NOW)
    assert seq_of(books.find("tiny")[0]) == 2
    before = everything(shelf.state_dir)
    with pytest.raises(SealError, match=r"nothing to go back to: .* is release 1 of tiny; this box has seen 2"):
        books.rollback("tiny")
    (tmp_path / "shipped" / "tiny.sealed").unlink()
    shutil.copytree(plain.path, tmp_path / "shipped" / "tiny")
    with pytest.raises(SealError, match=r"nothing to go back to: .* is a plain bundle, and only a sealed one"):
        books.rollback("tiny", sealed_only=True)
    assert everything(shelf.state_dir) == before
    assert books.rollback("tiny").sealed is None
    assert books.find("tiny")[0].sealed is None
