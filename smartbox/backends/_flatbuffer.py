"""Bounds of a TFLite file, checked before the runtime reads it: tflite-runtime follows any offset and crashes.

Only where tables, vectors and strings lie; what they mean is the runtime's. Field numbers are those of TFLite's
schema.fbs; the layout is FlatBuffers' (vtable, soffset, relative uoffsets, all little endian).
"""

import struct
from dataclasses import dataclass

from smartbox.errors import BackendError


@dataclass(frozen=True, slots=True)
class _Table:
    """Field number -> element bytes of a vector, a table type, or a list with one: a vector of tables."""

    fields: "dict[int, int | _Table | list[_Table]]"


_ANY = _Table({})
_QUANTIZATION = _Table({0: 4, 1: 4, 2: 4, 3: 8})
_TENSOR = _Table({0: 4, 3: 1, 4: _QUANTIZATION, 7: 4})
_OPERATOR = _Table({1: 4, 2: 4, 4: _ANY, 5: 1})
_SUBGRAPH = _Table({0: [_TENSOR], 1: 4, 2: 4, 3: [_OPERATOR], 4: 1})
_MODEL = _Table({1: [_Table({1: 1})], 2: [_SUBGRAPH], 3: 1, 4: [_Table({0: 1})], 6: [_Table({0: 1})]})


def check_tflite(data: bytes, name: str) -> None:
    """BackendError when `data` is no TFLite file, or is cut or scrambled so that an offset leads outside."""
    if data[4:8] != b"TFL3":
        raise BackendError(f"tflite: {name} is no TFLite file: the mark TFL3 is missing")
    try:
        table = _Walker(data).table(0, _MODEL)
    except (struct.error, ValueError) as error:
        raise BackendError(f"tflite: {name} is cut or corrupt: {error}") from error
    if not {1, 2, 4} <= table:
        raise BackendError(f"tflite: {name} has no graph")


class _Walker:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def _read(self, form: str, at: int) -> int:
        if at < 0:
            raise ValueError(f"an offset leads to {at}")
        value: int = struct.unpack_from(form, self._data, at)[0]
        return value

    def _follow(self, at: int) -> int:
        return at + self._read("<I", at)

    def table(self, at: int, kind: _Table) -> set[int]:
        """Check the table that the offset at `at` leads to; returns the fields of `kind` that it has."""
        start = self._follow(at)
        vtable = start - self._read("<i", start)
        size, inline = self._read("<H", vtable), self._read("<H", vtable + 2)
        if vtable + size > len(self._data) or start + inline > len(self._data):
            raise ValueError(f"a table at {start} leaves the file of {len(self._data)} bytes")
        present = set()
        for number, what in kind.fields.items():
            slot = 4 + 2 * number
            offset = self._read("<H", vtable + slot) if slot + 2 <= size else 0
            if offset:
                present.add(number)
                self._field(start + offset, what)
        return present

    def _field(self, at: int, what: "int | _Table | list[_Table]") -> None:
        if isinstance(what, _Table):
            self.table(at, what)
            return
        start = self._follow(at)
        count = self._read("<I", start)
        if start + 4 + count * (what if isinstance(what, int) else 4) > len(self._data):
            raise ValueError(f"a vector of {count} at {start} leaves the file of {len(self._data)} bytes")
        if isinstance(what, list):
            for i in range(count):
                self.table(start + 4 + 4 * i, what[0])
