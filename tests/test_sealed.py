"""The sealed file: what was put in comes out, and nothing else ever does."""

import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox.keys import OpeningKey, SealError
from smartbox.sealed import MARK, TAG, Label, SealedFile, is_sealed, read_head, seal, seal_bytes
from tests.sealing import opening_key

BOX, OTHER = opening_key(), opening_key()
LABEL = Label("picture", "a.jpg", "1")
CONTENT = bytes(range(256)) * 2
ours = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)


def sealed(content: bytes = CONTENT, chunk: int = 100, *readers: OpeningKey) -> bytes:
    target = io.BytesIO()
    seal(io.BytesIO(content), target, LABEL, [key.public for key in readers or (BOX, OTHER)], chunk)
    return target.getvalue()


def plain(path: Path, content: bytes, key: OpeningKey = BOX) -> bytes:
    path.write_bytes(content)
    return b"".join(SealedFile.open(path, key).chunks())


@ours
@given(content=st.binary(max_size=400), chunk=st.integers(1, 150), data=st.data())
def test_what_was_put_in_comes_out(content: bytes, chunk: int, data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for key in (BOX, OTHER):
        assert plain(path, sealed(content, chunk), key) == content
    file = SealedFile.open(path, BOX)
    assert (file.size, file.stream().read()) == (len(content), content)
    offset = data.draw(st.integers(0, len(content)))
    size = data.draw(st.integers(0, len(content) - offset))
    assert file.read(offset, size) == content[offset : offset + size]


WHOLE = sealed()


@ours
@given(bit=st.integers(0, 8 * len(WHOLE) - 1))
def test_one_bit_flipped_anywhere_is_refused(bit: int, tmp_path: Path) -> None:
    changed = bytearray(WHOLE)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError, match=r"file|changed|key"):
        plain(tmp_path / "file", bytes(changed))


@ours
@given(length=st.integers(0, len(WHOLE) - 1))
def test_cut_off_anywhere_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(SealError, match=r"cut off|no sealed file"):
        plain(tmp_path / "file", WHOLE[:length])


@ours
@given(more=st.binary(min_size=1, max_size=300))
def test_anything_behind_the_end_is_refused(more: bytes, tmp_path: Path) -> None:
    with pytest.raises(SealError, match="goes on after its end"):
        plain(tmp_path / "file", WHOLE + more)


@ours
@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_sealed_file_are_refused(content: bytes, tmp_path: Path) -> None:
    for start in (b"", MARK, WHOLE[: len(MARK) + 4]):
        with pytest.raises(SealError):
            plain(tmp_path / "file", start + content)


def parts(whole: bytes = WHOLE) -> tuple[bytes, list[bytes]]:
    """The head, and the chunks of 100."""
    start = len(MARK) + 4 + int.from_bytes(whole[len(MARK) : len(MARK) + 4], "big")
    stride = 100 + TAG
    return whole[:start], [whole[i : i + stride] for i in range(start, len(whole), stride)]


def test_each_way_of_tampering_is_called_by_its_name(tmp_path: Path) -> None:
    start, chunks = parts()
    path = tmp_path / "file"
    swapped = [chunks[0], chunks[2], chunks[1], *chunks[3:]]
    with pytest.raises(SealError, match="another order: part 3 stands at 2"):
        plain(path, start + b"".join(swapped))
    with pytest.raises(SealError, match="cut off after part 3 of 3"):
        plain(path, start + b"".join(chunks[:3]))
    with pytest.raises(SealError, match="another order: part 6 stands at 7"):
        plain(path, start + b"".join([chunks[0], *chunks]))
    with pytest.raises(SealError, match="goes on after its end, which is part 2 of 3"):
        plain(path, sealed(CONTENT[:200]) + bytes(50))
    _, foreign = parts(sealed())
    with pytest.raises(SealError, match="was changed: part 2 of 6"):
        plain(path, start + b"".join([chunks[0], foreign[1], *chunks[2:]]))


def test_only_for_whom_it_was_sealed(tmp_path: Path) -> None:
    stranger = opening_key()
    with pytest.raises(SealError) as refused:
        plain(tmp_path / "file", WHOLE, stranger)
    assert all(key.public.id in str(refused.value) for key in (BOX, OTHER, stranger))


def test_the_same_content_never_looks_the_same() -> None:
    assert len({seal_bytes(CONTENT, LABEL, [BOX.public])[-100:] for _ in range(20)}) == 20


def test_what_can_be_read_without_a_key(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(WHOLE)
    head = read_head(path)
    assert (head.kind, head.name, head.version, head.chunk) == ("picture", "a.jpg", "1", 100)
    assert [key.id for key in head.keys] == [BOX.public.id, OTHER.public.id]
    assert is_sealed(path) and not is_sealed(tmp_path) and not is_sealed(tmp_path / "none")
    assert CONTENT[:16] not in WHOLE
    with pytest.raises(SealError, match="No such file"):
        read_head(tmp_path / "none")


def test_a_name_that_leads_elsewhere_is_no_name(tmp_path: Path) -> None:
    for name in ("../x", "a/b", "..", "", ".hidden"):
        with pytest.raises(SealError, match="name"):
            seal_bytes(CONTENT, Label("picture", name), [BOX.public])
