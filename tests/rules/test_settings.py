"""What a rule's YAML may say; the family's contract."""

from typing import Any

import pytest
from pydantic import ValidationError

from smartbox import plugins
from smartbox.rules._base import RuleSettings
from smartbox.types import Match

KINDS = plugins.names("rules")
REQUIRED: dict[str, dict[str, Any]] = {kind: {"zones": ["z"]} for kind in KINDS} | {
    "sound": {"labels": ["siren"]},
    "tamper": {"cameras": ["east"]},
}


def rule(kind: str, **settings: Any) -> RuleSettings:
    return plugins.load("rules", kind).model_validate(REQUIRED[kind] | settings)  # type: ignore[no-any-return]


def refused(kind: str, says: str, **settings: Any) -> None:
    with pytest.raises(ValidationError, match=says):
        rule(kind, **settings)


def test_all_rules_are_there() -> None:
    assert KINDS == [
        "absence", "crowd", "fire_lane", "illegal_parking", "intrusion", "left_object", "line_crossing", "loitering",
        "parking", "sleep", "sound", "tamper",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind: str) -> None:
    one = rule(kind)
    assert isinstance(one, RuleSettings)
    assert one == rule(kind)
    assert hash(one) == hash(rule(kind))
    with pytest.raises(ValidationError):
        one.cooldown = 1.0  # type: ignore[misc]
    refused(kind, "Extra inputs", colour="red")
    refused(kind, "cooldown", cooldown="soon")
    refused(kind, "severity", severity="awful")
    assert one.missing_labels(["person", "car", "siren"]) == []
    assert bool(one.needs_labels()) is one.needs_model
    assert bool(one.missing_labels(["cat"])) is one.needs_model


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_says_what_it_is(kind: str) -> None:
    fields = plugins.load("rules", kind).model_fields
    bare = [name for name, field in fields.items() if not field.description and name not in RuleSettings.model_fields]
    assert not bare


DEFAULTS = {
    "absence": {"min_people": 1, "leave": 180, "return_": 5, "arm_unmanned": 300},
    "sleep": {"sleep": 120, "wake": 5, "still_eps": 0.02, "exit_ratio": 0.5},
    "fire_lane": {"vehicle": 60, "object": 120, "clear": 30, "escalate": 300, "severity": "high"},
    "illegal_parking": {"confirm": 15, "grace": 300, "clear": 30},
    "loitering": {"loiter": 60, "clear": 10},
    "crowd": {"n": 10, "dwell": 10},
    "left_object": {"left": 60, "clear": 10},
    "tamper": {"dwell": 10, "clear": 10, "faults": ("dark", "bright", "blurred", "frozen", "moved")},
    "parking": {"hold": 10, "full_ratio": 0.95, "free_ratio": 0.90, "overstay": None},
    "intrusion": {"dwell": 5, "clear": 5},
    "line_crossing": {"hysteresis": 0.01},
    "sound": {"score": 0.7, "dwell": 1, "silence": 5},
}
COMMON = {
    "min_score": 0.5, "min_overlap": 0.3, "min_size": 0.02, "window": 10, "enter_ratio": 0.6, "exit_ratio": 0.2,
    "update": 60, "max_duration": 86400,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_those_of_the_contract(kind: str) -> None:
    written = rule(kind).model_dump()
    expected = COMMON | DEFAULTS[kind]
    assert {key: written[key] for key in expected} == expected
    assert rule(kind).cooldown == (0 if kind == "line_crossing" else 300)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("absence", "leave", 0.5), ("absence", "leave", "31min"), ("absence", "min_people", 0),
        ("absence", "min_people", 101), ("sleep", "sleep", 0), ("sleep", "sleep", "1h"), ("fire_lane", "vehicle", 9),
        ("fire_lane", "vehicle", 3601), ("intrusion", "dwell", 121), ("intrusion", "dwell", -1),
        ("sound", "score", 1.5), ("sound", "labels", []), ("parking", "overstay", 1), ("intrusion", "min_score", 50),
        ("fire_lane", "object", 9), ("fire_lane", "object", 3601), ("illegal_parking", "grace", 3601),
        ("loitering", "loiter", 0.5), ("loitering", "loiter", 1801), ("left_object", "left", 4),
        ("left_object", "left", 3601), ("crowd", "n", 1), ("tamper", "faults", ["stolen"]), ("tamper", "faults", []),
        ("intrusion", "window", 0), ("intrusion", "anchor", "middle"), ("line_crossing", "anchor", "overlap"),
    ],
)  # fmt: skip
def test_ranges(kind: str, key: str, value: object) -> None:
    refused(kind, key, **{key: value})


def test_durations_as_people_write_them() -> None:
    one = rule("fire_lane", vehicle="2min", clear="1.5s")
    assert (one.vehicle, one.clear) == (120.0, 1.5)  # type: ignore[attr-defined]
    short = plugins.load("rules", "fire_lane").model_validate({"zone": "z", "vehicle_s": 90})
    assert short == rule("fire_lane", vehicle="90s")
    assert rule("absence", return_s=7) == rule("absence", **{"return": "7s"})
    assert rule("sound", s=2) == rule("sound", dwell=2)
    assert rule("crowd", n=5, s=20) == rule("crowd", n=5, dwell="20s")
    assert rule("left_object", left_s=90) == rule("left_object", left="90s")
    assert rule("illegal_parking", confirm_s=0, grace_s=60) == rule("illegal_parking", confirm=0, grace="1min")
    refused("fire_lane", "vehicle_s", vehicle=90, vehicle_s=90)


def test_settings_that_would_do_nothing_are_refused() -> None:
    refused("sound", "zones does nothing", zones=["z"])
    refused("sound", "min_score does nothing", min_score=0.5)
    refused("line_crossing", "window does nothing", window=5)
    refused("tamper", "zones does nothing", zones=["z"])
    refused("sleep", "needs a posture model", posture_score=0.6)
    refused("sleep", "needs a posture model", still_only=False)


def test_settings_that_contradict_one_another_are_refused() -> None:
    refused("intrusion", "exit_ratio 0.7 must be below enter_ratio 0.6", exit_ratio=0.7)
    refused("parking", "free_ratio 0.99", free_ratio=0.99)
    refused("intrusion", "zones is missing", zones=[])


def test_a_stillness_is_a_notice_and_never_an_alarm() -> None:
    assert rule("sleep").event_class(Match("track:1", "person", 1.0, detail={"basis": "still"})) == "notice"
    assert rule("intrusion").event_class(Match("track:1", "person", 1.0)) == "alarm"


def test_when_an_alarm_is_due() -> None:
    assert rule("intrusion").alarm_after("track:1") == 5
    assert rule("parking", overstay=600).alarm_after("slot:P1") == 600
    assert rule("parking").alarm_after("lot") == 10
    assert rule("line_crossing").alarm_after("track:1") == 0
    assert rule("illegal_parking").alarm_after("track:1") == 315
    assert rule("fire_lane").alarm_after("object:1") == 120
    assert rule("fire_lane").alarm_after("car") == 60


def test_what_costs_time_is_only_asked_for_where_it_is_wanted() -> None:
    wanting = {kind for kind in KINDS if rule(kind).wants_static()}
    assert wanting == {"fire_lane", "left_object"}
    assert not rule("fire_lane", object=None).wants_static()
