"""What the box can be told: its commands, and every setting with its bounds and default, from the settings models."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, TypeAdapter

from smartbox import plugins
from smartbox.build import watched
from smartbox.config import Config, EvidenceSettings
from smartbox.types import ModelRef

_BOUNDS = {
    **{"minimum": "min", "maximum": "max", "exclusiveMinimum": "above", "exclusiveMaximum": "below"},
    **{"enum": "one_of", "pattern": "pattern", "minItems": "min_items", "maxItems": "max_items"},
}


def birth(config: Config, models: Mapping[str, ModelRef], abilities: Mapping[str, Any]) -> dict[str, Any]:
    """What a box is and has; the publisher adds session, version and depth."""
    sources = {
        name: {"type": config.kinds[f"sources.{name}"], "fps": s.fps, "model": s.model}
        for name, s in config.sources.items()
    }
    rules = {
        name: {"kind": config.kinds[f"rules.{name}"], "sources": list(watched(config, name))} for name in config.rules
    }
    known = {name: asdict(model) for name, model in models.items()}
    return {"models": known, "sources": sources, "rules": rules, "capabilities": abilities}


def capabilities(config: Config, commands: Iterable[str]) -> dict[str, Any]:
    """For the birth document. All rules that are installed; of sources only the types in use, which are loaded."""
    in_use = {kind for path, kind in config.kinds.items() if path.startswith("sources.")}
    return {
        "commands": sorted(commands),
        "desired": bool(config.cloud.keys),
        "upload": bool(config.cloud.upload_hosts),
        "settings": {
            "rules": {name: settings(plugin) for name, plugin in plugins.members("rules").items()},
            "sources": {name: settings(plugins.load("sources", name)) for name in sorted(in_use)},
            "evidence": settings(EvidenceSettings),
        },
    }


def settings(model: type[BaseModel]) -> dict[str, Any]:
    """Key -> {type, default, bounds}; what is required has no default. Durations are seconds, sizes bytes."""
    schema = TypeAdapter(model).json_schema()
    definitions = schema.get("$defs", {})
    required = set(schema.get("required", ()))
    written = {info.alias or name: info for name, info in model.model_fields.items()}
    found = {}
    for name, field in schema.get("properties", {}).items():
        entry = _flat(field, definitions)
        for bound in written[name].metadata:  # a duration's, which its schema does not show
            entry |= {to: getattr(bound, of) for of, to in _METADATA.items() if getattr(bound, of, None) is not None}
        if name not in required and field.get("default") is not None:
            entry["default"] = field["default"]
        found[name] = entry
    return found


_METADATA = {"ge": "min", "le": "max", "gt": "above", "lt": "below"}


def _flat(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    options = field.get("anyOf") or field.get("oneOf") or [field]
    plain = next((o for o in options if o.get("type") != "null"), field)
    if "$ref" in plain:
        plain = definitions.get(plain["$ref"].rpartition("/")[2], {})
    entry: dict[str, Any] = {"type": _kind(plain)}
    return entry | {to: plain[of] for of, to in _BOUNDS.items() if of in plain}


def _kind(plain: Mapping[str, Any]) -> str:
    if plain.get("examples") == ["60s"]:
        return "duration"
    if plain.get("examples") == ["8GB"]:
        return "size"
    kind = plain.get("type", "any")
    return kind if isinstance(kind, str) else "any"
