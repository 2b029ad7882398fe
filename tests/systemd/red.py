"""A camera that sees a red block, and a model that finds red: real pixels through a real engine, no training needed."""

import subprocess
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from smartbox import bundle as bundles
from smartbox.manifest import Manifest

SIZE = 320


def clip(path: Path) -> Path:
    """20 s of H.264, 640 x 360 at 10 fps: a red block sways in the middle of a grey picture."""
    block = "[0][1]overlay=x='290+60*sin(2*PI*t/5)':y=120"
    inputs = [*("-f", "lavfi", "-i", "color=gray:s=640x360:r=10:d=20"), *("-f", "lavfi", "-i", "color=red:s=60x120")]
    code = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "0", "-pix_fmt", "yuv420p"]
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *inputs, "-filter_complex", block, "-t", "20", *code, str(path)], check=True
    )
    return path


def bundle(directory: Path, version: str = "1") -> Path:
    """A detector of one `person`: the smallest box around everything red, for the backend onnxruntime."""
    directory.mkdir(parents=True)
    (directory / "red.onnx").write_bytes(_onnx())
    manifest = {
        "name": directory.name,
        "version": version,
        "task": "detect",
        "labels": ["person"],
        "inputs": [{"name": "image", "shape": [None, SIZE, SIZE, 3], "layout": "NHWC", "colour": "BGR"}],
        "outputs": [{"name": "scores", "shape": [None, 1, 1]}, {"name": "boxes", "shape": [None, 1, 4]}],
        "decoder": {"type": "boxes"},
        "files": {"onnxruntime": bundles.model_file(directory, "red.onnx").model_dump()},
    }
    bundles.write(directory, Manifest.model_validate(manifest))
    return directory


def _onnx() -> bytes:
    node = helper.make_node
    constants = {
        "floor": np.array(60, np.float32),
        "sure": np.array(0.9, np.float32),
        "one": np.array(1, np.float32),
        "channel": np.array([3]),
        "second": np.array([1]),
    }
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Split", ["pixels"], ["blue", "green", "red"], axis=3),
        node("Max", ["blue", "green"], ["other"]),
        node("Sub", ["red", "other"], ["excess"]),
        node("Greater", ["excess", "floor"], ["is_red"]),
        node("Cast", ["is_red"], ["mask4"], to=TensorProto.FLOAT),
        node("Squeeze", ["mask4", "channel"], ["mask"]),  # N H W
        node("ReduceMax", ["mask"], ["columns"], axes=[1], keepdims=0),  # N W
        node("ReduceMax", ["mask"], ["rows"], axes=[2], keepdims=0),  # N H
    ]
    for line, first, last in (("columns", "x0", "x1"), ("rows", "y0", "y1")):
        nodes += [
            node("ArgMax", [line], [f"{first}_i"], axis=1, keepdims=1),
            node("ArgMax", [line], [f"{last}_i"], axis=1, keepdims=1, select_last_index=1),
            node("Cast", [f"{first}_i"], [first], to=TensorProto.FLOAT),
            node("Cast", [f"{last}_i"], [f"{last}_f"], to=TensorProto.FLOAT),
            node("Add", [f"{last}_f", "one"], [last]),
        ]
    nodes += [
        node("Concat", ["x0", "y0", "x1", "y1"], ["box"], axis=1),
        node("Unsqueeze", ["box", "second"], ["boxes"]),  # N 1 4
        node("ReduceMax", ["columns"], ["any"], axes=[1], keepdims=1),
        node("Mul", ["any", "sure"], ["score"]),
        node("Unsqueeze", ["score", "second"], ["scores"]),  # N 1 1
    ]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 1, 1]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 1, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
