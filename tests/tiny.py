"""One tiny int8 model, written for every backend: a fully connected layer over a picture of 2 x 2 pixels.

`scores` leaves the file as int8 and the manifest or the file says how to make it real; `boxes` leaves it as float.
"""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import flatbuffers
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smartbox import bundle as bundles
from smartbox.bundle import Bundle
from smartbox.lab.export_mnn import to_mnn
from smartbox.manifest import Manifest, Tolerance

RNG = np.random.default_rng(7)
WEIGHTS = {
    "scores": RNG.integers(-127, 128, (6, 12), dtype=np.int8),
    "boxes": RNG.integers(-127, 128, (12, 12), np.int8),
}
W_SCALE, OUT_SCALE, OUT_ZERO = 1 / 4096, 0.5, 3
INPUT = np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3) * np.uint8(5)  # two products of it fit into 16 bits


def float_outputs(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What the model means, without quantizing activations."""
    flat = image.reshape(len(image), 12).astype(np.float32)
    result = {name: flat @ (w.astype(np.float32) * W_SCALE).T for name, w in WEIGHTS.items()}
    return {"scores": result["scores"].reshape(-1, 3, 2), "boxes": result["boxes"].reshape(-1, 3, 4)}


def onnx_bytes(batch: int | str = "batch", boxes: NDArray[np.int8] = WEIGHTS["boxes"]) -> bytes:
    """QDQ int8, opset 13. boxes: 12 x 12 weights, other than the usual ones."""
    weights = WEIGHTS | {"boxes": boxes}
    constants = {
        "one": np.array(1.0, np.float32),
        "zero": np.array(0, np.uint8),
        "w_scale": np.array(W_SCALE, np.float32),
        "out_scale": np.array(OUT_SCALE, np.float32),
        "out_zero": np.array(OUT_ZERO, np.int8),
        "flat": np.array([-1, 12]),
        "shape_scores": np.array([-1, 3, 2]),
        "shape_boxes": np.array([-1, 3, 4]),
        **{f"w_{name}": w.T.copy() for name, w in weights.items()},
        **{f"w_{name}_zero": np.array(0, np.int8) for name in weights},
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "one", "zero"], ["pixels"]),
        helper.make_node("Reshape", ["pixels", "flat"], ["row"]),
    ]
    for name in WEIGHTS:
        stored = "scores" if name == "scores" else "boxes_q"
        nodes += [
            helper.make_node("DequantizeLinear", [f"w_{name}", "w_scale", f"w_{name}_zero"], [f"{name}_w"]),
            helper.make_node("MatMul", ["row", f"{name}_w"], [f"{name}_y"]),
            helper.make_node("Reshape", [f"{name}_y", f"shape_{name}"], [f"{name}_r"]),
            helper.make_node("QuantizeLinear", [f"{name}_r", "out_scale", "out_zero"], [stored]),
        ]
    nodes.append(helper.make_node("DequantizeLinear", ["boxes_q", "out_scale", "out_zero"], ["boxes"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 2, 2, 3])],
        [
            helper.make_tensor_value_info("scores", TensorProto.INT8, [batch, 3, 2]),
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [batch, 3, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Just enough of TFLite's schema.fbs: tables by field number."""

    def table(self, fields: dict[int, tuple[str, Any]]) -> int:
        self.StartObject(max(fields, default=-1) + 1)
        for slot, (kind, value) in fields.items():
            if kind == "offset":
                self.PrependUOffsetTRelativeSlot(slot, value, 0)
            else:
                getattr(self, f"Prepend{kind}Slot")(slot, value, 0)
        return int(self.EndObject())

    def offsets(self, items: list[int]) -> int:
        self.StartVector(4, len(items), 4)
        for item in reversed(items):
            self.PrependUOffsetTRelative(item)
        return int(self.EndVector())

    def array(self, values: Any, dtype: Any) -> int:
        return int(self.CreateNumpyVector(np.asarray(values, dtype).reshape(-1)))


FLOAT32, INT32, UINT8, INT8 = 0, 2, 3, 9
QUANTIZE, DEQUANTIZE, FULLY_CONNECTED, RESHAPE = 114, 6, 9, 22


def tflite_bytes() -> bytes:
    """The same, batch 1: QUANTIZE, two FULLY_CONNECTED, RESHAPE each, DEQUANTIZE one."""
    b = _Builder(4096)
    buffers = [b.table({})]  # buffer 0 is empty by convention
    tensors: list[int] = []

    def tensor(name: str, shape: list[int], kind: int, scale: float = 0.0, zero: int = 0, data: Any = None) -> int:
        where = 0
        if data is not None:
            # Vectors are aligned to 16 so that the runtime may use them in place.
            b.StartVector(1, data.nbytes, 16)
            b.head -= data.nbytes
            b.Bytes[b.head : b.head + data.nbytes] = data.tobytes()
            buffers.append(b.table({0: ("offset", b.EndVector())}))
            where = len(buffers) - 1
        fields: dict[int, tuple[str, Any]] = {
            0: ("offset", b.array(shape, np.int32)),
            1: ("Int8", kind),
            2: ("Uint32", where),
            3: ("offset", b.CreateString(name)),
        }
        if scale:
            how = {2: ("offset", b.array([scale], np.float32)), 3: ("offset", b.array([zero], np.int64))}
            fields[4] = ("offset", b.table(how))
        tensors.append(b.table(fields))
        return len(tensors) - 1

    image, pixels = tensor("image", [1, 2, 2, 3], UINT8, 1.0), tensor("pixels", [1, 2, 2, 3], INT8, 1.0, -128)
    operators: list[int] = []

    def operator(code: int, inputs: list[int], output: int, options: tuple[int, int] | None = None) -> None:
        ins, outs = b.array(inputs, np.int32), b.array([output], np.int32)
        fields = {0: ("Uint32", code), 1: ("offset", ins), 2: ("offset", outs)}
        if options:
            fields |= {3: ("Uint8", options[0]), 4: ("offset", options[1])}
        operators.append(b.table(fields))

    operator(0, [image], pixels)
    outputs = []
    for name, shape in (("scores", [1, 3, 2]), ("boxes", [1, 3, 4])):
        w = WEIGHTS[name]
        weight = tensor(f"w_{name}", list(w.shape), INT8, W_SCALE, 0, w)
        bias = tensor(f"b_{name}", [len(w)], INT32, W_SCALE, 0, np.zeros(len(w), np.int32))
        flat = tensor(f"{name}_y", [1, len(w)], INT8, OUT_SCALE, OUT_ZERO)
        operator(1, [pixels, weight, bias], flat, (8, b.table({})))  # 8: FullyConnectedOptions
        stored = tensor("scores" if name == "scores" else "boxes_q", shape, INT8, OUT_SCALE, OUT_ZERO)
        wanted = tensor(f"shape_{name}", [3], INT32, data=np.array(shape, np.int32))
        operator(2, [flat, wanted], stored)
        outputs.append(stored)
    boxes = tensor("boxes", [1, 3, 4], FLOAT32)
    operator(3, [outputs[1]], boxes)
    graph = {
        0: ("offset", b.offsets(tensors)),
        1: ("offset", b.array([image], np.int32)),
        2: ("offset", b.array([outputs[0], boxes], np.int32)),
        3: ("offset", b.offsets(operators)),
    }
    subgraphs = b.offsets([b.table(graph)])
    used = [QUANTIZE, FULLY_CONNECTED, RESHAPE, DEQUANTIZE]
    codes = b.offsets([b.table({0: ("Int8", c), 2: ("Int32", 1), 3: ("Int32", c)}) for c in used])
    model = {0: ("Uint32", 3), 1: ("offset", codes), 2: ("offset", subgraphs), 4: ("offset", b.offsets(buffers))}
    b.Finish(b.table(model), b"TFL3")
    return bytes(b.Output())


@cache
def mnn_bytes() -> bytes:
    """The same in float, through MNN's converter; both outputs leave it real."""
    constants = {
        "flat": np.array([-1, 12]),
        "shape_scores": np.array([-1, 3, 2]),
        "shape_boxes": np.array([-1, 3, 4]),
        **{f"w_{name}": w.T.astype(np.float32) * np.float32(W_SCALE) for name, w in WEIGHTS.items()},
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["row"]),
    ]
    for name in WEIGHTS:
        nodes.append(helper.make_node("MatMul", ["row", f"w_{name}"], [f"{name}_y"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_y", f"shape_{name}"], [name]))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [info("image", TensorProto.UINT8, [1, 2, 2, 3])],
        [info(name, TensorProto.FLOAT, [1, 3, len(w) // 3]) for name, w in WEIGHTS.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with TemporaryDirectory() as directory:
        path = Path(directory) / "tiny.mnn"
        to_mnn(model.SerializeToString(), path)
        return path.read_bytes()


def scripted_bytes() -> bytes:
    rows = float_outputs(INPUT)
    return "".join(
        json.dumps({"outputs": {name: value[i].tolist() for name, value in rows.items()}}) + "\n" for i in range(2)
    ).encode()


FILES = {
    "onnxruntime": ("tiny.onnx", onnx_bytes),
    "openvino": ("tiny-openvino.onnx", onnx_bytes),
    "tflite": ("tiny.tflite", tflite_bytes),
    "scripted": ("answers.jsonl", scripted_bytes),
}
if find_spec("MNN"):  # its converter comes with it
    FILES["mnn"] = ("tiny.mnn", mnn_bytes)


def manifest(**changes: Any) -> Manifest:
    data: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "task": "detect",
        "labels": ["car", "person"],
        "inputs": [{"name": "image", "shape": [None, 2, 2, 3], "layout": "NHWC", "colour": "BGR", "resize": "stretch"}],
        "outputs": [
            {
                "name": "scores",
                "shape": [None, None, 2],
                "dtype": "int8",
                "quantization": {"scale": OUT_SCALE, "zero_point": OUT_ZERO},
            },
            {"name": "boxes", "shape": [None, None, 4]},
        ],
        "decoder": {"type": "boxes"},
        **changes,
    }
    return Manifest.model_validate(data)


def write(directory: Path, *names: str, atol: float = 0.3, files: dict[str, bytes] | None = None) -> Bundle:
    """A bundle of the tiny model for some backends; `files` replaces what a backend finds."""
    directory.mkdir(parents=True, exist_ok=True)
    entries = {}
    for name in names or FILES:
        path, make = FILES[name]
        (directory / path).write_bytes((files or {}).get(name) or make())
        entries[name] = bundles.model_file(directory, path)
    golden = bundles.write_golden(
        directory, {"image": INPUT}, float_outputs(INPUT), {n: Tolerance(atol=atol) for n in entries}
    )
    return bundles.write(directory, manifest(files=entries, golden=golden))
