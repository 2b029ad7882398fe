"""ONNX int8 (QuantizeLinear / DequantizeLinear) -> MNN int8, through the converter in MNN's own wheel.

The converter drops Q/DQ pairs and computes in float. So it gets the float graph, its weights multiplied out from the
integers, and beside it the steps of every convolution's weights, input and output: it finds the same integers again.
Two things that its kernels do otherwise than the arithmetic says, both found by comparing with torch:

- A ReLU fused into int8 clips at the stored 0, whatever the zero point is. None is written; the range clips.
- MaxPool takes stored values above 0 for the smallest. What is pooled is stored as 0 to 127: there 7 bits are left.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from smartbox.errors import BackendError, ConfigError
from smartbox.manifest import Precision

PRECISION = Precision(weight_bits=8, activation_bits=7, granularity="channel")
# The module is called directly: MNN.tools would send a line to its makers for every conversion.
CONVERT = "import _tools, sys; _tools.mnnconvert(sys.argv)"


@dataclass(frozen=True)
class _Stored:
    """An activation's step and zero point, uint8."""

    scale: float
    zero: int

    def described(self, name: str, pooled: bool) -> dict[str, Any]:
        if pooled and self.zero == 0:
            range_ = {"scales": [self.scale * 255 / 127], "zero_point": 0, "clamp_min": 0, "clamp_max": 127}
        else:
            range_ = {"scales": [self.scale], "zero_point": self.zero - 128, "clamp_min": -128, "clamp_max": 127}
        return {"name": name, "bits": 8, **range_}


def to_mnn(model: bytes, path: Path) -> Precision:
    """Write `path` from an ONNX file as `export_onnx` writes it, or from any in float; returns what it became.

    ConfigError without MNN; BackendError when the converter fails, with what it said.
    """
    float_model, layers = _Stripped(onnx.load_from_string(model)).result()
    steps = {"version": "0.0.0", "algo": [{"type": "QUANTIZE", "quant_params": {"layer": layers}}]}
    with TemporaryDirectory(prefix="smartbox-mnn-") as directory:
        scratch = Path(directory)
        onnx.save(float_model, scratch / "model.onnx")
        (scratch / "steps.json").write_text(json.dumps(steps))
        _convert(scratch, ["--compressionParamsFile", "steps.json"] if layers else [])
        path.write_bytes((scratch / "model.mnn").read_bytes())
    return PRECISION if layers else Precision()


def _convert(scratch: Path, more: list[str]) -> None:
    """In a process of its own: it prints, leaves files where it runs, and aborts on what it does not like."""
    call = ["MNNConvert", "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn", "--bizCode", "smartbox"]
    command = [sys.executable, "-c", CONVERT, *call[1:], *more]
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
    if "No module named '_tools'" in done.stderr:
        raise ConfigError("MNN's converter is not installed: pip install 'smartbox[mnn]'")
    if done.returncode or not (scratch / "model.mnn").is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise BackendError(f"MNN's converter failed with {done.returncode}: {' | '.join(said[-4:])}")


class _Stripped:
    """The float graph behind a graph with Q/DQ pairs, and the steps that were in them."""

    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.constants: dict[str, NDArray[Any]] = {i.name: numpy_helper.to_array(i) for i in self.graph.initializer}
        self.maker = {output: node for node in self.graph.node for output in node.output}
        self.stored: dict[str, _Stored] = {}
        self.weight_steps: dict[str, NDArray[Any]] = {}
        self.stands_for: dict[str, str] = {}
        self.nodes: list[Any] = []

    def result(self) -> tuple[Any, list[dict[str, Any]]]:
        for node in self.graph.node:
            if node.op_type == "QuantizeLinear":
                self.stored[node.input[0]] = self._step(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantize(node)
            elif not self._feeds_only_dequantize(node):
                self._copy(node)
        return self._model(), [self._layer(n) for n in self.nodes if n.op_type == "Conv" and self._is_int8(n)]

    def _step(self, node: Any) -> _Stored:
        return _Stored(self.constants[node.input[1]].item(), self.constants[node.input[2]].item())

    def _dequantize(self, node: Any) -> None:
        source, output = node.input[0], node.output[0]
        if source in self.constants:
            value, steps = self.constants[source].astype(np.float32), self.constants[node.input[1]]
            self.constants[output] = value * steps.reshape(-1, *[1] * (value.ndim - 1))
            self.weight_steps[output] = steps.reshape(-1)
        elif source in self.maker and self.maker[source].op_type == "QuantizeLinear":
            self.stands_for[output] = self.maker[source].input[0]
        else:
            self._input(node, self.maker[source])

    def _input(self, node: Any, transpose: Any) -> None:
        """The stored values of the picture: (value - zero) * scale in float."""
        step, output = self._step(node), node.output[0]
        self.constants |= {"grey": np.array(step.zero, np.float32), "unit": np.array(step.scale, np.float32)}
        self.stored[output] = step
        self.nodes += [
            helper.make_node("Transpose", transpose.input, ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["planes"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["pixels", "grey"], ["centred"]),
            helper.make_node("Mul", ["centred", "unit"], [output]),
        ]

    def _feeds_only_dequantize(self, node: Any) -> bool:
        readers = [n for n in self.graph.node if node.output[0] in n.input]
        return bool(readers) and all(n.op_type == "DequantizeLinear" for n in readers)

    def _copy(self, node: Any) -> None:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = [self.stands_for.get(name, name) for name in node.input]
        self.nodes.append(copy)

    def _is_int8(self, node: Any) -> bool:
        return node.input[1] in self.weight_steps and node.output[0] in self.stored and node.input[0] in self.stored

    def _layer(self, node: Any) -> dict[str, Any]:
        pooled = {name for n in self.nodes if n.op_type == "MaxPool" for name in (n.input[0], n.output[0])}
        source, output = node.input[0], node.output[0]
        scales = self.weight_steps[node.input[1]].astype(float).tolist()
        return {
            "op_name": output,
            "input": [self.stored[source].described(source, source in pooled)],
            "weight": [{"name": output, "bits": 8, "scales": scales, "clamp_min": -128, "clamp_max": 127}],
            "output": [self.stored[output].described(output, output in pooled)],
        }

    def _model(self) -> Any:
        used = {name for node in self.nodes for name in node.input}
        kept = {name: np.ascontiguousarray(value) for name, value in self.constants.items() if name in used}
        constants = [numpy_helper.from_array(value, name) for name, value in kept.items()]
        graph = helper.make_graph(self.nodes, "smartbox", self.graph.input, self.graph.output, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
