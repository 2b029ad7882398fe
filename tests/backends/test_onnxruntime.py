"""What is particular to onnxruntime."""

from pathlib import Path

import numpy as np
import pytest

from smartbox.backends.onnxruntime import Plugin
from smartbox.errors import BackendError
from tests import tiny


def test_a_fixed_batch_is_looped_and_the_last_one_filled(tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime", files={"onnxruntime": tiny.onnx_bytes(batch=2)})
    session = Plugin().open(bundle)
    assert session.batch == 2
    outputs = session.run({"image": tiny.INPUT[[0, 1, 0]]})
    assert outputs["scores"].shape == (3, 3, 2)
    np.testing.assert_array_equal(outputs["scores"][0], outputs["scores"][2])
    session.close()


def test_an_absent_provider_names_those_that_are_there(tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    with pytest.raises(BackendError, match="CPUExecutionProvider"):
        Plugin(providers=("OpenVINOExecutionProvider9", "CPUExecutionProvider")).open(bundle)


def test_a_file_that_renamed_its_tensors_matches_by_shape(tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(tiny.onnx_bytes())
    for node in model.graph.node:
        node.input[:] = ["x" if n == "image" else n for n in node.input]
    model.graph.input[0].name = "x"
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime", files={"onnxruntime": model.SerializeToString()})
    session = Plugin().open(bundle)
    assert len(session.run({"image": tiny.INPUT})["boxes"]) == 2
    session.close()
