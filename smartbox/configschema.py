"""The JSON Schema of the configuration, from the same models that check it."""

from typing import Any

from pydantic import TypeAdapter

from smartbox import plugins
from smartbox.cloud.settings import CloudSettings, HomeAssistantSettings
from smartbox.config import (
    ID_PATTERN,
    VERSION,
    BoxSettings,
    EvidenceSettings,
    ModelSettings,
    ZoneSettings,
)
from smartbox.mqtt import MqttSettings


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of smartbox.yaml, every installed source, rule and output that loads included.

    It describes the file after `!secret` and `!include` are resolved.
    """
    definitions: dict[str, Any] = {}
    parts = {
        "box": _of(BoxSettings, definitions),
        "mqtt": _of(MqttSettings, definitions),
        "cloud": _of(CloudSettings, definitions),
        "homeassistant": _of(HomeAssistantSettings, definitions),
        "evidence": _of(EvidenceSettings, definitions),
        "models": _map(_of(ModelSettings, definitions)),
        "sources": _map(_family("sources", definitions)),
        "zones": _map(_of(ZoneSettings, definitions)),
        "rules": _map(_family("rules", definitions)),
        "outputs": _map(_family("outputs", definitions)),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:smartbox:config:1",
        "title": "smartbox configuration",
        "type": "object",
        "additionalProperties": False,
        "required": ["version", "box", "mqtt"],
        "properties": {"version": {"const": VERSION}, **parts},
        "$defs": definitions,
    }


def _of(cls: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    made = TypeAdapter(cls).json_schema(ref_template="#/$defs/{model}")
    definitions.update(made.pop("$defs", {}))
    return made


def _map(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "propertyNames": {"pattern": ID_PATTERN}, "additionalProperties": value}


def _family(family: plugins.Family, definitions: dict[str, Any]) -> dict[str, Any]:
    members = []
    for name, plugin in plugins.members(family).items():
        made = _of(plugin, definitions)
        made["properties"] = {"type": {"const": name}, **made.get("properties", {})}
        made["required"] = ["type", *made.get("required", [])]
        made["title"] = name
        members.append(made)
    return {"oneOf": members}
