"""When a rule is on: weekday windows in a time zone, holidays, exact across daylight saving."""

import os
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from smartbox.settings import Settings

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WORDS = {"daily": DAYS, "all": DAYS, "weekdays": DAYS[:5], "weekend": DAYS[5:], "holiday": ("holiday",)}
_DAY_S = 86400


def _minutes(value: Any) -> int:
    """`"22:00"` -> minutes after midnight. A bare number may be meant as hours, minutes or HHMM."""
    hours, colon, rest = str(value).strip().partition(":")
    if not (colon and hours.isdecimal() and rest.isdecimal() and len(rest) == 2 and int(rest) < 60):
        raise ValueError('write a time of day as "22:00", in quotes')
    minutes = int(hours) * 60 + int(rest)
    if not 0 <= minutes <= 24 * 60:
        raise ValueError('a time of day lies between "00:00" and "24:00"')
    return minutes


def _days(value: Any) -> tuple[str, ...]:
    """`mon-fri`, `sat,sun`, `[mon, wed]`, `daily`, `weekdays`, `weekend`, `holiday` -> names of days."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError("write days as mon-fri, [sat, sun], daily, weekdays, weekend or holiday")
    out: list[str] = []
    for part in parts:
        word = str(part).strip().lower()
        first, dash, last = (w.strip() for w in word.partition("-"))
        if word in _WORDS:
            out += _WORDS[word]
        elif first in DAYS and (last in DAYS or not dash):
            i, j = DAYS.index(first), DAYS.index(last or first)
            out += [DAYS[k % 7] for k in range(i, j + 1 if j >= i else j + 8)]  # fri-mon goes round
        else:
            raise ValueError(f"{part!r} is not a day; days are {', '.join(DAYS)}, daily, weekdays, weekend, holiday")
    return tuple(dict.fromkeys(out))


def _holiday(value: Any) -> Any:
    """`2026-12-25`, or `DE`, `DE-BY`: a country by ISO 3166, with a part of it whose holidays count too."""
    if isinstance(value, date):
        return value
    text = str(value).strip()
    try:
        return date.fromisoformat(text)
    except ValueError:
        name = text.upper()
    try:
        public_holidays(name, 2026)
    except NotImplementedError as e:
        raise ValueError(f"{value!r} is neither a date as 2026-12-25 nor a country as DE or DE-BY") from e
    return name


_TIME_SCHEMA = WithJsonSchema({"type": "string", "examples": ["22:00"]})
_DAYS_SCHEMA = WithJsonSchema(
    {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
        "examples": ["mon-fri"],
    }
)
_HOLIDAY_SCHEMA = WithJsonSchema({"type": "string", "examples": ["2026-12-25", "DE-BY"]})


class Window(Settings):
    """From one time of day to another, on some days; past midnight it belongs to the day on which it starts."""

    days: Annotated[tuple[str, ...], BeforeValidator(_days), _DAYS_SCHEMA] = DAYS
    """`mon-fri`, `[sat, sun]`, `daily`, `weekdays`, `weekend`, `holiday`."""
    start: Annotated[int, BeforeValidator(_minutes), _TIME_SCHEMA] = Field(
        0, alias="from", json_schema_extra={"default": "00:00"}
    )
    """Time of day at which it opens, `"22:00"`."""
    end: Annotated[int, BeforeValidator(_minutes), _TIME_SCHEMA] = Field(
        24 * 60, alias="to", json_schema_extra={"default": "24:00"}
    )
    """Time of day at which it closes; at or before `from` it is that of the next day."""


class Schedule(Settings):
    """The rule is on inside any of the windows, off outside; episodes that are open then end as `schedule`."""

    timezone: str = Field("local", validate_default=True)
    """Name in the IANA data base, `Europe/Berlin`; `local` is the zone of the machine."""
    windows: tuple[Window, ...] = Field(min_length=1)
    """When the rule is on."""
    holidays: tuple[Annotated[date | str, BeforeValidator(_holiday), _HOLIDAY_SCHEMA], ...] = ()
    """Dates on which only windows with the day `holiday` start. `DE` stands for the public holidays of a country,
    `DE-BY` for those of a part of it too (ISO 3166)."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            zone(name)
        except (KeyError, OSError, ValueError) as e:  # ZoneInfoNotFoundError; of a folder's name; of a path
            if name == "local":
                machine = f"TZ={os.environ['TZ']}" if os.environ.get("TZ") else "/etc/localtime"
                text = f"the machine's zone, {machine}, is not understood; write one such as `timezone: Europe/Berlin`"
                raise ValueError(text) from e
            raise ValueError(f"{name!r} is not a known time zone; write one such as Europe/Berlin, or local") from e
        return name

    def active(self, utc: float) -> bool:
        """Whether the rule is on at this moment (epoch s)."""
        today = datetime.fromtimestamp(utc, zone(self.timezone)).date()
        return any(a <= utc < b for day in (today - timedelta(1), today) for a, b in _spans(self, day))


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The time zone of that name; KeyError, ValueError or OSError when there is none."""
    if name != "local":
        return ZoneInfo(name)
    wanted = os.environ.get("TZ", "").removeprefix(":")
    if wanted and not wanted.startswith("/"):
        return ZoneInfo(wanted)
    localtime = Path(wanted or "/etc/localtime")
    if not wanted and not localtime.exists():
        return ZoneInfo("UTC")
    with localtime.open("rb") as file:
        return ZoneInfo.from_file(file)


@lru_cache(maxsize=64)
def public_holidays(name: str, year: int) -> frozenset[date]:
    """Those of a country (`DE`) or of a part of one (`DE-BY`); NotImplementedError when it is not known."""
    import holidays  # only where a schedule names a country: it knows some 250 of them

    country, _, part = name.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))


def _is_holiday(schedule: Schedule, day: date) -> bool:
    return any(day == h if isinstance(h, date) else day in public_holidays(h, day.year) for h in schedule.holidays)


@lru_cache(maxsize=256)
def _spans(schedule: Schedule, day: date) -> tuple[tuple[float, float], ...]:
    """The windows that start on `day`, as epoch seconds."""
    name = "holiday" if _is_holiday(schedule, day) else DAYS[day.weekday()]
    tz = zone(schedule.timezone)
    spans = []
    for window in schedule.windows:
        if name in window.days:
            end = window.end if window.end > window.start else window.end + 24 * 60
            spans.append((_instant(day, window.start, tz), _instant(day, end, tz)))
    return tuple(spans)


def _instant(day: date, minutes: int, tz: tzinfo) -> float:
    """Epoch seconds at which the clock on the wall first shows this time or has just skipped it."""
    local = datetime(day.year, day.month, day.day) + timedelta(minutes=minutes)
    first, second = (local.replace(tzinfo=tz, fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        return first  # an ordinary time, or the first of two in autumn
    low, high = second, first  # skipped in spring: the moment of the change lies between the two readings
    before = datetime.fromtimestamp(low, tz).utcoffset()
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if datetime.fromtimestamp(middle, tz).utcoffset() == before else (low, middle)
    return float(round(high))
