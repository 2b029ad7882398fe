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


def build(entry: Mapping[str, Any], path: str) -> DataSet:
    """The set that a recipe's entry asks for; ConfigError names the key."""
    kind = entry.get("type")
    known = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    if kind not in known:
        raise ConfigError([Problem(f"{path}.type", f"{kind!r} is no set; known are {', '.join(known)}")])
    plugin: type[DataSet] = importlib.import_module(f"{__name__}.{kind}").Plugin
    try:
        return plugin.model_validate({k: v for k, v in entry.items() if k != "type"})
    except ValidationError as error:
        wrong = [
            Problem(".".join([path, *map(str, e["loc"])]), f"{e['msg']}, got {e.get('input')!r}")
            for e in error.errors()
        ]
        raise ConfigError(wrong) from error
