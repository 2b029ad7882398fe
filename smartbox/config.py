"""The configuration: one strict YAML file -> Config, or a ConfigError with every problem and its key's path."""

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, SecretStr, StringConstraints, ValidationError, model_validator

from smartbox import plugins, yamlfile
from smartbox.cloud.settings import CloudSettings, HomeAssistantSettings
from smartbox.errors import ConfigError, Problem
from smartbox.geometry import Polygon, Zone, area
from smartbox.keys import PublisherText, ReaderText
from smartbox.mqtt import MqttSettings
from smartbox.outline import entangled
from smartbox.secrets import MASK, redact
from smartbox.settings import ByteSize, Duration, Settings
from smartbox.types import Point
from smartbox.wording import SHOWN, problems_of, unknown

VERSION = 1
ID_PATTERN = r"^[a-z0-9-]{1,48}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Vertex = tuple[Share, Share]
M = TypeVar("M", bound=BaseModel)


def default_state_dir() -> Path:
    """Where state is kept when the configuration does not say: systemd's directory, else XDG's."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "smartbox"


class BoxSettings(Settings):
    """Who this box is."""

    site: Id
    """Site, the second level of every topic: a-z, 0-9 and -."""
    id: Id
    """This box, unique within the site."""
    state_dir: Path = Field(default_factory=default_state_dir)
    """Outbox, counters and evidence. Default: systemd's state directory, else the XDG state directory."""
    key: SecretStr | None = None
    """Private key in PEM, as `!secret box_key`, that opens sealed models and pictures. Default: `keys/box.key` in the
    state directory, made when it is first needed; `smartbox models key` prints its public half."""
    publishers: tuple[PublisherText, ...] = Field(default=(), max_length=16)
    """Public keys (`ed25519:…`) of those who may sign this box's models; two while one replaces the other."""


class ModelSettings(Settings):
    """A model bundle, and the engines that may run it."""

    bundle: str
    """Name of an installed bundle (`lrssd-park`), or a path to a bundle's directory or sealed file."""
    sealed: bool = False
    """Run only a sealed bundle that one of `box.publishers` signed; a plain one of that name is refused."""
    backends: tuple[str | dict[str, Any], ...] = Field(default=("auto", "onnxruntime"), min_length=1)
    """Tried in order. A type's name, `auto` (the fastest on this box that agrees with the golden outputs, as `smartbox
    bench` or the first start found it), or a mapping with `type:` and the backend's settings, e.g.
    `{type: tflite, delegates: [/usr/lib/libedgetpu.so.1]}`."""


class EvidenceSettings(Settings):
    """Pictures that go with events: how many are kept, and whether a small one is sent over MQTT."""

    keep: Duration = Field(default=14 * 86400.0, gt=0)
    """Pictures older than this are deleted."""
    bytes: ByteSize = Field(default=8_000_000_000, gt=0)
    """All pictures together take at most this much, the oldest go first."""
    free: ByteSize = Field(default=200_000_000, ge=0)
    """This much of the disk stays free, pictures go first."""
    thumbnail: bool = True
    """Send a JPEG of at most 48 KiB with each alarm on `picture/{episode}`. false: pictures never leave the box."""
    clips: bool | Literal["reencode"] = False
    """Keep an MP4 of each alarm, cut from what a network camera sends. Costs up to 24 MiB of memory a camera. A source
    with `masks` records none, but with `reencode`: its clips are encoded anew with the masks burnt in, at most 10
    pictures a second."""
    audio: bool = False
    """Clips have the camera's sound, too. Off: no sound ever leaves the box."""

    @model_validator(mode="after")
    def _sound_of_clips(self) -> "EvidenceSettings":
        if self.audio and not self.clips:
            raise ValueError("audio does nothing without clips; switch them on, or leave it out")
        return self

    before: Duration = Field(default=5.0, ge=0, le=30)
    """Seconds of a clip before the alarm."""
    after: Duration = Field(default=10.0, ge=0, le=60)
    """Seconds of a clip after the alarm."""
    encrypt: bool = False
    """Seal the pictures that lie on the disk (AES-256-GCM); `smartbox events --export` opens them."""
    readers: tuple[ReaderText, ...] = Field(default=(), max_length=16)
    """With `encrypt`: public keys (`x25519:…`) that pictures are sealed for. The private halves need not be on the box,
    which then cannot open them itself. Default: the box's own key."""


class ZoneSettings(Settings):
    """A place in one source's picture; give one of polygon, line and slots. Coordinates are 0-1, y down."""

    source: Id
    """The source whose picture it lies in."""
    polygon: tuple[Vertex, ...] | None = Field(default=None, min_length=3, max_length=32)
    """3 to 32 corner points."""
    line: tuple[Vertex, Vertex] | None = None
    """Two points; crossing from the left side to the right side, as seen walking along it, counts as `in`."""
    slots: dict[str, Annotated[tuple[Vertex, ...], Field(min_length=3, max_length=32)]] | None = Field(
        default=None, min_length=1, max_length=500
    )
    """Parking slots: name -> polygon."""

    @model_validator(mode="after")
    def _one_shape(self) -> "ZoneSettings":
        shapes = [n for n in ("polygon", "line", "slots") if getattr(self, n) is not None]
        if len(shapes) != 1:
            raise ValueError(f"give exactly one of polygon, line and slots; found {', '.join(shapes) or 'none'}")
        for polygon in [self.polygon or (), *(self.slots or {}).values()]:
            if polygon and entangled(polygon):
                raise ValueError("two sides of the polygon cross: write its corners in order, once around")
            if polygon and area(polygon) < 1e-5:
                raise ValueError("the polygon has no area: its points lie on one line")
        if self.line and self.line[0] == self.line[1]:
            raise ValueError("the line's two points are the same")
        return self

    def zone(self, zone_id: str) -> Zone:
        slots: dict[str, tuple[Point, ...]] = dict(self.slots or {})
        polygon: Polygon = self.polygon or ()
        return Zone(zone_id, self.source, polygon, self.line, slots)


@dataclass(frozen=True)
class Config:
    """A whole, checked configuration. sources and rules hold plugin settings by id."""

    path: Path
    box: BoxSettings
    mqtt: MqttSettings
    evidence: EvidenceSettings
    cloud: CloudSettings
    homeassistant: HomeAssistantSettings
    models: Mapping[str, ModelSettings]
    sources: Mapping[str, Any]
    zones: Mapping[str, Zone]
    rules: Mapping[str, Any]
    kinds: Mapping[str, str]
    """Plugin type of each source and rule: `sources.east` -> `rtsp`."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    where: Callable[[str], str] = field(default=str, repr=False)
    """`file:line` of a key's path."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """What answers alarms on site, by id."""

    def refusal(self, problems: Sequence[Problem]) -> ConfigError:
        """What is wrong with it, each with the line it stands on."""
        return ConfigError(
            [Problem(p.path, f"{_masked(p.message, self.secrets)}  ({self.where(p.path)})") for p in problems]
        )

    def backends(self, model: str) -> list[tuple[str, Any]]:
        """(type, settings) of a model's backends in order; `auto` stays ("auto", None)."""
        result: list[tuple[str, Any]] = []
        for entry in self.models[model].backends:
            name, rest = _split_backend(entry)
            result.append((name, None if name == "auto" else plugins.load("backends", name).model_validate(rest)))
        return result


def load(path: Path | str, sources: Mapping[str, Any] | None = None, above: Mapping[str, Any] | None = None) -> Config:
    """Read and check a configuration file; ConfigError carries every problem at once.

    sources: settings (with `type`) that take the place of the sources of the same ids, as `replay --input` does.
    above: plain values that take the place of whole sections, as the cloud wants them.
    """
    document = yamlfile.read(Path(path))
    if above:
        document.lay_over(above)
    if sources:
        document.values["sources"] = {**(document.values.get("sources") or {}), **sources}
    checker = _Checker(document)
    config = checker.config()
    if checker.problems or config is None:
        raise ConfigError([_told(problem, document) for problem in checker.problems])
    return config


def _told(problem: Problem, document: yamlfile.Document) -> Problem:
    """With the line it stands on, and without any secret that the value held."""
    message = problem.message
    if taken := document.switches.get(problem.path):
        message += f"; YAML takes {taken}: put the word in quotes"
    return Problem(problem.path, f"{redact(_masked(message, document.secrets))}  ({document.where(problem.path)})")


def _masked(message: str, secrets: Collection[str]) -> str:
    """Without the secrets: as they are, as repr writes them, and as a long value is cut off."""
    for secret in sorted((secret for secret in secrets if len(secret) > 2), key=len, reverse=True):
        for form in (secret, repr(secret)[1:-1], repr(secret)[1:SHOWN]):
            message = message.replace(form, MASK)
    return message


def _split_backend(entry: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    return str(entry.get("type")), {k: v for k, v in entry.items() if k != "type"}


TOP_KEYS = (
    *("version", "box", "mqtt", "cloud", "homeassistant", "evidence", "models"),
    *("sources", "zones", "rules", "outputs"),
)


class _Checker:
    """Collects every problem while building the Config."""

    def __init__(self, document: yamlfile.Document) -> None:
        self.problems = document.problems
        self._document = document
        self._top: dict[str, Any] = document.values
        self._kinds: dict[str, str] = {}

    def config(self) -> Config | None:
        for key in self._top:
            if key not in TOP_KEYS:
                self._wrong(key, unknown(key, TOP_KEYS))
        version = self._top.get("version")
        if version is None:
            self._wrong("version", f"is missing; write `version: {VERSION}`")
        elif version != VERSION or isinstance(version, bool):
            self._wrong("version", f"{version!r} is not a version this release reads; write `version: {VERSION}`")
        box = self._part(BoxSettings, "box", required=True)
        mqtt = self._part(MqttSettings, "mqtt", required=True)
        evidence = self._part(EvidenceSettings, "evidence")
        cloud = self._part(CloudSettings, "cloud")
        homeassistant = self._part(HomeAssistantSettings, "homeassistant")
        models = self._map(ModelSettings, "models")
        sources = self._plugins("sources")
        zones = self._map(ZoneSettings, "zones")
        rules = self._plugins("rules")
        outputs = self._plugins("outputs")
        for name, model in models.items():
            self._check_backends(f"models.{name}.backends", model)
        self._check_references(sources, zones, rules)
        self._check_outputs(outputs)
        if self.problems or None in (box, mqtt, evidence, cloud, homeassistant):
            return None
        assert box and mqtt and evidence and cloud and homeassistant  # a section that is refused left a problem
        return Config(
            path=self._document.path,
            box=box,
            mqtt=mqtt,
            evidence=evidence,
            cloud=cloud,
            homeassistant=homeassistant,
            models=models,
            sources=sources,
            zones={zone_id: zone.zone(zone_id) for zone_id, zone in zones.items()},
            rules=rules,
            outputs=outputs,
            kinds=self._kinds,
            secrets=frozenset(s for s in self._document.secrets if s),
            where=self._document.where,
        )

    def _part(self, cls: type[M], key: str, required: bool = False) -> M | None:
        if key not in self._top and required:
            self._wrong(key, f"is missing; it needs {', '.join(_required(cls))}")
            return None
        return self._validate(cls, self._top.get(key), key)

    def _map(self, cls: type[M], key: str) -> dict[str, M]:
        result = {}
        for name, value in self._entries(key).items():
            made = self._validate(cls, value, f"{key}.{name}")
            if made is not None:
                result[name] = made
        return result

    def _plugins(self, family: Literal["sources", "rules", "outputs"]) -> dict[str, Any]:
        result = {}
        for name, value in self._entries(family).items():
            path = f"{family}.{name}"
            if not isinstance(value, dict):
                self._wrong(path, "must be a mapping with `type:` and its settings")
                continue
            kind = value.get("type")
            if not isinstance(kind, str):
                what = "is missing" if kind is None else f"{kind!r} is no name of a type"
                self._wrong(f"{path}.type", f"{what}; known are {', '.join(plugins.names(family))}")
                continue
            try:
                cls = plugins.load(family, kind, f"{path}.type")
            except ConfigError as error:
                self.problems.extend(error.problems)
                continue
            made = self._validate(cls, {k: v for k, v in value.items() if k != "type"}, path)
            if made is not None:
                result[name] = made
                self._kinds[path] = kind
        return result

    def _entries(self, key: str) -> dict[str, Any]:
        values = self._top.get(key)
        if values is None:
            return {}
        if not isinstance(values, dict):
            self._wrong(key, "must be a mapping of an id to its settings")
            return {}
        for name in values:
            if not re.fullmatch(ID_PATTERN, name):
                self._wrong(f"{key}.{name}", f"{name!r} is no id: use a-z, 0-9 and -, at most 48 characters")
        return values

    def _validate(self, cls: type[M], value: Any, path: str) -> M | None:
        try:
            return cls.model_validate({} if value is None else value)
        except ValidationError as error:
            said = {problem.path for problem in self.problems}  # a secret that is missing is no bad value as well
            self.problems.extend(p for p in problems_of(error, cls, path) if p.path not in said)
            return None

    def _check_backends(self, path: str, model: ModelSettings) -> None:
        for i, entry in enumerate(model.backends):
            name, rest = _split_backend(entry)
            if name == "auto":
                continue
            try:
                cls = plugins.load("backends", name, f"{path}.{i}")
            except ConfigError as error:
                self.problems.extend(error.problems)
                continue
            self._validate(cls, rest, f"{path}.{i}")

    def _check_outputs(self, outputs: Mapping[str, Any]) -> None:
        known = self._entries_of("rules")
        for name, output in outputs.items():
            for i, rule in enumerate(output.rules):
                if rule not in known:
                    self._wrong(f"outputs.{name}.rules.{i}", unknown(rule, known, "rule"))

    def _check_references(self, sources: Mapping[str, Any], zones: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
        written = {key: self._entries_of(key) for key in ("models", "sources", "zones")}
        for name, source in sources.items():
            for key in ("model", "sound_model"):
                model = getattr(source, key, None)
                if model is not None and model not in written["models"]:
                    self._wrong(f"sources.{name}.{key}", unknown(model, written["models"], "model"))
        for name, zone in zones.items():
            if zone.source not in written["sources"]:
                self._wrong(f"zones.{name}.source", unknown(zone.source, written["sources"], "source"))
        for name, rule in rules.items():
            self._check_rule(f"rules.{name}", rule, zones, written)

    def _check_rule(
        self, path: str, rule: Any, zones: Mapping[str, Any], written: Mapping[str, tuple[str, ...]]
    ) -> None:
        for key in ("zones", "cameras"):
            named = getattr(rule, key) or ()
            for twice in dict.fromkeys(name for name in named if named.count(name) > 1):
                self._wrong(f"{path}.{key}", f"{twice!r} stands more than once; name it once")
        for source in rule.cameras or ():
            if source not in written["sources"]:
                self._wrong(f"{path}.cameras", unknown(source, written["sources"], "source"))
        if (asked := rule.closeup()) and asked[1] not in written["models"]:
            self._wrong(f"{path}.model", unknown(asked[1], written["models"], "model"))
        for i, zone_id in enumerate(rule.zones):
            if zone_id not in written["zones"]:
                self._wrong(f"{path}.zones.{i}", unknown(zone_id, written["zones"], "zone"))
            elif zone_id in zones and rule.zone_kind and getattr(zones[zone_id], rule.zone_kind) is None:
                self._wrong(f"{path}.zones.{i}", f"{zone_id!r} must be a zone with `{rule.zone_kind}:` for this rule")
        for i, other in enumerate(getattr(rule, "acknowledges", ())):
            if other not in (known := self._entries_of("rules")):
                self._wrong(f"{path}.acknowledges.{i}", unknown(other, known, "rule"))
        if not rule.zones and not rule.cameras:
            self._wrong(path, "watches nothing: give `zones:` or `cameras:`")

    def _entries_of(self, key: str) -> tuple[str, ...]:
        values = self._top.get(key)
        return tuple(values) if isinstance(values, dict) else ()

    def _wrong(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))


def _required(cls: type[BaseModel]) -> list[str]:
    return [name for name, info in cls.model_fields.items() if info.is_required()]
