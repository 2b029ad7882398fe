"""The one file that a training reads: data, net, schedule. Its keys are these fields."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from smartbox.lab.nets.lrssd import STRIDES, Lrssd, LrssdSpec
from smartbox.lab.nets.muffnet import MuffSpec
from smartbox.lab.nets.ssd import Ssd, SsdSpec
from smartbox.lab.reading import checked, load
from smartbox.manifest import Name
from smartbox.settings import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Threshold = Annotated[float, Field(ge=0, lt=1)]


def filled(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("must not be empty")
    return values


def _once(labels: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [label for i, label in enumerate(labels) if label in labels[:i]]:
        raise ValueError(f"{', '.join(twice)} stands twice")
    return labels


Labels = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], AfterValidator(filled), AfterValidator(_once)]


def known(path: str, names: Iterable[str], labels: Sequence[str]) -> None:
    """ValueError where one of `names`, which stand at `path`, is no label."""
    if strange := [name for name in names if name not in labels]:
        raise ValueError(f"{path}: {strange[0]!r} is none of the labels {', '.join(labels)}")


def known_groups(groups: Mapping[str, Iterable[str]], labels: Sequence[str]) -> None:
    """ValueError as the manifest would raise it, after the training."""
    for name, members in groups.items():
        known(f"groups.{name}", members, labels)
        if name in labels:
            raise ValueError(f"groups.{name}: is the name of a label; choose another")


Mixed = bool | Literal["bfloat16", "float16"]
"""Precision of a training. true: float16 on a GPU, bfloat16 on a CPU; false: float32."""


class Net(Settings):
    """A head on MuffNet."""

    head: Literal["lrssd", "ssd"] = "lrssd"
    """ssd: the plain one, to be compared with; it has no `features`."""
    stem: Count = 24
    stages: tuple[Count, Count, Count] = (112, 224, 448)
    widths: tuple[Count, Count, Count] = (56, 112, 224)
    blocks: tuple[Count, Count, Count] = (1, 2, 1)
    features: Count = 96

    @property
    def step(self) -> int:
        """Sizes to train on are multiples of this. LRSSD pools its coarsest scale: no whole cell, no matter."""
        return STRIDES[-1] if self.head == "ssd" else STRIDES[-2]

    @property
    def backbone(self) -> MuffSpec:
        return MuffSpec(self.stem, self.stages, self.widths, self.blocks)

    def spec(self, classes: int) -> LrssdSpec:
        return LrssdSpec(self.backbone, classes, self.features)

    def build(self, classes: int) -> Lrssd | Ssd:
        """The untrained net."""
        return Ssd(SsdSpec(self.backbone, classes)) if self.head == "ssd" else Lrssd(self.spec(classes))


class Grown(Settings):
    """Settings that were fewer once: a later field is written only where it says something.

    `lab compare` knows finished runs by the sum over what is written.
    """

    later: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _as_ever(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = fields(self)
        silent = {key for key in self.later if getattr(self, key) == type(self).model_fields[key].default}
        return {key: value for key, value in said.items() if key not in silent}


class Simulated(Grown):
    """As of `smartbox lab simulate`."""

    seed: Annotated[int, Field(ge=1_000_000)]
    count: Annotated[int, Field(gt=0)]
    park: bool = False
    above: Share = 0.0
    carparks: bool = False
    later = ("carparks",)


class DataSet(Grown):
    """A YOLO folder to train on."""

    later = ("boxed", "label")

    name: str = ""
    """What the manifest calls it."""
    folder: Path
    simulated: Simulated | None = None
    """How the folder is made where it is not there."""
    boxed: Path | None = None
    """A table of boxes (`smartbox/lab/boxtable.py`) for a folder of plain pictures; what it holds out is left out."""
    label: str = "person"
    """What the table's boxes are."""
    teacher: Path | None = None
    """npz of a teacher's boxes, as `lab teach` writes it."""
    open: tuple[str, ...] = ()
    """Labels that the teacher may add everywhere, because nobody labelled them whatever the table says."""
    ambiguous: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Name prefix -> (label, other label): there a box of the first may be of the second."""
    share: Weight = 1.0
    """Weight of this folder in the mix, against the other folders."""
    repeat: dict[str, Weight] = Field(default_factory=dict)
    """Name prefix -> how much oftener its pictures are drawn."""
    licence: str = ""


class Stage(Settings):
    """One stretch of the schedule; it ends after `steps`, or after `minutes` if those are over earlier."""

    size: Annotated[tuple[int, ...], AfterValidator(filled)] = (320,)
    """Picture sizes to train on, drawn per batch: multiples of 32 from 64 on; for the plain head, of 64."""
    batch: Count = 32
    steps: Count = 1000
    minutes: Annotated[float, Field(gt=0)] = 1e9
    lr: Rate = 1e-3
    lr_end: Rate = 1e-5
    warmup: Annotated[int, Field(ge=0)] = 100
    mosaic: Share = 0.5
    plain: Share = 0.3
    degrade: Share = 0.4
    scale: tuple[float, float] = (0.5, 1.6)
    imitate: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the teacher's word, where the recipe has a `distil`."""

    @model_validator(mode="after")
    def _scale_rises(self) -> Self:
        low, high = self.scale
        if not 0 < low <= high < float("inf"):
            raise ValueError(f"scale: {low:g} to {high:g} is no range; give two numbers above 0, the smaller first")
        return self


class Decoding(Settings):
    """What the manifest tells the decoder; found on simulated pictures, never on the validation set."""

    score_threshold: Threshold = 0.3
    label_thresholds: dict[str, Threshold] = Field(default_factory=dict)
    nms_iou: Share = 0.5
    cross_label_iou: Share = 0.75


class Recipe(Grown):
    """`recipe.yaml`."""

    later = ("mixed",)

    name: Name
    labels: Labels
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    seed: int = 1
    size: int = 320
    """Picture size of the finished model, a multiple of 64: a decoder counts whole cells of its coarsest scale."""
    net: Net = Net()
    decoding: Decoding = Decoding()
    data: Annotated[tuple[DataSet, ...], AfterValidator(filled)]
    start: Path | None = None
    """Checkpoint whose weights to begin with; of a wider net, its channels that matter most."""
    distil: Path | None = None
    """A YOLOX detector as ONNX, whose features and scores the net learns to imitate beside the labels."""
    mixed: Mixed = True
    """The net in bfloat16 or float16, its weights and its loss in float32; false: all in float32."""
    weight_decay: Rate = 0.05
    ema: Annotated[float, Field(gt=0, lt=1)] = 0.9995
    stages: Annotated[tuple[Stage, ...], AfterValidator(filled)]

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        trained = [(size, self.net.step) for stage in self.stages for size in stage.size]
        for size, step in ((self.size, STRIDES[-1]), *trained):
            if size <= 0 or size % step:
                raise ValueError(f"size {size} is no multiple of {step}, which head {self.net.head} needs")
            if size < STRIDES[-1]:
                raise ValueError(f"size {size} leaves the coarsest scale no cell; train on {STRIDES[-1]} or more")
        return self

    @model_validator(mode="after")
    def _known_labels(self) -> Self:
        known_groups(self.groups, self.labels)
        known("decoding.label_thresholds", self.decoding.label_thresholds, self.labels)
        for i, data in enumerate(self.data):
            known(f"data.{i}.label", [data.label] if data.boxed else [], self.labels)
            known(f"data.{i}.open", data.open, self.labels)
            for start, pair in data.ambiguous.items():
                known(f"data.{i}.ambiguous.{start}", pair, self.labels)
        return self


def read(path: Path) -> Recipe:
    """ConfigError names every bad key of the recipe."""
    said = load(path)
    with checked(path):
        return Recipe.model_validate(said)
