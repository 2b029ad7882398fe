"""Device discovery, against the format that Home Assistant's MQTT integration documents."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from smartbox.cloud import homeassistant
from tests.link.box import ROOT, Box, Cloud
from tests.mosquitto import Consumer, Mosquitto, wait_for

jinja2 = pytest.importorskip("jinja2", reason="comes with torch; renders Home Assistant's templates")

TEXT = {"type": "string", "minLength": 1}
SUBSCRIBED = {"type": "string", "pattern": r"^[^#+]+(/[^/#+]+|/\+)*(/#)?$"}
AVAILABILITY = {
    "availability_topic": SUBSCRIBED,
    "availability_template": TEXT,
    "payload_available": TEXT,
    "payload_not_available": TEXT,
}
COMMON = {
    **AVAILABILITY,
    "platform": TEXT,
    "unique_id": TEXT,
    "name": TEXT,
    "entity_category": {"enum": ["diagnostic", "config"]},
    "json_attributes_topic": SUBSCRIBED,
    "json_attributes_template": TEXT,
    "qos": {"enum": [0, 1, 2]},
}
STATE = {"state_topic": SUBSCRIBED, "value_template": TEXT}


def component(platform: str, required: list[str], **properties: Any) -> dict[str, Any]:
    """One branch for `if platform is … then …`."""
    return {
        "if": {"properties": {"platform": {"const": platform}}},
        "then": {"properties": {**COMMON, **properties}, "required": required, "additionalProperties": False},
    }


# From https://www.home-assistant.io/integrations/mqtt/ (device discovery payload: `device` and `origin` are mandatory,
# an identifier is needed, every component has a platform, and entities a unique_id), and from the pages of the four
# kinds of entity: binary_sensor.mqtt, sensor.mqtt, image.mqtt, event.mqtt.
DOCUMENTED = {
    "type": "object",
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
    "properties": {
        "device": {
            "type": "object",
            "required": ["identifiers"],
            "additionalProperties": False,
            "properties": {
                "identifiers": {"type": "array", "items": TEXT, "minItems": 1},
                **{k: TEXT for k in ("name", "manufacturer", "model", "sw_version", "hw_version", "serial_number")},
            },
        },
        "origin": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": TEXT, "sw_version": TEXT, "support_url": TEXT},
        },
        **AVAILABILITY,
        "state_topic": SUBSCRIBED,
        "command_topic": TEXT,
        "qos": {"enum": [0, 1, 2]},
        "encoding": TEXT,
        "components": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["platform", "unique_id"],
                "properties": {"platform": {"enum": ["binary_sensor", "sensor", "image", "event"]}},
                "allOf": [
                    component(
                        "binary_sensor",
                        ["state_topic"],
                        **STATE,
                        device_class={"enum": ["connectivity", "problem", "sound"]},
                    ),
                    component(
                        "sensor",
                        ["state_topic"],
                        **STATE,
                        device_class={"enum": ["temperature"]},
                        state_class={"enum": ["measurement"]},
                        unit_of_measurement=TEXT,
                    ),
                    component("image", ["image_topic"], image_topic=SUBSCRIBED, content_type=TEXT),
                    component(
                        "event", ["state_topic", "event_types"], **STATE, event_types={"type": "array", "items": TEXT}
                    ),
                ],
            },
        },
    },
}

MORE = """
homeassistant: {enabled: ENABLED, name: The park}
sources: {gate: {type: simulator, scene: gate, fps: 5}}
rules: {covered: {type: tamper, cameras: [gate]}}
"""


@pytest.fixture
def everything(mosquitto: Mosquitto) -> Iterator[Consumer]:
    consumer = Consumer(mosquitto.port, "homeassistant", "#")
    yield consumer
    consumer.close()


def box(tmp_path: Path, mosquitto: Mosquitto, enabled: str) -> Box:
    return Box(tmp_path / "box", mosquitto.url, MORE.replace("ENABLED", enabled)).start()


def test_the_device_is_described_as_documented_and_then_available(
    tmp_path: Path, mosquitto: Mosquitto, everything: Consumer
) -> None:
    made = box(tmp_path, mosquitto, "true")
    place = "homeassistant/device/box-1/config"

    def after(nth: int) -> list[str]:
        topics = [m.topic for m in everything.messages]
        found = [i for i, topic in enumerate(topics) if topic == place]
        return topics[found[nth] + 1 :] if len(found) > nth else []

    wait_for(lambda: f"{ROOT}/state" in after(0), "the discovery, then the state")
    assert after(0)[0] == f"{ROOT}/state", "availability comes right after discovery"
    document = json.loads(next(m.payload for m in everything.messages if m.topic == place))
    jsonschema.validate(document, DOCUMENTED)
    parts = document["components"]
    ids = [part["unique_id"] for part in parts.values()]
    assert len(set(ids)) == len(ids) and document["device"]["name"] == "The park"
    assert parts["rule-covered-gate"]["state_topic"] == f"{ROOT}/active/covered/gate"
    assert parts["source-gate"]["device_class"] == "connectivity"
    assert document["availability_topic"] == f"{ROOT}/state"
    everything._client.publish("homeassistant/status", "online", 1)
    wait_for(lambda: f"{ROOT}/state" in after(1), "again on Home Assistant's birth")
    made.stop()


def test_every_topic_that_is_described_is_one_that_the_box_publishes(
    tmp_path: Path, mosquitto: Mosquitto, everything: Consumer, cloud: Cloud
) -> None:
    made = box(tmp_path, mosquitto, "true")
    wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
    wait_for(lambda: cloud.last("tele/health") or made.daemon.publisher.resync(), "health")  # type: ignore[union-attr]
    cloud.command("test-alarm", "t")
    wait_for(lambda: cloud.on("picture/") and cloud.on("event/alarm/"), "an alarm with its picture")
    (config,) = [m for m in everything.messages if m.topic == "homeassistant/device/box-1/config"][-1:]
    seen = {m.topic for m in everything.messages}
    for key, part in json.loads(config.payload)["components"].items():
        topic = part.get("state_topic") or part["image_topic"]
        assert any(t == topic or (topic.endswith("+") and t.startswith(topic[:-1])) for t in seen), key
    made.stop()


def test_the_templates_say_what_home_assistant_expects() -> None:
    """Rendered as it does: `value` is the payload, `value_json` what it holds."""
    config = homeassistant.document(homeassistant.Shown("s", "b", "B", ["gate"], [("r", "gate", "parking")], ["gate"]))
    parts = config["components"]
    open_episodes = json.dumps([{"episode": "e"}])
    event = json.dumps({"data": {"phase": "begin", "rule": None, "camera": "gate", "severity": "high"}})
    occupancy = json.dumps({"counts": {"free": 3}})
    for template, payload, expected in (
        (parts["rule-r-gate"]["value_template"], "", "OFF"),
        (parts["rule-r-gate"]["value_template"], open_episodes, "ON"),
        (parts["rule-r-gate"]["json_attributes_template"], "", "{}"),
        (parts["rule-r-gate"]["json_attributes_template"], open_episodes, '{"episodes": [{"episode": "e"}]}'),
        (config["availability_template"], '{"state": "lost"}', "offline"),
        (config["availability_template"], '{"state": "degraded"}', "online"),
        (parts["source-gate"]["value_template"], '{"state": "degraded"}', "ON"),
        (parts["source-gate"]["value_template"], '{"state": "offline"}', "OFF"),
        (parts["free-gate"]["value_template"], occupancy, "3"),
    ):
        assert render(template, payload) == expected, template
    assert json.loads(render(parts["alarm"]["value_template"], event))["event_type"] == "begin"


def render(template: str, payload: str) -> str:
    environment = jinja2.Environment(autoescape=False)
    environment.filters["to_json"] = json.dumps
    known = {"value_json": json.loads(payload)} if payload else {}
    return environment.from_string(template).render(value=payload, **known)


def test_it_is_off_by_default(tmp_path: Path, mosquitto: Mosquitto, everything: Consumer) -> None:
    made = Box(tmp_path / "box", mosquitto.url).start()
    wait_for(lambda: f"{ROOT}/birth" in {m.topic for m in everything.messages}, "the birth")
    made.stop()
    wait_for(lambda: any(b"stopped" in m.payload for m in everything.messages), "the goodbye")
    assert not [m for m in everything.messages if m.topic.startswith("homeassistant")]
