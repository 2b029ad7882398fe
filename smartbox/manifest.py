"""`manifest.yaml` of a model bundle: everything that is to be known about a model, and nothing elsewhere."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from smartbox.logmel import LogMel
from smartbox.settings import Settings

DType = Literal["uint8", "int8", "float32"]
Shape = tuple[Annotated[int, Field(ge=1)] | None, ...]


def _inside(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.name or "\\" in path:
        raise ValueError("write a path relative to the bundle's directory, without '..'")
    return path


RelativePath = Annotated[str, AfterValidator(_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]


class Quantization(Settings):
    """real = (stored - zero_point) * scale, one pair per tensor."""

    scale: float = Field(gt=0)
    zero_point: int = 0


class InputSpec(Settings):
    """One tensor that goes in, and how a picture becomes it.

    value = (pixel * scale - mean) / std, pixel 0–255; then `quantization` where the dtype is an integer. Without
    scale, mean, std and quantization an integer tensor is the plain pixels.
    """

    name: str
    shape: Shape
    """Batch first; null where it is free."""
    dtype: DType = "uint8"
    layout: Literal["NHWC", "NCHW"] | None = None
    """null for what is no picture (sound)."""
    colour: Literal["RGB", "BGR", "Y"] | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()
    quantization: Quantization | None = None
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """letterbox keeps the shape, picture at the top left; stretch does not."""
    pad: int = Field(default=114, ge=0, le=255)
    """Pixel value of what the letterbox leaves free."""
    sound: LogMel | None = None
    """How a window of sound becomes this tensor (frames x bands x 1, uint8); null for a picture."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.sound is not None:
            self._check_sound(self.sound)
        if (self.layout is None) != (self.colour is None):
            raise ValueError("a picture has both layout and colour; another tensor has neither")
        if self.layout is None:
            return self
        if len(self.shape) != 4 or None in self.shape[1:]:
            raise ValueError(f"a picture's shape is [batch, ...3 fixed numbers] as {self.layout} says")
        if self.channels != (1 if self.colour == "Y" else 3):
            raise ValueError(f"{self.colour} has {1 if self.colour == 'Y' else 3} channels, shape says {self.channels}")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, self.channels):
                raise ValueError(f"{key} has {len(values)} numbers; give one, or one per channel")
        return self

    def _check_sound(self, sound: LogMel) -> None:
        if self.layout is not None or self.dtype != "uint8" or tuple(self.shape[1:]) != sound.shape:
            want = f"uint8 [batch, {', '.join(map(str, sound.shape))}] without layout and colour"
            raise ValueError(f"these settings of `sound` give {want}; shape is {list(self.shape)}, dtype {self.dtype}")

    @property
    def batch(self) -> int | None:
        return self.shape[0]

    def _dim(self, letter: str) -> int:
        size = self.shape[(self.layout or "").index(letter)]
        assert size is not None  # only the batch may be free
        return size

    @property
    def channels(self) -> int:
        return self._dim("C")

    @property
    def size(self) -> tuple[int, int]:
        """Width, height in pixels."""
        return self._dim("W"), self._dim("H")


class OutputSpec(Settings):
    """One tensor that comes out. Sessions give float32 whatever the dtype in the file is."""

    name: str
    shape: Shape
    """Batch first; null where it is free."""
    dtype: DType = "float32"
    quantization: Quantization | None = None


class DecoderSpec(Settings):
    """A decoder's type and its settings, which that decoder checks."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: str

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Precision(Settings):
    """How far a weights file is compressed."""

    weight_bits: float = Field(default=32, gt=0, le=64)
    activation_bits: float = Field(default=32, gt=0, le=64)
    sparsity: float = Field(default=0.0, ge=0, le=1)
    """Share of weights that are zero."""
    granularity: Literal["tensor", "channel", "group"] | None = None


class ModelFile(Settings):
    """The weights for one backend."""

    path: RelativePath
    sha256: Sha256
    bytes: int = Field(ge=0)
    precision: Precision = Precision()


class Tolerance(Settings):
    """Agreement: |output - golden| <= atol + rtol * |golden| everywhere, and in the whole as `noise` says."""

    atol: float = Field(ge=0)
    rtol: float = Field(default=0.0, ge=0)
    noise: float | None = Field(default=None, gt=0)
    """Of each output: root mean square of what differs, as a share of the golden output's standard deviation. A few
    values of an int8 model are far off whatever runs it; a wrong engine is a little off everywhere."""


class Golden(Settings):
    """Recorded inputs and the float model's outputs: npz with `input_<name>` and `output_<name>`, batch first."""

    path: RelativePath = "golden.npz"
    sha256: Sha256
    bytes: int = Field(ge=0)
    tolerance: dict[str, Tolerance] = Field(default_factory=dict)
    """Per backend; one not listed here takes the loosest of those listed, else atol 1e-3."""

    def tolerance_of(self, backend: str) -> Tolerance:
        loosest = max(self.tolerance.values(), key=lambda t: (t.atol, t.rtol), default=Tolerance(atol=1e-3))
        return self.tolerance.get(backend, loosest)


class Cost(Settings):
    """For one picture."""

    macs: int | None = None
    params: int | None = None


class Provenance(Settings):
    """Where it came from."""

    data: tuple[dict[str, Any], ...] = ()
    """Per data set: name, licence, and what else is worth saying."""
    splits: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    software: dict[str, str] = Field(default_factory=dict)
    date: str | None = None
    note: str | None = None


class Release(Settings):
    """What a signed bundle carries; `signature` is the last line of the manifest and signs everything before it."""

    release_seq: int = Field(ge=0)
    """Rises with every release of a model; a box takes no lower one than it has seen."""
    not_after: str | None = None
    """ISO 8601 with a time zone: not to be installed after this."""
    hardware: tuple[Annotated[str, Field(min_length=1, max_length=128)], ...] = ()
    """Machine (`aarch64`) or device tree names that it is for, any of them; empty: all."""
    files: dict[RelativePath, Sha256] = Field(default_factory=dict)
    """Sums of the files that no other part of the manifest names."""
    key: str | None = None
    """Which publisher's key signed it."""
    signature: str | None = None


class Manifest(Settings):
    """`manifest.yaml`."""

    name: Name
    version: Annotated[str, Field(min_length=1)]
    task: Literal["detect", "classify", "sound"]
    labels: tuple[str, ...] = Field(min_length=1)
    """In class order."""
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """A name for several labels, as vehicle: [car, bus, truck]."""
    inputs: tuple[InputSpec, ...] = Field(min_length=1)
    outputs: tuple[OutputSpec, ...] = Field(min_length=1)
    decoder: DecoderSpec
    files: dict[str, ModelFile] = Field(min_length=1)
    """Backend -> its weights."""
    golden: Golden | None = None
    cost: Cost = Cost()
    provenance: Provenance | None = None
    release: Release | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (
            ("labels", self.labels),
            ("inputs", [i.name for i in self.inputs]),
            ("outputs", [o.name for o in self.outputs]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must be unique, got {', '.join(names)}")
        for group, members in self.groups.items():
            if unknown := sorted(set(members) - set(self.labels)):
                raise ValueError(f"group {group!r} names {', '.join(unknown)}; labels are {', '.join(self.labels)}")
            if group in self.labels:
                raise ValueError(f"group {group!r} has the name of a label; choose another")
        return self

    def expand(self, name: str) -> tuple[str, ...]:
        """The labels that a label or group name stands for; empty when it is neither."""
        return (name,) if name in self.labels else self.groups.get(name, ())
