"""The box in Home Assistant: one device discovery document, by the format that its MQTT integration documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smartbox import __version__
from smartbox.cloudevent import root

# An empty payload says that nothing is open.
_OPEN = "{{ 'ON' if value else 'OFF' }}"
_EPISODES = "{{ {'episodes': value_json} | to_json if value else '{}' }}"
_AVAILABLE = "{{ 'offline' if value_json.state in ['lost', 'stopped'] else 'online' }}"
_ONLINE = "{{ 'ON' if value_json.state in ['online', 'degraded'] else 'OFF' }}"
_ALARM = "{{ {'event_type': value_json.data.phase, 'rule': (value_json.data.rule or {}).get('id'), "
_ALARM += "'camera': value_json.data.camera, 'severity': value_json.data.severity} | to_json }}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a box has to show. watches: (rule, source, kind); parking: sources whose slots are told."""

    site: str
    box: str
    name: str
    sources: Sequence[str] = ()
    watches: Sequence[tuple[str, str, str]] = ()
    parking: Sequence[str] = field(default_factory=tuple)


def topic(prefix: str, box: str) -> str:
    """Where Home Assistant looks for it."""
    return f"{prefix}/device/{box}/config"


def document(shown: Shown) -> Mapping[str, Any]:
    """The discovery document. https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload"""
    base = root(shown.site, shown.box)
    device = f"smartbox-{shown.site}-{shown.box}"
    parts = {**_box(base), **_sources(shown, base), **_rules(shown, base)}
    return {
        "device": {
            "identifiers": [device],
            "name": shown.name,
            "manufacturer": "smartbox",
            "model": "smartbox",
            "sw_version": __version__,
        },
        "origin": {"name": "smartbox", "sw_version": __version__},
        "availability_topic": f"{base}/state",
        "availability_template": _AVAILABLE,
        "qos": 1,
        "components": {key: {**part, "unique_id": f"{device}-{key}"} for key, part in parts.items()},
    }


def _box(base: str) -> dict[str, dict[str, Any]]:
    health = {"platform": "sensor", "state_topic": f"{base}/tele/health", "entity_category": "diagnostic"}
    return {
        "picture": {
            "platform": "image",
            "name": "Last alarm",
            "image_topic": f"{base}/picture/+",
            "content_type": "image/jpeg",
        },
        "alarm": {
            "platform": "event",
            "name": "Alarm",
            "state_topic": f"{base}/event/alarm/+",
            "event_types": ["begin", "update", "end"],
            "value_template": _ALARM,
        },
        "temperature": {
            **health,
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "value_template": "{{ value_json.temperature_c }}",
        },
        "waiting": {
            **health,
            "name": "Events waiting",
            "state_class": "measurement",
            "value_template": "{{ value_json.outbox.depth }}",
        },
    }


def _sources(shown: Shown, base: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for source in shown.sources:
        found[f"source-{source}"] = {
            "platform": "binary_sensor",
            "name": f"{source} online",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": f"{base}/source/{source}",
            "value_template": _ONLINE,
            "json_attributes_topic": f"{base}/source/{source}",
        }
    for source in shown.parking:
        found[f"free-{source}"] = {
            "platform": "sensor",
            "name": f"{source} free slots",
            "state_class": "measurement",
            "state_topic": f"{base}/occupancy/{source}",
            "value_template": "{{ value_json.counts.free }}",
            "json_attributes_topic": f"{base}/occupancy/{source}",
        }
    return found


def _rules(shown: Shown, base: str) -> dict[str, dict[str, Any]]:
    return {
        f"rule-{rule}-{source}": {
            "platform": "binary_sensor",
            "name": f"{rule} {source}",
            "device_class": "sound" if kind == "sound" else "problem",
            "state_topic": f"{base}/active/{rule}/{source}",
            "value_template": _OPEN,
            "json_attributes_topic": f"{base}/active/{rule}/{source}",
            "json_attributes_template": _EPISODES,
        }
        for rule, source, kind in shown.watches
    }
