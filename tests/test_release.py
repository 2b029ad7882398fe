"""Sealed bundles: the same model as the plain one, and every tampered one refused with its reason."""

import base64
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox import bundle as bundles
from smartbox import plugins
from smartbox.bundle import MANIFEST, Bundle
from smartbox.errors import BackendError, ConfigError
from smartbox.keys import SealError, new_key
from smartbox.release import open_bundle
from smartbox.sealed import Label, SealedFile, seal_bytes
from smartbox.shelf import Shelf
from tests import tiny
from tests.sealing import box, packed, publisher, sealed

LAB, STRANGER = publisher(), publisher()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write(tmp_path_factory.mktemp("plain") / "tiny")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return box(tmp_path_factory.mktemp("box"), LAB)


def files_of(path: Path, shelf: Shelf) -> dict[str, bytes]:
    """What is inside, taken out as a holder of the box's key can."""
    opened = open_bundle(path, shelf.keyring)
    assert opened.sealed is not None
    release = opened.manifest.release
    assert release is not None and opened.manifest.golden is not None
    names = [*(f.path for f in opened.manifest.files.values()), opened.manifest.golden.path, *release.files]
    return {name: opened.sealed.read(name) for name in (MANIFEST, *names)}


def test_it_is_the_same_model(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    path = sealed(plain, tmp_path / "tiny.sealed", LAB, mine, seq=7, chunk=1000)
    before = sorted(mine.state_dir.rglob("*"))
    opened = open_bundle(path, mine.keyring)
    assert opened.verify() == []
    assert (opened.name, opened.labels) == (plain.name, plain.labels)
    for backend in plain.manifest.files:
        assert opened.weights(backend) == plain.weights(backend)
    for ours, theirs in zip(opened.golden(), plain.golden(), strict=True):
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    release = opened.manifest.release
    assert release is not None and (release.release_seq, release.key) == (7, LAB.public.id)
    assert "labels.txt" in release.files
    assert sorted(mine.state_dir.rglob("*")) == before, "decrypted to memory only"
    assert plain.weights("onnxruntime")[:200] not in path.read_bytes()
    with pytest.raises(BackendError, match="in memory only"):
        opened.file("onnxruntime")
    with pytest.raises(BackendError, match="no file for backend 'triton'"):
        opened.weights("triton")


@pytest.mark.parametrize("backend", [name for name in plugins.names("backends") if name in tiny.FILES])
def test_each_backend_runs_it_from_memory(plain: Bundle, mine: Shelf, tmp_path: Path, backend: str) -> None:
    plugin = plugins.load("backends", backend)
    if not plugin.installed():
        pytest.skip(f"{backend} is not installed")
    opened = open_bundle(sealed(plain, tmp_path / "tiny.sealed", LAB, mine), mine.keyring)
    outputs = []
    for bundle in (plain, opened):
        session = plugin().open(bundle)
        outputs.append(session.run({"image": tiny.INPUT}))
        session.close()
    assert all(np.array_equal(outputs[0][name], outputs[1][name]) for name in outputs[0])


@pytest.mark.parametrize(
    ("backend", "settings"),
    [
        ("openvino", {"options": {"CACHE_DIR": "cache"}}),
        ("openvino", {"device": "AUTO:CPU", "options": {"DEVICE_PROPERTIES": "{CPU:{CACHE_DIR:cache}}"}}),
        ("onnxruntime", {"provider_options": {"TensorrtExecutionProvider": {"trt_engine_cache_enable": "1"}}}),
        ("tflite", {"delegate_options": {"cache_dir": "cache"}}),
    ],
)
def test_no_engine_keeps_its_weights_on_the_disk(
    plain: Bundle, mine: Shelf, tmp_path: Path, backend: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_bundle(sealed(plain, tmp_path / "tiny.sealed", LAB, mine), mine.keyring)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match=r"tiny is sealed, and .* may write its weights to the disk in plain"):
        plugins.load("backends", backend)(**settings).open(opened)
    assert not (tmp_path / "cache").exists()


def test_only_the_boxes_it_was_sealed_for(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    other = box(tmp_path / "other", LAB)
    path = sealed(plain, tmp_path / "both.sealed", LAB, mine, other)
    assert open_bundle(path, other.keyring).sha256 == open_bundle(path, mine.keyring).sha256
    path = sealed(plain, tmp_path / "one.sealed", LAB, mine)
    with pytest.raises(SealError, match=r"is sealed for the key \w{16}; the key here is \w{16}"):
        open_bundle(path, other.keyring)


def test_only_publishers_that_are_trusted(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    path = sealed(plain, tmp_path / "tiny.sealed", STRANGER, mine)
    with pytest.raises(SealError, match=f"signed with the key {STRANGER.public.id}, which box.publishers"):
        open_bundle(path, mine.keyring)
    with pytest.raises(SealError, match="nobody is trusted"):
        open_bundle(path, box(mine.state_dir).keyring)
    assert open_bundle(path, box(mine.state_dir, LAB, STRANGER).keyring).name == "tiny", "two while one is replaced"


def test_what_is_inside_is_what_was_signed(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    """Whoever knows a box's public key can seal for it; only the publisher can sign."""
    good = files_of(sealed(plain, tmp_path / "good.sealed", LAB, mine), mine)
    readers = [mine.keyring.opening().public]
    manifest, weights = good[MANIFEST], good["tiny.onnx"]
    text = manifest.rsplit(b"  signature: ", 1)[0]
    forged = base64.b64encode(STRANGER.sign(text))
    label = Label("bundle", "other", "1")
    for files, reason in (
        (good | {"tiny.onnx": weights[:-1] + b"\0"}, "tiny.onnx is not what was signed"),
        ({k: v for k, v in good.items() if k != "tiny.onnx"}, "lacks tiny.onnx"),
        (good | {"extra": b"x"}, "holds extra, which its manifest does not name"),
        ({k: v for k, v in good.items() if k != MANIFEST}, "holds no manifest"),
        (good | {MANIFEST: manifest.replace(b"version: '1'", b"version: '2'")}, "signature of its manifest is bad"),
        (good | {MANIFEST: text + b'  signature: "' + forged + b'"\n'}, "signature of its manifest is bad"),
        (good | {MANIFEST: text}, "is not signed"),
        (good | {MANIFEST: manifest + b"name: other\n"}, "is not signed"),
        (good | {MANIFEST: manifest + b"\n"}, "is not signed"),
        (good | {MANIFEST: b"\n" + manifest}, "signature of its manifest is bad"),
        (good | {MANIFEST: manifest.replace(LAB.public.id.encode(), b"0" * 16)}, "0000, which box.publishers does not"),
    ):
        path = packed(files, tmp_path / "bad.sealed", readers)
        with pytest.raises(SealError, match=reason):
            open_bundle(path, mine.keyring)
    with pytest.raises(SealError, match="says other 1, its manifest tiny"):
        open_bundle(packed(good, tmp_path / "bad.sealed", readers, label), mine.keyring)
    with pytest.raises(SealError, match="is a sealed picture, no model"):
        open_bundle(packed(good, tmp_path / "bad.sealed", readers, Label("picture", "tiny", "1")), mine.keyring)
    assert open_bundle(packed(good, tmp_path / "bad.sealed", readers), mine.keyring).verify() == []


@pytest.mark.parametrize(
    "inside", [b"", b"\0\0", b"\xff" * 9, b"\0\0\0\x02{}", b'\0\0\0\x0a{"a": 100}', b'\0\0\0\x09{"a": -1}']
)
def test_a_table_of_files_that_does_not_fit(inside: bytes, mine: Shelf, tmp_path: Path) -> None:
    content = seal_bytes(inside, Label("bundle", "tiny", "1"), [mine.keyring.opening().public])
    (tmp_path / "bad.sealed").write_bytes(content)
    with pytest.raises(SealError, match=r"table|holds no manifest"):
        open_bundle(tmp_path / "bad.sealed", mine.keyring)


NAMES = st.sampled_from(["manifest.yaml", "a", "../a", "/a", "", "manifest.yaml/"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(table=st.dictionaries(NAMES, st.integers(-5, 300)), body=st.binary(max_size=300), junk=st.booleans())
def test_whatever_a_stranger_seals_for_a_box_is_refused(
    mine: Shelf, tmp_path: Path, table: dict[str, int], body: bytes, junk: bool
) -> None:
    """Anyone may have the box's public key: what is inside is as hostile as what is outside."""
    text = json.dumps(table).encode()
    fitting = body.ljust(sum(max(0, size) for size in table.values()))
    content = body if junk else len(text).to_bytes(4, "big") + text + fitting
    path = tmp_path / "bad.sealed"
    path.write_bytes(seal_bytes(content, Label("bundle", "tiny", "1"), [mine.keyring.opening().public]))
    with pytest.raises(SealError):
        open_bundle(path, mine.keyring)


def test_a_signed_manifest_that_this_program_cannot_read(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    good = files_of(sealed(plain, tmp_path / "good.sealed", LAB, mine), mine)
    text = good[MANIFEST].rsplit(b"  signature: ", 1)[0].replace(b"task: detect", b"task: smell")
    raw = text + b'  signature: "%s"\n' % base64.b64encode(LAB.sign(b"smartbox manifest 1\n" + text))
    path = packed(good | {MANIFEST: raw}, tmp_path / "new.sealed", [mine.keyring.opening().public])
    with pytest.raises(ConfigError, match="task"):
        open_bundle(path, mine.keyring)


def test_other_hardware(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    path = sealed(plain, tmp_path / "tiny.sealed", LAB, mine, hardware=("rockchip,rk3588", platform.machine()))
    assert open_bundle(path, mine.keyring).verify() == []
    path = sealed(plain, tmp_path / "tiny.sealed", LAB, mine, hardware=("rockchip,rk3588", "mips"))
    with pytest.raises(SealError, match=f"is for rockchip,rk3588, mips; this box is {platform.machine()}"):
        open_bundle(path, mine.keyring)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_one_bit_flipped_anywhere_is_refused(plain: Bundle, mine: Shelf, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "tiny.sealed"
    if not path.exists():
        sealed(plain, path, LAB, mine, box(tmp_path / "other", LAB), chunk=512)
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    (tmp_path / "flipped.sealed").write_bytes(content)
    with pytest.raises(SealError):
        open_bundle(tmp_path / "flipped.sealed", mine.keyring)


def test_a_file_that_changes_after_it_was_opened(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    path = sealed(plain, tmp_path / "tiny.sealed", LAB, mine, chunk=512)
    opened = open_bundle(path, mine.keyring)
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(bytes(100))
    assert opened.verify()
    path.unlink()
    with pytest.raises(BackendError, match="cannot be read"):
        opened.weights("onnxruntime")


def test_a_bundle_that_is_not_whole_is_not_sealed(mine: Shelf, tmp_path: Path) -> None:
    broken = tiny.write(tmp_path / "tiny")
    (tmp_path / "tiny" / "tiny.onnx").write_bytes(b"x")
    with pytest.raises(BackendError, match=r"tiny\.onnx has 1 bytes"):
        sealed(broken, tmp_path / "tiny.sealed", LAB, mine)


def test_what_the_manifest_names_is_sealed_and_papers_beside_it(mine: Shelf, tmp_path: Path) -> None:
    """Weights by a link, a hidden golden file, a path with a dot; no key, no earlier sealed file, no left-overs."""
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    directory, golden = bundle.path, bundle.manifest.golden
    assert golden is not None
    (tmp_path / "elsewhere").mkdir()
    (directory / "tiny.onnx").rename(tmp_path / "elsewhere" / "tiny.onnx")
    (directory / "weights").symlink_to(tmp_path / "elsewhere")
    (directory / "golden.npz").rename(directory / ".golden.npz")
    files = {"onnxruntime": bundle.manifest.files["onnxruntime"].model_copy(update={"path": "./weights/tiny.onnx"})}
    golden = golden.model_copy(update={"path": ".golden.npz"})
    bundle = bundles.write(directory, bundle.manifest.model_copy(update={"files": files, "golden": golden}))
    for name in ("REPORT.md", "LICENSE", "lab.key", "tiny.onnx~", ".hidden.txt"):
        (directory / name).write_text("x")
    for seq in (1, 2):
        opened = open_bundle(sealed(bundle, directory / "tiny.sealed", LAB, mine, seq=seq), mine.keyring)
        assert opened.verify() == []
        release = opened.manifest.release
        assert release is not None and sorted(release.files) == ["LICENSE", "REPORT.md", "labels.txt"]
    (directory / "notes.txt").write_bytes(new_key("ed25519"))
    with pytest.raises(BackendError, match=r"notes\.txt holds a private key"):
        sealed(bundle, directory / "tiny.sealed", LAB, mine)


def test_a_label_that_no_box_could_read_is_not_sealed(mine: Shelf, tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    bundle = bundles.write(bundle.path, bundle.manifest.model_copy(update={"version": "1" * 256}))
    with pytest.raises(SealError, match=r"cannot be sealed as 'tiny' '111.*: version: .* at most 255"):
        sealed(bundle, tmp_path / "tiny.sealed", LAB, mine)


def test_the_manifest_stays_a_readable_yaml_file(plain: Bundle, mine: Shelf, tmp_path: Path) -> None:
    path = sealed(plain, tmp_path / "tiny.sealed", LAB, mine, seq=3, not_after="2027-01-01T00:00:00Z")
    raw = files_of(path, mine)[MANIFEST]
    release = yaml.safe_load(raw)["release"]
    assert release["release_seq"] == 3 and release["not_after"] == "2027-01-01T00:00:00Z"
    assert raw.endswith(f'  signature: "{release["signature"]}"\n'.encode())
    assert SealedFile.open(path, mine.keyring.opening()).head.version == "1"
