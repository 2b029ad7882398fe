"""The one file that the training of a classifier reads (`task: classify`). Its keys are these fields."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from smartbox.errors import ConfigError, Problem
from smartbox.lab.reading import checked, load
from smartbox.lab.recipe import Count, Labels, Mixed, Rate, Share, known_groups
from smartbox.lab.sets import DataSet, build
from smartbox.manifest import Name
from smartbox.settings import Settings


class Net(Settings):
    """A file of `lab/nets/` that has `classifier`, and what to tell it."""

    type: str = "muffnet"
    options: dict[str, Any] = Field(default_factory=dict)


class Input(Settings):
    """What goes in: an array of `shape`, of which the net sees (value - mean) / deviation."""

    name: str = "image"
    shape: tuple[Count, Count, Count] = (64, 64, 3)
    """H, W, C."""
    colour: Literal["RGB", "BGR", "Y"] | None = "BGR"
    """Pictures are trained on as they are read, in BGR; null: no picture (sound)."""
    resize: Literal["letterbox", "stretch"] = "stretch"
    """How the box fits a crop into it."""
    mean: Annotated[float, Field(allow_inf_nan=False)] = 114.0
    """Of pictures a whole number, so that int8 stores the very pixels."""
    deviation: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 64.0

    @model_validator(mode="after")
    def _channels_of_the_colour(self) -> Self:
        wanted = {"RGB": 3, "BGR": 3, "Y": 1, None: self.shape[2]}[self.colour]
        if self.shape[2] != wanted:
            raise ValueError(f"shape: {self.colour} has {wanted} channels, the shape {self.shape[2]}")
        return self


class Schedule(Settings):
    """It ends after `steps`, or after `minutes` if those are over earlier (then the run cannot be repeated exactly)."""

    batch: Count = 64
    steps: Count = 1000
    minutes: Annotated[float, Field(gt=0)] = 1e9
    lr: Rate = 2e-3
    lr_end: Rate = 1e-5
    warmup: Annotated[int, Field(ge=0)] = 50


class ClassifyRecipe(Settings):
    """`recipe.yaml` of a classifier."""

    task: Literal["classify", "sound"]
    name: Name
    labels: Annotated[Labels, Field(min_length=2)]
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    seed: int = 1
    net: Net = Net()
    input: Input = Input()
    data: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    """Each with `type:`, a file of `lab/sets/`, and its settings."""
    balance: Share = 1.0
    """Share of examples drawn class by class; the rest as often as they are in the set."""
    smooth: Share = 0.05
    """Label smoothing."""
    start: Path | None = None
    """Checkpoint whose weights to begin with, as far as their shapes fit."""
    mixed: Mixed = True
    """As of a detector's recipe; on a CPU, nets of many thin layers are faster in float32."""
    weight_decay: Rate = 0.05
    ema: Annotated[float, Field(gt=0, lt=1)] = 0.998
    schedule: Schedule = Schedule()

    @model_validator(mode="after")
    def _known_labels(self) -> Self:
        known_groups(self.groups, self.labels)
        return self

    @model_validator(mode="after")
    def _as_pictures_are(self) -> Self:
        given = self.input
        if self.task == "classify" and (given.colour, given.shape[2]) != ("BGR", 3):
            said = f"{given.colour} with shape {list(given.shape)}"
            raise ValueError(f"input.colour: {said}: the lab trains on BGR, of shape [height, width, 3]")
        if self.task == "classify" and given.mean not in range(256):
            raise ValueError(f"input.mean: is {given.mean:g}; of pictures it is a whole number from 0 to 255")
        if self.task == "sound" and given.colour is not None:
            raise ValueError(f"input.colour: is {given.colour}; sound has null")
        return self

    @cached_property
    def sets(self) -> tuple[DataSet, ...]:
        """ConfigError names the entry that is none, or that the input does not fit."""
        height, width, _ = self.input.shape
        told = {"size": height, "resize": self.input.resize}
        found = tuple(build(entry, f"data.{i}", told) for i, entry in enumerate(self.data))
        cut = [str(entry["type"]) for entry, data in zip(self.data, found, strict=True) if hasattr(data, "size")]
        if cut and height != width:
            raise ConfigError(
                [Problem("input.shape", f"{list(self.input.shape)} is no square, and {', '.join(cut)} cut squares")]
            )
        return found


def task_of(path: Path) -> str:
    """What a recipe trains; `detect` where it does not say."""
    raw = load(path)
    return str(raw.get("task", "detect")) if isinstance(raw, dict) else "detect"


def read(path: Path) -> ClassifyRecipe:
    """ConfigError names every bad key of the recipe."""
    said = load(path)
    with checked(path):
        recipe = ClassifyRecipe.model_validate(said)
        assert recipe.sets  # builds them: a bad entry must be told before the training
    return recipe
