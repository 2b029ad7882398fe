"""The event document: valid CloudEvents, its own schema, always under 8 KiB, and back again."""

import json
import random
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from cloudevents.v1.http import from_json as cloudevents_read
from hypothesis import given
from hypothesis import strategies as st

from smartbox import cloudevent
from smartbox.clock import ManualClock
from smartbox.ids import Uuid7
from smartbox.types import Event, Evidence, Match, ModelRef
from tests.link.events import Events

REF = Path(__file__).resolve().parents[2] / "docs" / "ref"
SCHEMA = cloudevent.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
MODEL = ModelRef("lrssd-park", "1.0.0", "ab" * 32, "onnxruntime")


def full() -> Event:
    event = Events(ManualClock()).begin(model=MODEL, detail={"basis": "still"})
    return replace(event, seq=184467, session=42, evidence=(Evidence("jpeg", "a.jpg", "cd" * 32, 84211),))


def test_the_document_is_the_one_of_the_contract() -> None:
    event = full()
    document = json.loads(cloudevent.to_json(event, "park-a", "box-017"))
    data = document.pop("data")
    assert document == {
        "specversion": "1.0",
        "id": event.id,
        "source": "/smartbox/v1/park-a/box-017",
        "type": "smartbox.alarm.fire_lane.begin",
        "time": "2026-09-21T14:13:20.000Z",
        "subject": "cam-03/lane-east",
        "datacontenttype": "application/json",
        "dataschema": "urn:smartbox:event:1",
        "seq": 184467,
        "session": 42,
        "replayed": False,
    }
    assert data["rule"] == {"id": "lane-east", "kind": "fire_lane"}
    assert data["objects"] == [
        {"subject": "track:981", "label": "truck", "score": 0.91, "xyxy": [0.41, 0.53, 0.7, 0.83]}
    ]
    assert data["clock"] == {"synchronised": True, "monotonic_s": 1000.0}
    assert data["ended_at"] is None and data["end_reason"] is None
    assert cloudevent.topic(event, "smartbox/v1/park-a/box-017") == "smartbox/v1/park-a/box-017/event/alarm/fire_lane"


def test_the_cloudevents_sdk_reads_it() -> None:
    event = full()
    read = cloudevents_read(cloudevent.to_json(event, "park-a", "box-017"))
    assert (read["id"], read["type"], read["seq"]) == (event.id, "smartbox.alarm.fire_lane.begin", 184467)
    assert read.data["episode"] == event.episode


def test_it_reads_back_as_it_was() -> None:
    event = full()
    assert cloudevent.from_json(cloudevent.to_json(event, "park-a", "box-017")) == event


def test_delivery_sets_session_and_replayed_only() -> None:
    body = cloudevent.to_json(full(), "park-a", "box-017")
    delivered = cloudevent.from_json(cloudevent.deliver(body, 43, True))
    assert delivered == replace(full(), session=43, replayed=True)


words = st.text(max_size=300)
matches = st.builds(
    Match,
    subject=words,
    label=words,
    score=st.floats(0, 1),
    xyxy=st.none() | st.tuples(*[st.floats(0, 1)] * 4),
    zone=st.none() | st.from_regex(r"\A[a-z0-9-]{1,48}\Z"),
    detail=st.dictionaries(words, words, max_size=5),
)


@given(st.lists(matches, max_size=60), st.dictionaries(words, words | st.integers(), max_size=40), st.booleans())
def test_whatever_is_in_it_it_is_valid_and_under_8_kib(objects: list[Match], detail: dict, rule: bool) -> None:
    event = replace(full(), objects=tuple(objects), detail=detail, rule="lane-east" if rule else "")
    body = cloudevent.to_json(event, "p" * 48, "b" * 48)
    assert len(body) < 8192
    VALIDATOR.validate(json.loads(body))
    cloudevents_read(body)
    back = cloudevent.from_json(body)
    assert (back.id, back.rule, back.started_utc) == (event.id, event.rule, event.started_utc)


def test_cut_objects_are_counted() -> None:
    many = tuple(Match(f"track:{i}", "car", 0.5) for i in range(40))
    data = json.loads(cloudevent.to_json(replace(full(), objects=many), "a", "b"))["data"]
    assert data["objects_total"] == 40 and len(data["objects"]) == 16


@pytest.mark.parametrize(
    ("key", "value"), [("type", "smartbox.alarm.begin"), ("id", "1"), ("source", "/x"), ("seq", -1), ("replayed", None)]
)
def test_the_schema_refuses_what_is_wrong(key: str, value: object) -> None:
    document = json.loads(cloudevent.to_json(full(), "park-a", "box-017")) | {key: value}
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(ValueError, match=key):
        cloudevent.from_json(json.dumps(document).encode())


def test_unknown_keys_are_read_over() -> None:
    document = json.loads(cloudevent.to_json(full(), "park-a", "box-017"))
    document["later"] = document["data"]["later"] = 1
    VALIDATOR.validate(document)
    assert cloudevent.from_json(json.dumps(document).encode()) == full()


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = json.loads((REF / "event.schema.json").read_text())
    assert shipped == SCHEMA, "run: smartbox schema event > docs/ref/event.schema.json"


def test_ids_rise_even_when_the_clock_falls_and_repeat_in_a_replay() -> None:
    clock = ManualClock()
    new_id = Uuid7(clock.utc, random.Random(5))
    ids = [new_id() for _ in range(5000)]
    clock.jump(-3600)
    ids += [new_id() for _ in range(10)]
    clock.jump(7200)
    ids += [new_id() for _ in range(10)]
    assert ids == sorted(set(ids))
    assert all(i[14] == "7" and i[19] in "89ab" for i in ids)
    again = Uuid7(ManualClock().utc, random.Random(5))
    assert [again() for _ in range(5000)] == ids[:5000]
