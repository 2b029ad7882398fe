"""Schedules: weekdays, nights, holidays, and both changes of the clock."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from smartbox.schedule import Schedule

BERLIN = ZoneInfo("Europe/Berlin")


def schedule(*windows: dict[str, object], **more: object) -> Schedule:
    return Schedule.model_validate({"timezone": "Europe/Berlin", "windows": list(windows), **more})


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


NIGHT = {"days": "mon-fri", "from": "22:00", "to": "06:00"}


@pytest.mark.parametrize(
    ("moment", "on"),
    [
        ("2026-09-21 21:59:59", False),  # a Monday
        ("2026-09-21 22:00:00", True),
        ("2026-09-22 05:59:59", True),
        ("2026-09-22 06:00:00", False),
        ("2026-09-21 03:00:00", False),  # that night began on Sunday
        ("2026-09-26 03:00:00", True),  # Friday's night lasts into Saturday
        ("2026-09-26 23:00:00", False),
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_starts(moment: str, on: bool) -> None:
    assert schedule(NIGHT).active(at(moment)) is on


@pytest.mark.parametrize(
    ("days", "on"),
    [
        ("sat", "5"), ("mon,wed", "02"), (["sat", "sun"], "56"), ("daily", "0123456"), ("weekdays", "01234"),
        ("weekend", "56"), ("fri-mon", "0456"), (["Mon - Tue", "sun"], "016"), ("sun-sat", "0123456"),
    ],
)  # fmt: skip
def test_days_as_people_write_them(days: object, on: str) -> None:
    plan = schedule({"days": days})
    week = [at(f"2026-09-{21 + i} 12:00") for i in range(7)]
    assert [i for i, noon in enumerate(week) if plan.active(noon)] == [int(c) for c in on]


@pytest.mark.parametrize(("start", "end"), [("00:00", "24:00"), ("12:00", "12:00"), ("00:00", "00:00")])
def test_a_whole_day(start: str, end: str) -> None:
    plan = schedule({"from": start, "to": end})
    assert all(plan.active(at("2026-09-21 00:00") + hour * 3600) for hour in range(24))


def test_holidays() -> None:
    plan = schedule(
        {"days": "mon-fri", "from": "08:00", "to": "18:00"},
        {"days": "holiday", "from": "10:00", "to": "12:00"},
        holidays=["2026-12-25"],
    )
    assert plan.active(at("2026-12-24 09:00"))
    assert not plan.active(at("2026-12-25 09:00"))
    assert plan.active(at("2026-12-25 11:00"))
    assert not plan.active(at("2026-12-24 19:00"))


@pytest.mark.parametrize(
    ("names", "closed"),
    [
        (["DE"], ["2026-12-25", "2026-05-01"]),  # Corpus Christi is none in all of Germany
        (["DE-BY"], ["2026-12-25", "2026-05-01", "2026-06-04"]),
        (["de-by", "2026-12-24"], ["2026-12-24", "2026-12-25", "2026-05-01", "2026-06-04"]),
        (["CN"], ["2026-05-01", "2026-10-01"]),
    ],
)
def test_public_holidays_of_a_country(names: list[str], closed: list[str]) -> None:
    plan = schedule({"days": "daily", "from": "08:00", "to": "18:00"}, holidays=names)
    days = ["2026-12-24", "2026-12-25", "2026-05-01", "2026-06-04", "2026-10-01", "2026-06-05"]
    assert {day for day in days if not plan.active(at(f"{day} 12:00"))} == set(closed)
    assert hash(plan) == hash(schedule({"days": "daily", "from": "08:00", "to": "18:00"}, holidays=names))


def edges(plan: Schedule, start: float, hours: float) -> list[str]:
    """Local times at which it switches, to the minute."""
    out, before = [], plan.active(start)
    for minute in range(1, int(hours * 60) + 1):
        now = plan.active(start + minute * 60)
        if now != before:
            moment = datetime.fromtimestamp(start + minute * 60, BERLIN)
            out.append(f"{moment:%H:%M%z}{'+' if now else '-'}")
        before = now
    return out


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("22:00", "06:00", ["22:00+0100+", "06:00+0200-"]),  # seven hours
        ("01:00", "02:30", ["01:00+0100+", "03:00+0200-"]),  # 02:30 is skipped: over at once
        ("02:15", "02:45", []),  # does not exist that day
        ("02:30", "04:00", ["03:00+0200+", "04:00+0200-"]),
    ],
)
def test_the_clock_goes_forward(start: str, end: str, expected: list[str]) -> None:
    """2026-03-29: 02:00 CET becomes 03:00 CEST."""
    plan = schedule({"days": ["sat"] if start == "22:00" else ["sun"], "from": start, "to": end})
    assert edges(plan, at("2026-03-28 20:00"), 14) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("22:00", "06:00", ["22:00+0200+", "06:00+0100-"]),  # nine hours
        ("22:00", "02:30", ["22:00+0200+", "02:30+0200-"]),  # the first 02:30 ends it; it does not open again
        ("02:30", "06:00", ["02:30+0200+", "06:00+0100-"]),
        ("02:15", "02:45", ["02:15+0200+", "02:45+0200-"]),
    ],
)
def test_the_clock_goes_back(start: str, end: str, expected: list[str]) -> None:
    """2026-10-25: 03:00 CEST becomes 02:00 CET."""
    plan = schedule({"days": ["sat"] if start == "22:00" else ["sun"], "from": start, "to": end})
    assert edges(plan, at("2026-10-24 20:00"), 16) == expected


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31)))
def test_in_a_zone_without_changes_it_is_plain_arithmetic(moment: datetime) -> None:
    plan = Schedule.model_validate({"timezone": "UTC", "windows": [NIGHT]})
    evening = moment.hour >= 22 and moment.weekday() < 5
    morning = moment.hour < 6 and (moment - timedelta(days=1)).weekday() < 5
    assert plan.active(moment.replace(tzinfo=UTC).timestamp()) is (evening or morning)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"windows": []}, "at least 1"),
        ({"windows": [{"from": "25:00"}]}, "between"),
        ({"windows": [{"from": "7 pm"}]}, '"22:00"'),
        ({"windows": [{"from": 1320}]}, '"22:00", in quotes'),
        ({"windows": [{"to": 6}]}, '"22:00", in quotes'),
        ({"windows": [{"from": "07:60"}]}, '"22:00"'),
        ({"windows": [{"days": "monday"}]}, "days are mon"),
        ({"windows": [{"days": []}]}, "mon-fri"),
        ({"windows": [{}], "timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"windows": [{}], "timezone": "../../etc/passwd"}, "Europe/Berlin"),
        ({"windows": [{}], "timezone": "Europe"}, "Europe/Berlin"),
        ({"windows": [{}], "holidays": ["christmas"]}, "date as 2026-12-25 nor a country"),
        ({"windows": [{}], "holidays": ["DE-XX"]}, "DE-BY"),
        ({"windows": [{"form": "22:00"}]}, "Extra inputs"),
    ],
)
def test_what_is_refused_and_why(given: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Schedule.model_validate(given)


@pytest.mark.parametrize("tz", ["Asia/Tokyo", ":Asia/Tokyo", "{}", ":{}"])
def test_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch, tz: str) -> None:
    from smartbox import schedule as module

    tokyo = next(path for place in TZPATH if (path := Path(place, "Asia/Tokyo")).exists())
    monkeypatch.setenv("TZ", tz.format(tokyo))
    module.zone.cache_clear()
    plan = Schedule.model_validate({"windows": [{"from": "09:00", "to": "10:00"}]})
    assert plan.active(datetime(2026, 9, 21, 0, 30, tzinfo=UTC).timestamp())
    module.zone.cache_clear()
