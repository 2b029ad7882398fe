"""The base of every settings model, and the units that people write: `60s`, `8GB`."""

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema


class Settings(BaseModel):
    """Frozen, strict about keys; its fields are the YAML schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


LARGEST = 1e15  # beyond any duration in seconds or size in bytes that a box meets

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def _quantity(value: Any, units: dict[str, Any], example: str) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"write it as {example}")
    if isinstance(value, int | float):
        if not abs(value) < LARGEST:  # NaN is not either
            raise ValueError(f"is no sensible number; write it as {example}")
        return value
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]+)\s*", str(value))
    if not match or match[2].lower() not in units or float(match[1]) >= LARGEST:
        raise ValueError(f"write it as {example}; units are {', '.join(units)}")
    return float(match[1]) * units[match[2].lower()]


def parse_duration(value: Any) -> float:
    """`60s`, `1.5s`, `5min`, `14d`, `250ms`, or a number of seconds -> seconds."""
    return float(_quantity(value, _SECONDS, "60s, 5min or 14d"))


def parse_size(value: Any) -> int:
    """`8GB`, `512MiB` or a number of bytes -> bytes."""
    return int(_quantity(value, _BYTES, "8GB or 512MiB"))


Duration = Annotated[
    float, BeforeValidator(parse_duration), WithJsonSchema({"type": ["string", "number"], "examples": ["60s"]})
]
ByteSize = Annotated[
    int, BeforeValidator(parse_size), WithJsonSchema({"type": ["string", "integer"], "examples": ["8GB"]})
]
