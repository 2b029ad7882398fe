"""The event on the wire: a CloudEvents 1.0 JSON document under 8 KiB, its topic and its JSON Schema."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from smartbox.types import Box, EndReason, Event, Evidence, Match, ModelRef, Phase, Severity, Why

CONTENT_TYPE = "application/cloudevents+json"
LIMIT = 8192  # bytes; every document is shorter
_OBJECTS = 16
_FILES = 16


def root(site: str, box: str) -> str:
    """What every topic of this box begins with."""
    return f"smartbox/v1/{site}/{box}"


def topic(event: Event, root: str) -> str:
    """Where the event is published."""
    return f"{root}/{suffix(event)}"


def suffix(event: Event) -> str:
    """Its topic below the root."""
    return f"event/{event.cls}/{event.kind}"


def timestamp(utc: float) -> str:
    """Epoch seconds -> RFC 3339 with milliseconds, UTC."""
    return datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(event: Event, site: str, box: str) -> bytes:
    """The document. What is too much is left out, objects last, and `objects_total` tells how many there were."""
    body = b""
    for objects, details in ((_OBJECTS, True), (_OBJECTS, False), (4, False), (0, False)):
        body = dump(_document(event, site, box, objects, details))
        if len(body) < LIMIT:
            return body
    raise ValueError(f"event {event.id} of {len(body)} bytes: names and evidence alone exceed {LIMIT}")


def from_json(body: bytes) -> Event:
    """The event of a document. ValueError when it is not one."""
    document = EventDocument.model_validate_json(body)
    cls, kind, _ = document.type.removeprefix("smartbox.").split(".")
    data = document.data
    return Event(
        id=document.id,
        cls=cls,  # type: ignore[arg-type]  # the pattern of `type` allows these classes only
        kind=kind,
        phase=data.phase,
        time_utc=_epoch(document.time),
        monotonic=data.clock.monotonic_s,
        severity=data.severity,
        rule=data.rule.id if data.rule else "",
        camera=data.camera or "",
        zone=data.zone,
        episode=data.episode,
        started_utc=_epoch(data.started_at),
        dwell_s=data.dwell_s,
        ended_utc=_epoch(data.ended_at) if data.ended_at else None,
        end_reason=data.end_reason,
        objects=tuple(Match(o.subject, o.label, o.score, o.xyxy, o.zone, o.detail) for o in data.objects),
        model=ModelRef(**data.model.model_dump()) if data.model else None,
        synchronised=data.clock.synchronised,
        detail=data.detail,
        why=Why(**data.why.model_dump()) if data.why else None,
        evidence=tuple(Evidence(**e.model_dump()) for e in data.evidence),
        seq=document.seq,
        session=document.session,
        replayed=document.replayed,
    )


def deliver(body: bytes, session: int, replayed: bool) -> bytes:
    """The stored document as this connection sends it."""
    document = json.loads(body)
    document["session"], document["replayed"] = session, replayed
    return dump(document)


def summary(event: Event) -> dict[str, Any]:
    """An open episode in short, for `active/…`."""
    acknowledged = event.detail.get("acknowledged")
    return {
        "episode": event.episode,
        "kind": event.kind,
        "class": event.cls,
        "severity": event.severity,
        "zone": event.zone,
        "started_at": timestamp(event.started_utc),
        "subjects": [match.subject for match in event.objects[:16]],
        "labels": sorted({match.label for match in event.objects}),
        **({"acknowledged": acknowledged} if acknowledged else {}),
    }


def dump(document: Mapping[str, Any]) -> bytes:
    """Compact JSON; numpy's numbers are numbers. ValueError for NaN, which JSON does not know."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    return text.encode()


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _document(event: Event, site: str, box: str, objects: int, details: bool) -> dict[str, Any]:
    where = "/".join(filter(None, (event.camera, event.zone))) or box
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/{root(site, box)}",
        "type": f"smartbox.{event.cls}.{event.kind}.{event.phase}",
        "time": timestamp(event.time_utc),
        "subject": where,
        "datacontenttype": "application/json",
        "dataschema": "urn:smartbox:event:1",
        "seq": event.seq,
        "session": event.session,
        "replayed": event.replayed,
        "data": _data(event, objects, details),
    }


def _data(event: Event, objects: int, details: bool) -> dict[str, Any]:
    model = event.model
    data = {
        "episode": event.episode,
        "phase": event.phase,
        "severity": event.severity,
        "rule": {"id": event.rule, "kind": event.kind} if event.rule else None,
        "camera": event.camera or None,
        "zone": event.zone,
        "started_at": timestamp(event.started_utc),
        "dwell_s": round(event.dwell_s, 3),
        "ended_at": None if event.ended_utc is None else timestamp(event.ended_utc),
        "end_reason": event.end_reason,
        "objects": [_object(match, details) for match in event.objects[:objects]],
        "evidence": [
            {"kind": e.kind, "name": e.name, "sha256": e.sha256, "bytes": e.bytes} for e in event.evidence[:_FILES]
        ],
        "model": model
        and {"name": model.name, "version": model.version, "sha256": model.sha256, "backend": model.backend},
        "clock": {"synchronised": event.synchronised, "monotonic_s": round(event.monotonic, 3)},
    }
    if len(event.objects) > objects:
        data["objects_total"] = len(event.objects)
    if event.why is not None:
        data["why"] = asdict(event.why)
    if event.detail and details:
        data["detail"] = dict(event.detail)
    return data


def _object(match: Match, details: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "subject": match.subject[:96],
        "label": match.label[:64],
        "score": round(match.score, 4),
        "xyxy": None if match.xyxy is None else [round(float(v), 4) for v in match.xyxy],
    }
    if match.zone is not None:
        item["zone"] = match.zone
    if match.detail and details:
        item["detail"] = dict(match.detail)
    return item


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class _Part(BaseModel):
    # Unknown keys are read over: fields are added later, never re-used.
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _Rule(_Part):
    id: str
    """The rule's id in the configuration."""
    kind: str
    """fire_lane, intrusion, sleep …"""


class _Object(_Part):
    subject: str
    """`track:981`, `slot:P3`, `post:gate`, `sound:siren`."""
    label: str
    score: float
    """0–1."""
    xyxy: Box | None = None
    """0–1 of the picture, x to the right, y down."""
    zone: str | None = None
    detail: dict[str, Any] = {}


class _Evidence(_Part):
    kind: str
    """jpeg or mp4."""
    name: str
    """File name in the box's evidence directory."""
    sha256: str
    """Of the plain picture, also where it lies sealed on the disk; so are `bytes`."""
    bytes: int


class _Model(_Part):
    name: str
    version: str
    sha256: str
    backend: str


class _Why(_Part):
    share: float
    """Of the last `window_s` seconds, how much (0–1) the condition held."""
    window_s: float
    enter_share: float
    """The share that a begin needs."""
    exit_share: float
    """Below this share it ends."""
    needs_s: float
    """Seconds from the first match to a begin; compare `dwell_s`."""


class _Clock(_Part):
    synchronised: bool
    """False: the box did not know the time, `time` may be wrong."""
    monotonic_s: float
    """Seconds since the box was started; never jumps."""


class _Data(_Part):
    episode: str
    """Id of the episode's begin; the same in its updates and its end."""
    phase: Phase
    """begin · update · end; a begin with ended_at is a single occurrence without an end."""
    severity: Severity
    rule: _Rule | None = None
    """The rule that matched; `system` for what the box says of itself."""
    camera: str | None = None
    zone: str | None = None
    started_at: str = Field(json_schema_extra={"format": "date-time"})
    """Since when the condition holds."""
    dwell_s: float
    """How long it held until this event, seconds."""
    ended_at: str | None = Field(None, json_schema_extra={"format": "date-time"})
    end_reason: EndReason | None = None
    objects: list[_Object] = []
    objects_total: int | None = None
    """How many there were, when `objects` had to be cut."""
    evidence: list[_Evidence] = []
    model: _Model | None = None
    """Which model saw it; none for what the box says of itself."""
    clock: _Clock
    why: _Why | None = None
    """How sure the rule was; none for single moments and for what the box says of itself."""
    detail: dict[str, Any] = {}
    """Extra facts of this kind of event."""


class EventDocument(_Part):
    """An event of a smartbox, as published on event/{class}/{kind}; (source, id) de-duplicates."""

    specversion: Literal["1.0"]
    id: str = Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
    """UUID version 7."""
    source: str = Field(pattern=r"^/smartbox/v1/[a-z0-9-]{1,48}/[a-z0-9-]{1,48}$")
    type: str = Field(pattern=r"^smartbox\.(alarm|notice|system)\.[a-z0-9_]+\.(begin|update|end)$")
    time: str = Field(json_schema_extra={"format": "date-time"})
    """When the picture or sound that made it was taken."""
    subject: str
    """camera/zone, or the box itself."""
    datacontenttype: Literal["application/json"]
    dataschema: Literal["urn:smartbox:event:1"]
    seq: int = Field(ge=0)
    """Number of the event on this box, never re-used; a gap at or below health's `acked_through` means loss."""
    session: int = Field(ge=0)
    """Which connection of the box delivered it."""
    replayed: bool
    """It waited for the connection."""
    data: _Data


def schema() -> dict[str, Any]:
    """The JSON Schema of the document (draft 2020-12)."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:smartbox:event:1",
        **EventDocument.model_json_schema(by_alias=True),
    }
