"""Bundles: what is refused and how it is said; what is read back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from smartbox import bundle as bundles
from smartbox.bundle import Bundle
from smartbox.errors import BackendError, ConfigError
from smartbox.manifest import Golden, Manifest, Tolerance


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small, whole bundle: its weights are no model, which only a backend would notice."""
    path = tmp_path / "eyes"
    path.mkdir()
    (path / "model.onnx").write_bytes(b"weights")
    inputs, outputs = {"image": np.zeros((1, 8, 8, 3), np.uint8)}, {"scores": np.ones((1, 2), np.float32)}
    golden = bundles.write_golden(path, inputs, outputs, {"onnxruntime": Tolerance(atol=0.01)})
    files = {"onnxruntime": bundles.model_file(path, "model.onnx")}
    bundles.write(path, manifest_of(files=files, golden=golden))
    return path


def manifest_of(**changes: Any) -> Manifest:
    data: dict[str, Any] = {
        "name": "eyes",
        "version": "1",
        "task": "detect",
        "labels": ["car", "bus", "person"],
        "groups": {"vehicle": ["car", "bus"]},
        "inputs": [{"name": "image", "shape": [None, 8, 8, 3], "layout": "NHWC", "colour": "BGR"}],
        "outputs": [{"name": "scores", "shape": [None, 2]}],
        "decoder": {"type": "scores", "threshold": 0.5},
        **changes,
    }
    return Manifest.model_validate(data)


def edit(directory: Path, **changes: Any) -> None:
    path = directory / "manifest.yaml"
    data = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({k: v for k, v in data.items() if v is not None}))


def test_reads_back_what_was_written(directory: Path) -> None:
    bundle = Bundle.open(directory)
    assert bundle.verify() == []
    assert bundle.labels == ("car", "bus", "person")
    assert bundle.manifest.inputs[0].shape == (None, 8, 8, 3)
    assert bundle.manifest.inputs[0].size == (8, 8)
    assert bundle.manifest.decoder.settings == {"threshold": 0.5}
    assert bundle.file("onnxruntime").read_bytes() == b"weights"
    inputs, outputs = bundle.golden()
    assert inputs["image"].shape == (1, 8, 8, 3)
    assert outputs["scores"].dtype == np.float32
    assert bundle.ref("onnxruntime").sha256 == bundle.sha256
    assert len(bundle.sha256) == 64


def test_a_group_stands_for_its_labels(directory: Path) -> None:
    manifest = Bundle.open(directory).manifest
    assert manifest.expand("vehicle") == ("car", "bus")
    assert manifest.expand("person") == ("person",)
    assert manifest.expand("dog") == ()


def test_what_is_no_bundle_is_a_config_error(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Bundle.open(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"has no manifest\.yaml"):
        Bundle.open(tmp_path)
    with pytest.raises(ConfigError, match="is a file"):
        Bundle.open(directory / "model.onnx")


def test_a_torn_manifest_is_named(directory: Path) -> None:
    tags = [b'a: !!int ""', b"a: !!bool maybe", b"a: !!timestamp foo"]
    for text, match in (
        *((b"", "empty or torn"), (b"name: [", "cannot be read"), (b"\xff\xfe\xff", "manifest.yaml")),
        *((tag, "cannot be read as YAML: a tag does not fit") for tag in tags),
    ):
        (directory / "manifest.yaml").write_bytes(text)
        with pytest.raises(ConfigError, match=match):
            Bundle.open(directory)


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"colour": "red"}, "colour", "no such key"),
        ({"labels": None}, "labels", "required"),
        ({"labels": []}, "labels", "at least 1"),
        ({"labels": ["car", "car"], "groups": None}, "", "unique"),
        ({"groups": {"vehicle": ["cart"]}}, "", "cart"),
        ({"groups": {"car": ["car"]}}, "", "name of a label"),
        ({"files": {"tflite": {"path": "../x", "sha256": "0" * 64, "bytes": 1}}}, "files.tflite.path", "without"),
        ({"files": {"tflite": {"path": "x", "sha256": "12", "bytes": 1}}}, "files.tflite.sha256", "pattern"),
        ({"inputs": [{"name": "image", "shape": [None, 8, 8, 3]}], "task": "smell"}, "task", "smell"),
        ({"inputs": [{"name": "i", "shape": [None, 8, 8, 1], "layout": "NHWC", "colour": "BGR"}]}, "inputs.0", "3"),
        ({"inputs": [{"name": "i", "shape": [None, 8, 8, 3], "layout": "NHWC"}]}, "inputs.0", "both"),
        ({"inputs": [{"name": "i", "shape": [8, None, 8, 3], "layout": "NHWC", "colour": "BGR"}]}, "inputs.0", "fixed"),
    ],
)
def test_a_bad_manifest_names_the_key(directory: Path, changes: dict[str, Any], path: str, message: str) -> None:
    edit(directory, **changes)
    with pytest.raises(ConfigError) as refused:
        Bundle.open(directory)
    said = [str(p) for p in refused.value.problems]
    assert any(path in line and message in line and "manifest.yaml" in line for line in said), said


def test_corrupt_files_are_backend_errors(directory: Path) -> None:
    bundle = Bundle.open(directory)
    with pytest.raises(BackendError, match="no file for backend 'tflite'; it has onnxruntime"):
        bundle.file("tflite")
    (directory / "model.onnx").write_bytes(b"weightz")
    with pytest.raises(BackendError, match="corrupt"):
        bundle.file("onnxruntime")
    (directory / "model.onnx").write_bytes(b"weig")
    with pytest.raises(BackendError, match="4 bytes, the manifest says 7"):
        bundle.file("onnxruntime")
    (directory / "golden.npz").unlink()
    assert len(bundle.verify()) == 2
    with pytest.raises(BackendError, match="missing"):
        bundle.golden()


def test_golden_without_a_tensor_is_refused(directory: Path) -> None:
    golden = bundles.write_golden(directory, {}, {}, {})
    edit(directory, golden=golden.model_dump(mode="json"))
    with pytest.raises(BackendError, match="input_image"):
        Bundle.open(directory).golden()


def test_find_by_name_and_by_path(directory: Path, tmp_path: Path) -> None:
    assert bundles.find("eyes", [tmp_path / "none", tmp_path]).path == directory
    assert bundles.find(str(directory), []).name == "eyes"
    with pytest.raises(ConfigError, match="did you mean 'eyes'"):
        bundles.find("eye", [tmp_path])


def test_write_refuses_sums_that_do_not_hold(directory: Path) -> None:
    entry = bundles.model_file(directory, "model.onnx").model_copy(update={"bytes": 8})
    with pytest.raises(BackendError, match="manifest says 8"):
        bundles.write(directory, manifest_of(files={"onnxruntime": entry}))


def test_an_unlisted_backend_takes_the_loosest_tolerance() -> None:
    golden = Golden(sha256="0" * 64, bytes=1, tolerance={"a": Tolerance(atol=0.1), "b": Tolerance(atol=0.2, rtol=0.01)})
    assert golden.tolerance_of("a").atol == 0.1
    assert golden.tolerance_of("c").atol == 0.2
