"""What every event on the wire must be, whichever test publishes it: CloudEvents, and valid by the shipped schema."""

import json
from pathlib import Path

import jsonschema
from cloudevents.v1.http import from_json as read_cloudevent

ROOT = Path(__file__).resolve().parent.parent
_SHIPPED = json.loads((ROOT / "docs" / "ref" / "event.schema.json").read_text())
_VALIDATOR = jsonschema.Draft202012Validator(_SHIPPED, format_checker=jsonschema.FormatChecker())


def wrong_with(topic: str, payload: bytes) -> str:
    """Empty when a conforming SDK reads it, the schema holds and the topic is the document's own."""
    try:
        read = read_cloudevent(payload)
        document = json.loads(payload)
    except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the finding
        return f"{topic}: no CloudEvent: {error}: {payload[:200]!r}"
    if error := next(_VALIDATOR.iter_errors(document), None):
        return f"{topic}: {error.json_path}: {error.message}"
    _, cls, kind, _ = str(read["type"]).split(".")
    if not topic.endswith(f"/event/{cls}/{kind}") or not topic.startswith(str(read["source"])[1:]):
        return f"{topic}: has type {read['type']} and source {read['source']}"
    return ""
