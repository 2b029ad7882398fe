"""How fast, and how true, each engine runs a bundle on this machine; and which one `auto` therefore means."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox import decoders, plugins
from smartbox.backends._base import BackendSettings, Session
from smartbox.bundle import Bundle
from smartbox.errors import BackendError
from smartbox.preprocess import prepare
from smartbox.trials import Trials
from smartbox.types import Floats

CHOICES = "backends.json"
PICTURE = (720, 1280, 3)  # what preprocessing is timed on, as most cameras' sub-streams or less


@dataclass(frozen=True, slots=True)
class Measurement:
    """One backend with one bundle. Times in milliseconds; None where it could not be measured."""

    backend: str
    error: str | None = None
    p50: float | None = None
    p95: float | None = None
    whole_p50: float | None = None
    """With preprocessing of a 1280x720 picture and decoding."""
    whole_p95: float | None = None
    best_batch: int = 1
    best_batch_ms: float | None = None
    """Per picture at the best batch."""
    max_abs_error: float | None = None
    """Against the golden outputs; None without them."""
    atol: float | None = None
    agrees: bool = False
    fastest: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What `auto` stands for on this machine."""

    backend: str
    batch: int
    ms: float


def candidates(bundle: Bundle) -> list[str]:
    """Installed backends that the bundle has weights for, in its order; recorded answers are no engine."""
    known = plugins.names("backends")
    return [n for n in bundle.manifest.files if n in known and n != "scripted" and _plugin(n).installed()]


def left_out(bundle: Bundle) -> dict[str, str]:
    """Backends that cannot be measured with this bundle, and why."""
    reasons = {}
    for name in plugins.names("backends"):
        if not _plugin(name).installed():
            reasons[name] = "its runtime is not installed"
        elif name not in bundle.manifest.files and name != "scripted":
            reasons[name] = "the bundle has no weights for it"
    return reasons


def survey(bundle: Bundle, names: list[str], runs: int = 50) -> list[Measurement]:
    """Measure each backend; the fastest that agrees with the golden outputs is marked."""
    return mark_fastest([measure(bundle, _plugin(name)(), name, runs) for name in names])


def mark_fastest(found: list[Measurement]) -> list[Measurement]:
    agreeing = [m for m in found if m.agrees and m.best_batch_ms is not None]
    best = min(agreeing, key=lambda m: m.best_batch_ms or 0.0, default=None)
    return [Measurement(**(asdict(m) | {"fastest": m is best})) for m in found]


def measure(bundle: Bundle, settings: Any, name: str, runs: int = 50) -> Measurement:
    """Latency and agreement of one backend. What fails stands in `error`."""
    try:
        session: Session = settings.open(bundle)
    except BackendError as error:
        return Measurement(name, error=str(error))
    try:
        return _measure(bundle, session, name, runs)
    except BackendError as error:
        return Measurement(name, error=str(error))
    finally:
        session.close()


def _measure(bundle: Bundle, session: Session, name: str, runs: int) -> Measurement:
    worst, atol, agrees = _agreement(bundle, session, name)
    one = _inputs(bundle, 1)
    alone = _times(lambda: session.run(one), runs)
    whole = _whole(bundle, session, runs)
    best_batch, best_ms = 1, float(np.median(alone))
    for batch in (2, 4, 8) if session.batch is None else ():
        many = _inputs(bundle, batch)
        each = float(np.median(_times(lambda many=many: session.run(many), max(3, runs // batch)))) / batch  # type: ignore[misc]
        if each < 0.95 * best_ms:  # a larger batch delays the first picture: it must gain
            best_batch, best_ms = batch, each
    return Measurement(
        name,
        p50=float(np.percentile(alone, 50)),
        p95=float(np.percentile(alone, 95)),
        whole_p50=float(np.percentile(whole, 50)) if len(whole) else None,
        whole_p95=float(np.percentile(whole, 95)) if len(whole) else None,
        best_batch=best_batch,
        best_batch_ms=best_ms,
        max_abs_error=worst,
        atol=atol,
        agrees=agrees,
    )


def _agreement(bundle: Bundle, session: Session, name: str) -> tuple[float | None, float | None, bool]:
    golden = bundle.manifest.golden
    if golden is None:
        return None, None, False
    inputs, wanted = bundle.golden()
    got = session.run(inputs)
    tolerance = golden.tolerance_of(name)
    differences = {k: np.abs(got[k] - wanted[k]) for k in wanted}
    within = all(bool((d <= tolerance.atol + tolerance.rtol * np.abs(wanted[k])).all()) for k, d in differences.items())
    return max((float(d.max(initial=0.0)) for d in differences.values()), default=0.0), tolerance.atol, within


def _whole(bundle: Bundle, session: Session, runs: int) -> Floats:
    """Preprocessing, inference and decoding of one picture; nothing for a model that takes none."""
    spec = bundle.manifest.inputs[0]
    if spec.layout is None or len(bundle.manifest.inputs) > 1:
        return np.zeros(0, np.float32)
    decoder = decoders.build(bundle.manifest)
    picture = np.random.default_rng(0).integers(0, 256, PICTURE, dtype=np.uint8)

    def once() -> None:
        tensor, view = prepare(picture, spec)
        outputs = session.run({spec.name: tensor[None]})
        decoder.decode({name: value[0] for name, value in outputs.items()}, view)

    return _times(once, runs)


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

    Raises BackendError when none does. A cache that cannot be read or written only costs the measurement again.
    """
    names = candidates(bundle)
    key = f"{bundle.sha256}-{_fingerprint(names)}"
    path = cache_dir / CHOICES
    known = _remembered(path)
    if (entry := known.get(key)) and entry.get("backend") in names:
        return Choice(str(entry["backend"]), int(entry["batch"]), float(entry["ms"]))
    found = mark_fastest([_try(bundle, name, runs, Trials(cache_dir)) for name in names])
    best = next((m for m in found if m.fastest), None)
    if best is None or best.best_batch_ms is None:
        said = "; ".join(f"{m.backend}: {m.error or _disagreement(m)}" for m in found) or "none is installed"
        raise BackendError(f"auto: no backend runs {bundle.name!r} in agreement with its golden outputs: {said}")
    choice = Choice(best.backend, best.best_batch, round(best.best_batch_ms, 3))
    _remember(path, known | {key: asdict(choice)})
    return choice


def _try(bundle: Bundle, name: str, runs: int, trials: Trials) -> Measurement:
    """Measured, unless measuring it has killed the process before."""
    key = f"{bundle.name} {bundle.sha256[:8]} {name} measured"
    if trials.deadly(key):
        return Measurement(name, error="the whole process died while it was measured")
    trials.begin(key)
    found = measure(bundle, _plugin(name)(), name, runs)
    trials.survived(key)
    return found


def _disagreement(m: Measurement) -> str:
    if m.max_abs_error is None:
        return "the bundle has no golden outputs"
    return f"off by {m.max_abs_error:.3g}, allowed {m.atol:.3g}"


def _remembered(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, Mapping)} if isinstance(data, dict) else {}


def _remember(path: Path, entries: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(entries, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return


def machine() -> str:
    """What this machine is, in words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    wanted = ("model name", "Model", "CPU part", "Hardware")  # x86 has the first, ARM some of the others
    found = dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(wanted))
    return f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(found) or platform.processor() or 'unknown'}"


def _fingerprint(names: list[str]) -> str:
    """Changes with the processor and the runtimes' versions: then it is measured again."""
    parts = [machine()]
    for module in (m for name in names for m in _plugin(name).modules):
        try:
            parts.append(f"{module} {version(module)}")
        except PackageNotFoundError:
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _plugin(name: str) -> type[BackendSettings]:
    return plugins.load("backends", name)
