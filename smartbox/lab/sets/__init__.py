"""What a classifier learns from: one data set, one file. A recipe names it by `type:`, as the box does its plugins."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from smartbox.bundle import problems
from smartbox.errors import ConfigError, Problem
from smartbox.settings import Settings

Part = Literal["train", "val"]
Shape = tuple[int, int, int]  # H, W, C of what the net takes


@dataclass(frozen=True, eq=False)
class Examples:
    """Arrays as they are kept (uint8 H x W x C of any size, or what the set likes), and the class of each."""

    arrays: Sequence[NDArray[Any]]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.arrays) != len(self.classes):
            raise ValueError(f"{len(self.arrays)} arrays and {len(self.classes)} classes")


class DataSet(Settings, ABC):
    """Base of every set; its fields are the keys below `data:` in the recipe."""

    ours: ClassVar[bool] = False
    """Made by this project: some of it may travel with the bundle as golden input."""

    name: str = ""
    """What the manifest calls it."""
    licence: str = ""
    share: Annotated[float, Field(gt=0)] = 1.0
    """Weight of this set in the mix, against the other sets."""

    @abstractmethod
    def load(self, labels: Sequence[str], part: Part) -> Examples:
        """All examples of one part of the split, which no seed changes. May be empty."""

    @abstractmethod
    def plain(self, array: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The net's input, just as the box makes it: `shape`, uint8 or float32."""

    def augment(self, array: NDArray[Any], shape: Shape, rng: np.random.Generator) -> NDArray[Any]:  # noqa: ARG002
        """The net's input for training; plain unless the set knows better."""
        return self.plain(array, shape)


def index_of(label: str, labels: Sequence[str]) -> int:
    """ConfigError where the recipe has no such label."""
    if label not in labels:
        raise ConfigError(f"data: examples are made of {label!r}, which is none of the labels {', '.join(labels)}")
    return labels.index(label)


def build(entry: Mapping[str, Any], path: str, told: Mapping[str, Any] | None = None) -> DataSet:
    """The set that a recipe's entry asks for; ConfigError names the key.

    told: what the recipe's input says of `size` and `resize`, to the sets that have such keys.
    """
    kind = entry.get("type")
    known = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    if kind not in known:
        raise ConfigError([Problem(f"{path}.type", f"{kind!r} is no set; known are {', '.join(known)}")])
    plugin: type[DataSet] = importlib.import_module(f"{__name__}.{kind}").Plugin
    given = {k: v for k, v in (told or {}).items() if k in plugin.model_fields}
    if other := [(k, v) for k, v in given.items() if entry.get(k, v) != v]:
        why = "{!r}, but the recipe's input says {!r}; leave it out"
        raise ConfigError([Problem(f"{path}.{k}", why.format(entry[k], v)) for k, v in other])
    try:
        return plugin.model_validate({**given, **{k: v for k, v in entry.items() if k != "type"}})
    except ValidationError as error:
        raise ConfigError(problems(error, prefix=path)) from error
