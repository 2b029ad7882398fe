"""One look at everything that a configuration names: open each model, take a frame of each source, greet the broker."""

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smartbox import mqtt
from smartbox.asking import ask
from smartbox.build import Parts, ears
from smartbox.clock import SystemClock
from smartbox.config import Config
from smartbox.errors import BackendError, SmartboxError
from smartbox.model import Model
from smartbox.secrets import redact
from smartbox.supervise import chain
from smartbox.types import AudioChunk, Detections, Frame, Sample

FIRST_SAMPLE_S = 15.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one probe said: `what` is the key's path, `detail` for people, `error` None when all is well."""

    what: str
    detail: str = ""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The first frame of a source and what the model saw on it."""

    frame: Frame
    detections: Detections


def models(parts: Parts, memory: Path) -> tuple[dict[str, Model], list[Found]]:
    """Open every model; those that opened, and a line for each. memory: where the choice of `auto` is remembered."""
    opened, found = {}, []
    for name, bundle in parts.bundles.items():
        changes: list[str] = []
        model = Model(bundle, parts.config.backends(name), memory, on_change=changes.append)
        try:
            model.open()
        except BackendError as error:
            found.append(Found(f"models.{name}", error=chain(error)))
            continue
        opened[name] = model
        detail = f"{model.ref.name} {model.ref.version} on {model.ref.backend}"
        found.append(Found(f"models.{name}", "; ".join([detail, *changes])))
    return opened, found


def sources(parts: Parts, opened: Mapping[str, Model]) -> tuple[dict[str, Look], list[Found]]:
    """The first picture or sound of every source that is enabled, looked at by its model; all sources at once."""
    wanted = [name for name, settings in parts.config.sources.items() if settings.enabled]
    samples: dict[str, dict[type[Sample], Sample]] = {name: {} for name in wanted}
    errors: dict[str, str] = {}
    stop = threading.Event()
    threads = [
        threading.Thread(target=_first, args=(parts, name, stop, samples[name], errors), daemon=True) for name in wanted
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + FIRST_SAMPLE_S
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    stop.set()
    looks, found = {}, []
    for name in wanted:
        path, came = f"sources.{name}", samples[name]
        if not came:
            late = f"delivered nothing within {FIRST_SAMPLE_S:.0f} s"
            found.append(Found(path, error=redact(errors.get(name, late))))
            continue
        told = Found(path)
        if isinstance(frame := came.get(Frame), Frame):
            looks[name], told = _looked(parts, opened, frame, path)
        found.append(_complete(parts, name, came, told, errors.get(name)))
    return looks, found


def _needed(parts: Parts, source: str) -> set[type[Sample]]:
    """What the models of a source wait for."""
    settings = parts.config.sources[source]
    tasks = {name: bundle.manifest.task for name, bundle in parts.bundles.items()}
    listens = tasks.get(ears(settings) or "") == "sound"
    looks = tasks.get(settings.model or "", "sound") != "sound"
    return {kind for kind, needed in ((AudioChunk, listens), (Frame, looks)) if needed}


def _complete(parts: Parts, source: str, came: Mapping[type[Sample], Sample], told: Found, broke: str | None) -> Found:
    """With the sound that came, and with what a model waits for in vain; broke: why the waiting ended."""
    sound = came.get(AudioChunk)
    heard = f"sound at {sound.rate} Hz" if isinstance(sound, AudioChunk) else ""
    detail = "; ".join(filter(None, (told.detail, heard)))
    missing = _needed(parts, source) - came.keys()
    if told.error or not missing:
        return Found(told.what, detail, told.error)
    settings = parts.config.sources[source]
    if AudioChunk in missing:
        hint = "switch it on in the camera" if settings.hears else "its settings ask for none"
        why = f"no sound, and {ears(settings)!r} listens to it: {hint}, or take the model away"
    else:
        why = f"no picture, and {settings.model!r} looks at it: take the model away, or name it as `sound_model`"
    return Found(told.what, detail, f"{detail}, but {why}{f' ({redact(broke)})' if broke else ''}")


def _looked(parts: Parts, opened: Mapping[str, Model], frame: Frame, path: str) -> tuple[Look, Found]:
    """What the model sees on it; the picture is of use without a model too."""
    size = f"{frame.width} x {frame.height}"
    try:
        look = _look(parts, opened, frame)
    except SmartboxError as error:
        return Look(frame, Detections.empty()), Found(path, size, f"{size}, but the model fails on it: {chain(error)}")
    seen = _counted(look.detections)
    watched = parts.config.sources[frame.source].model in opened
    return look, Found(path, f"{size}, {f'sees {seen}' if watched else 'no model looked at it'}")


def _counted(found: Detections) -> str:
    counts = Counter(found.label(i) for i in range(len(found)))
    return ", ".join(f"{n} {label}" for label, n in counts.items()) or "nothing"


def state(config: Config) -> Found:
    """Where the box would keep its state: a directory, or a place where one can be made. Nothing is made here."""
    wanted = config.box.state_dir.absolute()
    place = next(path for path in (wanted, *wanted.parents) if os.path.lexists(path))
    if not place.is_dir():
        return Found("box.state_dir", error=f"{wanted}: {place} is no directory; it must be a writable directory")
    if os.access(place, os.W_OK | os.X_OK):
        return Found("box.state_dir", f"{wanted} is writable" if place == wanted else f"{wanted} can be made")
    return Found("box.state_dir", f"{wanted} is not writable for you; it must be for the user that the box runs as")


def broker(config: Config) -> Found:
    """Connect once, with everything that the daemon would use."""
    if config.mqtt.embedded:
        return Found("mqtt", "the demo's own broker; it starts with `smartbox run`")
    where = f"{config.mqtt.host}:{config.mqtt.port}"
    try:
        mqtt.greet(config.mqtt, f"smartbox-check-{config.box.site}-{config.box.id}")
    except mqtt.LinkError as error:
        said = redact(chain(error))
        return Found("mqtt", error=said if where in said else f"{where}: {said}")
    return Found("mqtt", f"{where} answers{' over TLS' if config.mqtt.tls else ''}")


def _first(
    parts: Parts, name: str, stop: threading.Event, came: dict[type[Sample], Sample], errors: dict[str, str]
) -> None:
    """The first of each kind, until there is all that is needed and may come; where nothing is, the first."""
    settings = parts.config.sources[name]
    hopeless = {kind for kind, comes in ((AudioChunk, settings.hears), (Frame, settings.sees)) if not comes}
    needed = _needed(parts, name) - hopeless
    try:
        for sample in settings.read(name, SystemClock(), stop):
            came.setdefault(type(sample), sample)
            if needed <= came.keys():
                return
        if not came:
            errors[name] = "ended before its first picture"
    except SmartboxError as error:
        errors[name] = chain(error)


def _look(parts: Parts, opened: Mapping[str, Model], frame: Frame) -> Look:
    pipeline = parts.pipelines[frame.source]
    plan = pipeline.plan(frame)
    return Look(frame, pipeline.see(plan, ask(opened, plan.requests)) or Detections.empty())
