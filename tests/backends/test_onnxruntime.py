"""What is particular to onnxruntime."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from smartbox.backends.onnxruntime import Plugin
from smartbox.errors import BackendError
from smartbox.model import Model
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


def test_gpu_providers_that_are_absent_give_way_to_the_next_backend(tmp_path: Path) -> None:
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime")
    gpu = Plugin(
        providers=("TensorrtExecutionProvider", "CUDAExecutionProvider"),
        provider_options={"TensorrtExecutionProvider": {"trt_int8_enable": "1"}, "CUDAExecutionProvider": {}},
    )
    with contextlib.suppress(BackendError):
        gpu.open(bundle).close()
        pytest.skip("this machine has what is to be absent")
    said: list[str] = []
    model = Model(bundle, [("onnxruntime", gpu), ("onnxruntime", None)], tmp_path / "state", on_change=said.append)
    model.run([tiny.INPUT[0]])
    model.close()
    assert "CUDAExecutionProvider" in said[0] and "is absent" in said[0] and "CPUExecutionProvider" in said[0]


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


def test_sums_of_large_products_are_whole(tmp_path: Path) -> None:
    """8-bit products of full size, two by two: on x86 without VNNI the fast kernels cut them off at 16 bits."""
    weights = np.repeat(np.int8([[127] * 6 + [0] * 6]), 12, 0)
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime", files={"onnxruntime": tiny.onnx_bytes(boxes=weights)})
    session = Plugin().open(bundle)
    boxes = session.run({"image": np.full((1, 2, 2, 3), 255, np.uint8)})["boxes"]
    session.close()
    np.testing.assert_allclose(boxes, 255 * 127 * 6 * tiny.W_SCALE, atol=0.3)


def test_layers_that_share_a_zero_open_all_the_same(tmp_path: Path) -> None:
    """On x86 without VNNI the kernels whose sums are whole cannot be had for these."""
    import onnx

    model = onnx.load_from_string(tiny.onnx_bytes())
    for node in model.graph.node:
        node.input[:] = ["w_boxes_zero" if n == "w_scores_zero" else n for n in node.input]
    bundle = tiny.write(tmp_path / "tiny", "onnxruntime", files={"onnxruntime": model.SerializeToString()})
    session = Plugin().open(bundle)
    boxes = session.run({"image": tiny.INPUT})["boxes"]
    session.close()
    np.testing.assert_allclose(boxes, tiny.float_outputs(tiny.INPUT)["boxes"], atol=0.3)
