"""Writes a TFLite file: tensors and operators added one by one, then packed as the schema's flatbuffer."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

_TYPES = {"uint8": "UINT8", "int8": "INT8", "int32": "INT32", "float32": "FLOAT32"}


class FlatModel:
    """One subgraph. Tensors are named by index."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1 << 22)
        self._buffers = [self._table("Buffer")]
        self._tensors: list[int] = []
        self._codes: list[tuple[int, int]] = []
        self._operators: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        scales: Sequence[float] = (),
        zeros: Sequence[int] = (),
        *,
        axis: int = 0,
        data: NDArray[Any] | None = None,
    ) -> int:
        """A tensor: real = (stored - zero) * scale, per tensor or along `axis`; `data` makes it a constant."""
        buffer = 0
        if data is not None:
            self._buffers.append(self._table("Buffer", Data=self._bytes(np.ascontiguousarray(data).tobytes())))
            buffer = len(self._buffers) - 1
        fields: dict[str, Any] = {}
        if len(scales):
            fields["Quantization"] = self._table(
                "QuantizationParameters",
                Scale=self._builder.CreateNumpyVector(np.array(scales, np.float32)),
                ZeroPoint=self._builder.CreateNumpyVector(np.array(zeros, np.int64)),
                QuantizedDimension=axis,
            )
        kind = getattr(tflite.TensorType, _TYPES[dtype])
        label, dims = self._builder.CreateString(name), self._numbers(shape)
        self._tensors.append(self._table("Tensor", Name=label, Shape=dims, Type=kind, Buffer=buffer, **fields))
        return len(self._tensors) - 1

    def constant(self, name: str, value: NDArray[Any]) -> int:
        return self.tensor(name, value.shape, value.dtype.name, data=value)

    def operator(
        self, code: str, inputs: Sequence[int], output: int, options: str = "", version: int = 1, **fields: Any
    ) -> int:
        """Append an operator; returns its output tensor."""
        key = (getattr(tflite.BuiltinOperator, code), version)
        if key not in self._codes:
            self._codes.append(key)
        wires = {
            "OpcodeIndex": self._codes.index(key),
            "Inputs": self._numbers(inputs),
            "Outputs": self._numbers([output]),
        }
        if options:
            packed = {k: self._numbers(v) if isinstance(v, list) else v for k, v in fields.items()}
            wires["BuiltinOptions"] = self._table(options, **packed)
            wires["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, options)
        self._operators.append(self._table("Operator", **wires))
        return output

    def finish(self, inputs: Sequence[int], outputs: Sequence[int], description: str) -> bytes:
        graph = self._table(
            "SubGraph",
            Tensors=self._list(self._tensors),
            Inputs=self._numbers(inputs),
            Outputs=self._numbers(outputs),
            Operators=self._list(self._operators),
            Name=self._builder.CreateString("main"),
        )
        codes = [
            self._table("OperatorCode", DeprecatedBuiltinCode=min(code, 127), BuiltinCode=code, Version=version)
            for code, version in self._codes
        ]
        parts = {"OperatorCodes": self._list(codes), "Subgraphs": self._list([graph])}
        about = self._builder.CreateString(description)
        buffers = self._list(self._buffers)
        model = self._table("Model", Version=3, Description=about, Buffers=buffers, **parts)
        self._builder.Finish(model, b"TFL3")
        return bytes(self._builder.Output())

    def _table(self, kind: str, **fields: Any) -> int:
        getattr(tflite, f"{kind}Start")(self._builder)
        for key, value in fields.items():
            getattr(tflite, f"{kind}Add{key}")(self._builder, value)
        return int(getattr(tflite, f"{kind}End")(self._builder))

    def _numbers(self, values: Sequence[int]) -> int:
        return int(self._builder.CreateNumpyVector(np.array(values, np.int32)))

    def _list(self, offsets: Sequence[int]) -> int:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def _bytes(self, data: bytes) -> int:
        """Aligned to 16 bytes, as kernels that use constants in place want them."""
        builder = self._builder
        builder.StartVector(1, len(data), 16)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        return int(builder.EndVector())
