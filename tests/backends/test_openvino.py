"""What is particular to OpenVINO."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartbox import bundle as bundles
from smartbox.backends.openvino import IR_WEIGHTS, Plugin
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from tests import tiny

pytestmark = pytest.mark.skipif(not Plugin.installed(), reason="OpenVINO is not installed")


def as_ir(directory: Path) -> Bundle:
    """The tiny model as an IR of two files."""
    import openvino

    model = openvino.Core().read_model(model=tiny.onnx_bytes(), weights=b"")
    openvino.save_model(model, directory / "tiny.xml", compress_to_fp16=False)
    files = {
        "openvino": bundles.model_file(directory, "tiny.xml"),
        IR_WEIGHTS: bundles.model_file(directory, "tiny.bin"),
    }
    return bundles.write(directory, tiny.manifest(files=files))


def test_an_ir_of_two_files_is_checked_in_both(tmp_path: Path) -> None:
    bundle = as_ir(tmp_path)
    session = Plugin().open(bundle)
    outputs = session.run({"image": tiny.INPUT})
    session.close()
    for name, value in tiny.float_outputs(tiny.INPUT).items():
        np.testing.assert_allclose(outputs[name], value, atol=0.3)
    binary = bytearray((tmp_path / "tiny.bin").read_bytes())
    binary[0] ^= 1
    (tmp_path / "tiny.bin").write_bytes(binary)
    with pytest.raises(BackendError, match="corrupt"):
        Plugin().open(bundle)


@pytest.mark.parametrize("device", ["NPU.3", "AUTO:GPU.9,CPU", "HETERO:NPU.3,CPU"])
def test_no_part_of_a_device_may_be_absent(tmp_path: Path, device: str) -> None:
    bundle = tiny.write(tmp_path / "tiny", "openvino")
    with pytest.raises(BackendError, match=r"is absent; here are .*CPU"):
        Plugin(device=device).open(bundle)


@pytest.mark.parametrize("device", ["AUTO", "AUTO:CPU", "MULTI:CPU", "HETERO:CPU"])
def test_threads_are_the_processor_s_under_a_choice_too(tmp_path: Path, device: str) -> None:
    session: Any = Plugin(device=device).open(tiny.write(tmp_path / "tiny", "openvino"))
    properties = session._engine.get_property("DEVICE_PROPERTIES")["CPU"]
    session.close()
    assert (properties["INFERENCE_NUM_THREADS"], properties["ENABLE_CPU_PINNING"]) == (1, False)


@pytest.mark.parametrize("settings", [{"device": "AUTO"}, {"device": "AUTO:CPU"}, {"batch": 2}])
def test_devices_and_batches_that_are_there(tmp_path: Path, settings: dict[str, Any]) -> None:
    bundle = tiny.write(tmp_path / "tiny", "openvino")
    session = Plugin(**settings).open(bundle)
    assert session.batch == settings.get("batch", 1)
    assert len(session.run({"image": tiny.INPUT[[0, 1, 0]]})["scores"]) == 3
    session.close()


def test_a_property_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="NO_SUCH_PROPERTY"):
        Plugin(options={"NO_SUCH_PROPERTY": "1"}).open(tiny.write(tmp_path / "tiny", "openvino"))
