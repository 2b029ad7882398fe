"""How fast, and how true, each engine runs a bundle on this machine; and which one `auto` therefore means."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from smartbox import decoders, plugins
from smartbox.agreement import Agreement, compare
from smartbox.backends._base import BackendSettings, Session
from smartbox.bundle import Bundle
from smartbox.decoders import Decoder
from smartbox.errors import BackendError, ConfigError
from smartbox.preprocess import prepare
from smartbox.processor import machine
from smartbox.trials import Trials
from smartbox.types import Floats, Image

CHOICES = "backends.json"
HOPELESS = 3.0  # times slower than the best so far: not worth measuring to the end at a first start
PICTURE = (720, 1280, 3)  # what preprocessing is timed on, as most cameras' sub-streams or less


@dataclass(frozen=True, slots=True)
class Measurement:
    """One backend with one bundle. Times in milliseconds; None where it could not be measured."""

    backend: str
    error: str | None = None
    best: float | None = None
    """The fastest run, which nothing disturbed: what engines are compared by."""
    p50: float | None = None
    p95: float | None = None
    whole_p50: float | None = None
    """With preprocessing of a 1280x720 picture and decoding."""
    whole_p95: float | None = None
    best_batch: int = 1
    best_batch_ms: float | None = None
    """Per picture at the best batch, of the fastest run."""
    max_abs_error: float | None = None
    """Against the golden outputs; None without them."""
    atol: float | None = None
    noise: float | None = None
    """Root mean square of the difference, in standard deviations of the golden output."""
    noise_allowed: float | None = None
    agrees: bool = False
    caveat: str = ""
    """Why the engine may be off on this processor whatever the model, where it does not agree."""
    fastest: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` stands for on this machine."""

    backend: str
    batch: Annotated[int, Field(ge=1, le=256)]
    ms: Annotated[float, Field(ge=0, allow_inf_nan=False)]


_CHOICE = TypeAdapter(Choice)


def candidates(bundle: Bundle) -> list[str]:
    """Installed backends that the bundle has weights for, in its order; recorded answers are no engine."""
    known = plugins.names("backends")
    return [n for n in bundle.manifest.files if n in known and n != "scripted" and _absent(n) is None]


def left_out(bundle: Bundle) -> dict[str, str]:
    """Backends that cannot be measured with this bundle, and why."""
    reasons = {}
    for name in plugins.names("backends"):
        if (absent := _absent(name)) is not None:
            reasons[name] = absent
        elif name not in bundle.manifest.files and name != "scripted":
            reasons[name] = "the bundle has no weights for it"
    return reasons


def _absent(name: str) -> str | None:
    """Why a backend is not to be had on this box; None: it is."""
    try:
        installed = _plugin(name).installed()
    except ConfigError as error:
        return str(error).removeprefix(f"{name!r} ")
    return None if installed else "its runtime is not installed"


def survey(bundle: Bundle, names: list[str], runs: int = 50) -> list[Measurement]:
    """Measure each backend; the fastest that agrees with the golden outputs is marked."""
    return mark_fastest([measure(bundle, _plugin(name)(), name, runs) for name in names])


def mark_fastest(found: list[Measurement]) -> list[Measurement]:
    agreeing = [m for m in found if m.agrees and m.best_batch_ms is not None]
    best = min(agreeing, key=lambda m: m.best_batch_ms or 0.0, default=None)
    return [Measurement(**(asdict(m) | {"fastest": m is best})) for m in found]


def measure(bundle: Bundle, settings: Any, name: str, runs: int = 50, hopeless: float = math.inf) -> Measurement:
    """Latency and agreement of one backend. What fails stands in `error`.

    hopeless: milliseconds at which it is not worth measuring further.
    """
    try:
        session: Session = settings.open(bundle)
    except BackendError as error:
        return Measurement(name, error=str(error))
    try:
        return _measure(bundle, session, name, runs, hopeless, settings.caveat())
    except BackendError as error:
        return Measurement(name, error=str(error))
    finally:
        session.close()


def _measure(bundle: Bundle, session: Session, name: str, runs: int, hopeless: float, caveat: str) -> Measurement:
    found = _agreement(bundle, session, name)
    agrees = found is not None and found.holds
    one = _inputs(bundle, 1)
    alone = _times(lambda: session.run(one), min(runs, 3))
    if alone.min() < hopeless:
        alone = _times(lambda: session.run(one), runs)
    else:
        runs = 1
    once = whole_picture(bundle, session, scene(bundle))
    whole = _times(once, runs) if once else np.zeros(0, np.float32)
    best_batch, best_ms = 1, float(alone.min())
    for batch in (2, 4, 8) if session.batch is None and runs > 1 else ():
        many = _inputs(bundle, batch)
        each = float(_times(lambda many=many: session.run(many), max(3, runs // batch)).min()) / batch  # type: ignore[misc]
        if each < 0.95 * best_ms:  # a larger batch delays the first picture: it must gain
            best_batch, best_ms = batch, each
    return Measurement(
        name,
        best=float(alone.min()),
        p50=float(np.percentile(alone, 50)),
        p95=float(np.percentile(alone, 95)),
        whole_p50=float(np.percentile(whole, 50)) if len(whole) else None,
        whole_p95=float(np.percentile(whole, 95)) if len(whole) else None,
        best_batch=best_batch,
        best_batch_ms=best_ms,
        max_abs_error=None if found is None else found.error,
        atol=None if found is None else found.tolerance.atol,
        noise=None if found is None else found.noise,
        noise_allowed=None if found is None else found.tolerance.noise,
        agrees=agrees,
        caveat="" if agrees else caveat,
    )


def _agreement(bundle: Bundle, session: Session, name: str) -> Agreement | None:
    golden = bundle.manifest.golden
    if golden is None:
        return None
    inputs, wanted = bundle.golden()
    return compare(session.run(inputs), wanted, golden.tolerance_of(name))


def scene(bundle: Bundle) -> Image:
    """A picture to time on: the golden one at the size of a camera's (there is something to decode), else noise."""
    spec = bundle.manifest.inputs[0]
    if bundle.manifest.golden is not None and (spec.layout, spec.colour, spec.dtype) == ("NHWC", "BGR", "uint8"):
        picture: Image = np.asarray(cv2.resize(bundle.golden()[0][spec.name][0], PICTURE[1::-1]), np.uint8)
        return picture
    return np.random.default_rng(0).integers(0, 256, PICTURE, dtype=np.uint8)


def whole_picture(
    bundle: Bundle, session: Session, picture: Image, decoder: Decoder | None = None
) -> Callable[[], object] | None:
    """Preprocessing, inference and decoding of `picture`; None for a model that takes none."""
    spec = bundle.manifest.inputs[0]
    if spec.layout is None or len(bundle.manifest.inputs) > 1:
        return None
    reader = decoder or decoders.build(bundle.manifest)

    def once() -> None:
        tensor, view = prepare(picture, spec)
        outputs = session.run({spec.name: tensor[None]})
        reader.decode({name: value[0] for name, value in outputs.items()}, view)

    return once


def _inputs(bundle: Bundle, batch: int) -> dict[str, NDArray[Any]]:
    """Golden inputs repeated to `batch`, else noise: some engines are faster on zeros."""
    if bundle.manifest.golden is not None:
        inputs, _ = bundle.golden()
        return {name: np.resize(value, (batch, *value.shape[1:])) for name, value in inputs.items()}
    rng = np.random.default_rng(0)
    return {
        s.name: rng.integers(0, 100, (batch, *(d or 1 for d in s.shape[1:]))).astype(s.dtype)
        for s in bundle.manifest.inputs
    }


def _times(once: Callable[[], object], runs: int) -> Floats:
    """Milliseconds of each run, after two that do not count."""
    times = []
    for i in range(runs + 2):
        began = time.perf_counter()
        once()
        if i >= 2:
            times.append((time.perf_counter() - began) * 1e3)
    return np.array(times, np.float32)


def choose(bundle: Bundle, cache_dir: Path, runs: int = 20) -> Choice:
    """The fastest installed backend that agrees with the golden outputs, measured once per bundle and machine.

    What was remembered and does not open any more is measured again. Raises BackendError when no backend agrees. A
    cache that cannot be read or written only costs the measurement again.
    """
    if (known := recall(bundle, cache_dir)) and _opens(bundle, known.backend, Trials(cache_dir)):
        return known
    found: list[Measurement] = []
    for name in candidates(bundle):
        best_ms = min((m.best_batch_ms for m in found if m.agrees and m.best_batch_ms), default=math.inf)
        found.append(_try(bundle, name, runs, Trials(cache_dir), HOPELESS * best_ms))
    choice = remember(bundle, found, cache_dir)
    if choice is None:
        said = "; ".join(f"{m.backend}: {m.error or _disagreement(m)}" for m in found) or "none is installed"
        raise BackendError(f"auto: no backend runs {bundle.name!r} in agreement with its golden outputs: {said}")
    return choice


def recall(bundle: Bundle, cache_dir: Path) -> Choice | None:
    """What was remembered for this bundle on this machine; None: nothing that is of use."""
    names = candidates(bundle)
    try:
        choice = _CHOICE.validate_python(_remembered(cache_dir / CHOICES).get(_key(bundle, names)))
    except ValidationError:
        return None
    return choice if choice.backend in names else None


def remember(bundle: Bundle, found: list[Measurement], cache_dir: Path) -> Choice | None:
    """Make the fastest of `found` that agrees what `auto` means from now on; None when none does.

    found: of every candidate.
    """
    best = next((m for m in mark_fastest(found) if m.fastest), None)
    if best is None or best.best_batch_ms is None:
        return None
    choice = Choice(best.backend, best.best_batch, round(best.best_batch_ms, 3))
    path = cache_dir / CHOICES
    _write(path, _remembered(path) | {_key(bundle, candidates(bundle)): asdict(choice)})
    return choice


def _key(bundle: Bundle, names: list[str]) -> str:
    return f"{bundle.sha256}-{_fingerprint(names)}"


def _opens(bundle: Bundle, name: str, trials: Trials) -> bool:
    """Whether an engine still runs the bundle: its runtime or the weights may have gone bad since it was measured."""
    key = _trial(bundle, name)
    if trials.deadly(key):
        return False
    settings: Any = _plugin(name)()
    trials.begin(key)
    try:
        settings.open(bundle).close()
    except BackendError:
        return False
    finally:
        trials.survived(key)
    return True


def _trial(bundle: Bundle, name: str) -> str:
    return f"{bundle.name} {bundle.sha256[:8]} {name} measured"


def _try(bundle: Bundle, name: str, runs: int, trials: Trials, hopeless: float) -> Measurement:
    """Measured, unless measuring it has killed the process before."""
    key = _trial(bundle, name)
    if trials.deadly(key):
        return Measurement(name, error="the whole process died while it was measured")
    trials.begin(key)
    found = measure(bundle, _plugin(name)(), name, runs, hopeless)
    trials.survived(key)
    return found


def _disagreement(m: Measurement) -> str:
    if m.max_abs_error is None:
        return "the bundle has no golden outputs"
    mean = "" if m.noise_allowed is None else f", by {m.noise:.3g} in the mean, allowed {m.noise_allowed:.3g}"
    return f"off by {m.max_abs_error:.3g}, allowed {m.atol:.3g}{mean}{m.caveat and f' ({m.caveat})'}"


def _remembered(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, Mapping)} if isinstance(data, dict) else {}


def _write(path: Path, entries: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return


def _fingerprint(names: list[str]) -> str:
    """Changes with the processor and the runtimes' versions: then it is measured again."""
    parts = [machine()]
    for module in (m for name in names for m in _plugin(name).modules):
        if find_spec(module) is not None:
            parts += _versions(module)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _versions(module: str) -> list[str]:
    """Of the distribution of this name, else of those that hold the module, as onnxruntime-gpu does onnxruntime."""
    try:
        return [f"{module} {version(module)}"]
    except PackageNotFoundError:
        return [f"{name} {version(name)}" for name in sorted({*packages_distributions().get(module, ())})]


def _plugin(name: str) -> type[BackendSettings]:
    return plugins.load("backends", name)
