"""`smartbox lab import`: a user's own ONNX detector as a bundle, its kind told by the shapes of its outputs."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from smartbox import bundle
from smartbox.backends.onnxruntime import foreign_errors
from smartbox.bundle import Bundle
from smartbox.errors import ConfigError, StorageError
from smartbox.lab.data import SUFFIXES
from smartbox.lab.evaluate import Detector
from smartbox.lab.kinds import Kind, Shape, kinds, scores
from smartbox.manifest import DecoderSpec, InputSpec, Manifest, OutputSpec, Tolerance
from smartbox.preprocess import prepare
from smartbox.simulation import frames
from smartbox.sketch import sketch

FOREIGN = foreign_errors(onnxruntime.capi.onnxruntime_pybind11_state)
MODEL = "model.onnx"
SIMULATED_SEED = 2_000_000
COCO = Path(__file__).with_name("coco.txt")
"""The 80 classes of COCO, in the order that every detector trained on it has."""


@dataclass(frozen=True)
class Wish:
    """What the user says; what he does not say is found out or the family's habit."""

    name: str
    version: str = "1"
    labels: tuple[str, ...] = ()
    kind: str | None = None
    size: tuple[int, int] | None = None
    picture: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.35
    offset: float | None = None


def bring(model: Path, out: Path, wish: Wish, pictures: Path | None = None) -> dict[str, Any]:
    """Write the bundle `out`, run it on a few pictures, draw what it finds. ConfigError says what is missing or wrong.

    pictures: a folder of one's own; else simulated ones, on which a good detector may find little. What fails leaves
    `out` as it was; StorageError where that holds what no import wrote.
    """
    _refuse_foreign(out)
    session = _open(model)
    (name, dtype, shape), size = _input(model, session, wish.size)
    zeros = np.zeros([d or 1 for d in shape], dtype)
    shapes = {n: value.shape[1:] for n, value in _run(model, session, {name: zeros}, wish.size).items()}
    labels = wish.labels or tuple(COCO.read_text().split())
    kind = _chosen(model, shapes, size, labels, wish)
    spec = _spec(model, kind, wish, name, dtype, shape)
    shown = list(_pictures(pictures))
    tensor = prepare(shown[0], spec)[0][None]
    outputs = _run(model, session, {name: np.repeat(tensor, spec.batch or 1, 0)}, wish.size)
    with _put_in_place(out) as folder:
        shutil.copyfile(model, folder / MODEL)
        manifest = Manifest(
            name=wish.name,
            version=wish.version,
            task="detect",
            labels=labels,
            groups=_groups(labels),
            inputs=(spec,),
            outputs=tuple(_output(o, kind, shapes[o.name], spec.batch) for o in session.get_outputs()),
            decoder=DecoderSpec.model_validate(kind.decoder | {"score_threshold": wish.threshold}),
            files={"onnxruntime": bundle.model_file(folder, MODEL)},
        )
        made = _with_golden(folder, manifest, {name: tensor}, {n: value[:1] for n, value in outputs.items()})
        found = _look(made, shown)
    told = {"bundle": str(out), "kind": kind.name, "input": list(shape), "labels": len(labels)}
    return {**told, "look_at": str(out / "look"), "found": found, **_warning(scores(kind, outputs, len(labels)), kind)}


def _refuse_foreign(out: Path) -> None:
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        files = Bundle.open(out).manifest.files
    except ConfigError:
        files = {}
    if "onnxruntime" not in files or files["onnxruntime"].path != MODEL:
        raise StorageError(f"-o {out}: holds files, and no bundle that import wrote; give the name of a new directory")


@contextmanager
def _put_in_place(out: Path) -> Iterator[Path]:
    """A directory to build in; in the end its files take the places of those that an earlier import left in `out`."""
    nearest = next(place for place in (out, *out.absolute().parents) if place.is_dir())
    with TemporaryDirectory(prefix=".smartbox-import-", dir=nearest) as scratch:
        yield Path(scratch)
        made = [path.relative_to(scratch) for path in Path(scratch).rglob("*") if path.is_file()]
        (out / "look").mkdir(parents=True, exist_ok=True)
        for old in (out / "look").glob("[0-9][0-9].jpg"):
            old.unlink()
        for path in sorted(made, key=lambda path: path.name == bundle.MANIFEST):  # it is the last: it names the others
            (scratch / path).replace(out / path)


def _open(model: Path) -> Any:
    if not model.is_file():
        raise ConfigError(f"{model}: {'is a directory' if model.is_dir() else 'no such file'}; give an ONNX file")
    try:
        return _session(model.read_bytes())
    except FOREIGN as error:
        raise ConfigError(f"{model}: {_why_closed(model)}") from error


def _why_closed(model: Path) -> str:
    try:
        _session(str(model))
    except FOREIGN as error:
        return f"onnxruntime cannot open it: {_first_line(error)}"
    return 'its weights lie in another file; save it as one file: onnx.save(onnx.load("MODEL"), "one.onnx")'


def _session(model: bytes | str) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _run(
    model: Path, session: Any, inputs: dict[str, NDArray[Any]], size: tuple[int, int] | None
) -> dict[str, NDArray[Any]]:
    """Outputs by name, batch first. size: what --size says."""
    try:
        values = session.run(None, inputs)
    except FOREIGN as error:
        wrong = f" with --size {size[0]}x{size[1]}; give one that fits, often a multiple of 32" if size else ""
        raise ConfigError(f"{model}: onnxruntime cannot run it{wrong}: {_first_line(error)}") from error
    return {o.name: np.asarray(value) for o, value in zip(session.get_outputs(), values, strict=True)}


def _input(
    model: Path, session: Any, size: tuple[int, int] | None
) -> tuple[tuple[str, str, list[int | None]], tuple[int, int]]:
    """(name, dtype, shape), (width, height)."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        found = ", ".join(f"{i.name} {i.shape}" for i in inputs)
        raise ConfigError(f"{model}: a detector takes one picture, [batch, 3, height, width]; this one takes {found}")
    types = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int8)": "int8"}
    if inputs[0].type not in types:
        raise ConfigError(f"{model}: its input is {inputs[0].type}; write it as one of {', '.join(types)}")
    shape = [d if isinstance(d, int) and d > 0 else None for d in inputs[0].shape]
    first = 2 if shape[1] == 3 else 1
    if 3 not in (shape[1], shape[3]):
        raise ConfigError(f"{model}: its input is {inputs[0].shape}; a picture has 3 channels, second or last")
    if None in shape[first : first + 2]:
        if size is None:
            raise ConfigError(f"{model}: its input is {inputs[0].shape}; say the size with --size WIDTHxHEIGHT")
        shape[first : first + 2] = [size[1], size[0]]
    height, width = shape[first : first + 2]
    assert height and width  # both are numbers now
    if size and size != (width, height):
        raise ConfigError(f"{model}: its input is {width}x{height}; leave --size out")
    return (inputs[0].name, types[inputs[0].type], shape), (width, height)


def _chosen(model: Path, shapes: dict[str, Shape], size: tuple[int, int], labels: Sequence[str], wish: Wish) -> Kind:
    found = kinds(shapes, size, len(labels))
    if wish.kind:
        found = [kind for kind in found if kind.name == wish.kind]
    if found:
        return _with_offset(found[0], wish.offset)
    seen = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
    what = (
        f"a {wish.kind} detector"
        if wish.kind
        else "a detector that is known here (yolox, yolov5, yolov8, nanodet, boxes)"
    )
    raise ConfigError(
        f"{model}: with {len(labels)} labels and {size[0]}x{size[1]} pixels the outputs {seen} are not those of "
        f"{what}; give its labels with --labels FILE (one per line), or write the manifest by hand: "
        "docs/guide/bring-your-own-detector.md"
    )


def _with_offset(kind: Kind, offset: float | None) -> Kind:
    if offset is None:
        return kind
    if kind.name != "nanodet":
        raise ConfigError(f"--offset {offset:g}: is for a nanodet, and this is a {kind.name}; leave it out")
    return replace(kind, decoder=kind.decoder | {"offset": offset})


def _spec(model: Path, kind: Kind, wish: Wish, name: str, dtype: str, shape: Sequence[int | None]) -> InputSpec:
    """An integer input takes plain pixels, whatever is usual for floats of its kind."""
    if dtype == "int8" and not {"scale", "mean", "std"} & wish.picture.keys():
        raise ConfigError(
            f"{model}: its input is int8, and does not say how pixels become its -128 to 127; say it with --scale, "
            "--mean and --std: `--mean 128` where it is the pixel less 128"
        )
    usual = kind.picture if dtype == "float32" else {k: v for k, v in kind.picture.items() if k == "colour"}
    layout = "NCHW" if shape[1] == 3 else "NHWC"
    given = {"name": name, "shape": shape, "dtype": dtype, "layout": layout}
    return InputSpec.model_validate(given | {"colour": "BGR"} | usual | wish.picture)


def _output(given: Any, kind: Kind, shape: Shape, batch: int | None) -> OutputSpec:
    """Of `boxes` there are as many as things, unless the file fixes their number; others fill their grid."""
    varies = kind.name == "boxes" and shape and not any(isinstance(d, int) for d in given.shape[1:2])
    return OutputSpec(name=given.name, shape=(batch, None, *shape[1:]) if varies else (batch, *shape))


def _groups(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What rules ask for as `vehicle`."""
    members = tuple(label for label in ("car", "bus", "truck") if label in labels)
    return {"vehicle": members} if members and "vehicle" not in labels else {}


def _pictures(folder: Path | None, limit: int = 8) -> Iterator[NDArray[np.uint8]]:
    if folder is None:
        yield from (image for image, _ in frames(SIMULATED_SEED, 4, per_scene=1))
        return
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    images = (cv2.imread(str(path)) for path in paths[:limit])
    read = [np.asarray(image, np.uint8) for image in images if image is not None]
    if not read:
        raise ConfigError(f"{folder}: holds no picture that can be read ({', '.join(SUFFIXES)})")
    yield from read


def _with_golden(
    folder: Path, manifest: Manifest, inputs: dict[str, NDArray[Any]], outputs: dict[str, NDArray[Any]]
) -> Bundle:
    golden = bundle.write_golden(folder, inputs, outputs, {"onnxruntime": Tolerance(atol=0.01, rtol=0.01)})
    return bundle.write(folder, manifest.model_copy(update={"golden": golden}))


def _look(made: Bundle, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, int]:
    """Draw what is found at the threshold of the bundle, in `look` beside it; how many of each label."""
    detector = Detector(made, "onnxruntime", floor=made.manifest.decoder.settings["score_threshold"])
    folder = made.path / "look"
    folder.mkdir()
    counts: dict[str, int] = {}
    for i, picture in enumerate(pictures):
        found = detector(picture)
        for row in range(len(found)):
            counts[found.label(row)] = counts.get(found.label(row), 0) + 1
        (folder / f"{i:02d}.jpg").write_bytes(sketch(picture, (), found))
    detector.session.close()
    return counts


def _warning(values: NDArray[Any], kind: Kind, slack: float = 0.01) -> dict[str, str]:
    if not np.any((values < -slack) | (values > 1 + slack)):
        return {}
    seen = f"scores go from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}, where 0 to 1 is right: are they logits?"
    if kind.name == "boxes":
        return {"warning": f"{seen} Then let the graph end in a sigmoid"}
    return {"warning": f"{seen} Then say `sigmoid: true` in the manifest's `decoder`"}
