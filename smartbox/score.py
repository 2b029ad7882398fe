"""How good the alarms are: events against truth, at the level of events (docs/guide/rules.md, Scoring).

A true alarm is a begin of the same rule and camera within [due - 1 s, due + 10 s]; due = the truth's alarm_s, or its
start_s plus the rule's dwell. (One second: a box crosses an edge a frame or two before a ruler does, a car fills its
slot before it stops.) Times are seconds of the recording: an event's `clock.monotonic_s`, which a replay starts at 0.
Pure but for the two readers.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from smartbox.errors import SmartboxError
from smartbox.wording import problems_of

EARLY_S, TOLERANCE_S = 1.0, 10.0
_ROUNDING = 1e-3  # times on the wire have milliseconds
DAY_S = 86400.0

DwellOf = Callable[[str, str], float]
"""(rule id, subject) -> s from the true start to the alarm."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Something that really happened, s from the start of the recording. end_s inf: it lasts."""

    rule: str
    source: str
    subject: str
    start_s: float
    end_s: float = math.inf
    alarm_s: float | None = None


@dataclass(frozen=True, slots=True)
class Alarm:
    """The begin of an episode."""

    rule: str
    source: str
    subject: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """Counts, and the delays (s) of true alarms behind the moment at which they were due."""

    true: int
    false: int
    missed: int
    delays: tuple[float, ...] = field(repr=False)
    camera_s: float
    by_rule: Mapping[str, "Result"] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()
    """Every missed and every false alarm, in words."""

    @property
    def precision(self) -> float:
        return self.true / (self.true + self.false) if self.true + self.false else 1.0

    @property
    def recall(self) -> float:
        return self.true / (self.true + self.missed) if self.true + self.missed else 1.0

    @property
    def f1(self) -> float:
        both = 2 * self.true + self.false + self.missed
        return 2 * self.true / both if both else 1.0

    @property
    def false_per_camera_day(self) -> float | None:
        return self.false * DAY_S / self.camera_s if self.camera_s > 0 else None

    def delay(self, quantile: float) -> float | None:
        """The smallest delay that this share of the true alarms does not exceed."""
        ordered = sorted(self.delays)
        return ordered[max(0, math.ceil(quantile * len(ordered)) - 1)] if ordered else None

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "true": self.true,
            "false": self.false,
            "missed": self.missed,
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            "false_per_camera_day": _rounded(self.false_per_camera_day),
            "delay_p50_s": _rounded(self.delay(0.50)),
            "delay_p95_s": _rounded(self.delay(0.95)),
        }
        if self.by_rule:
            out["rules"] = {rule: result.to_dict() for rule, result in self.by_rule.items()}
            out["camera_s"] = round(self.camera_s, 3)
            out["wrong"] = list(self.wrong)
        return out

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    def table(self) -> str:
        """For people: a line per rule, then what was wrong."""
        rows = [*self.by_rule.items(), ("all", self)]
        width = max(len(name) for name, _ in rows)
        lines = [f"{'rule':{width}}  true false missed  precision recall     F1  false/day  delay p50    p95"]
        for name, r in rows:
            numbers = f"{r.true:4d} {r.false:5d} {r.missed:6d}  {r.precision:9.3f} {r.recall:6.3f} {r.f1:6.3f}"
            rest = f"{_text(r.false_per_camera_day):>9}  {_text(r.delay(0.5)):>9} {_text(r.delay(0.95)):>6}"
            lines.append(f"{name:{width}}  {numbers}  {rest}")
        return "\n".join([*lines, *self.wrong])


def score(
    truth: Sequence[Truth], alarms: Sequence[Alarm], dwell_of: DwellOf, seconds: Mapping[str, float] | None = None
) -> Result:
    """Match alarms to truth one to one. seconds: length of each camera's recording; else as long as anything is known.

    A truth that ended before its alarm was due, and names no alarm_s, is a hard negative: nothing is due.
    """
    due = [(t, _due(t, dwell_of)) for t in truth]
    expected = [(t, when) for t, when in due if t.alarm_s is not None or t.end_s >= when]
    spans = seconds if seconds is not None else _spans(truth, alarms)
    rules = sorted({t.rule for t, _ in expected} | {a.rule for a in alarms})
    by_rule = {
        rule: _score_rule([e for e in expected if e[0].rule == rule], [a for a in alarms if a.rule == rule], spans)
        for rule in rules
    }
    parts = by_rule.values()
    return Result(
        true=sum(r.true for r in parts),
        false=sum(r.false for r in parts),
        missed=sum(r.missed for r in parts),
        delays=tuple(d for r in parts for d in r.delays),
        camera_s=sum(spans.values()),
        by_rule=by_rule,
        wrong=tuple(w for r in parts for w in r.wrong),
    )


def _score_rule(expected: Sequence[tuple[Truth, float]], alarms: Sequence[Alarm], spans: Mapping[str, float]) -> Result:
    """All windows are equally long, so serving the earliest first matches as many as can be matched."""
    left = sorted(alarms, key=lambda a: a.time_s)
    delays, wrong = [], []
    for truth, due in sorted(expected, key=lambda e: e[1]):
        fits = (a for a in left if a.source == truth.source and _in_time(a.time_s - due))
        alarm = next(fits, None)
        if alarm is None:
            wrong.append(f"missed: {truth.rule} on {truth.source}, {truth.subject}, due at {due:.1f} s")
        else:
            left.remove(alarm)
            delays.append(max(0.0, alarm.time_s - due))
    wrong += [f"false: {a.rule} on {a.source}, {a.subject}, at {a.time_s:.1f} s" for a in left]
    missed = len(expected) - len(delays)
    return Result(len(delays), len(left), missed, tuple(delays), sum(spans.values()), wrong=tuple(wrong))


def _in_time(delay: float) -> bool:
    return -EARLY_S - _ROUNDING <= delay <= TOLERANCE_S + _ROUNDING


def _due(truth: Truth, dwell_of: DwellOf) -> float:
    return truth.alarm_s if truth.alarm_s is not None else truth.start_s + dwell_of(truth.rule, truth.subject)


def _spans(truth: Sequence[Truth], alarms: Sequence[Alarm]) -> dict[str, float]:
    """Per camera, the last moment that truth or alarms speak of."""
    spans: dict[str, float] = {}
    for source, time in [(a.source, a.time_s) for a in alarms] + [
        (t.source, t.end_s if math.isfinite(t.end_s) else t.alarm_s or t.start_s) for t in truth
    ]:
        spans[source] = max(spans.get(source, 0.0), time)
    return spans


class Configured(Protocol):
    """What is needed of a configuration: its rules and sources by id."""

    @property
    def rules(self) -> Mapping[str, Any]: ...
    @property
    def sources(self) -> Mapping[str, Any]: ...


def score_documents(
    config: Configured, truth: Path, documents: Iterable[bytes | str], seconds: Mapping[str, float] | None = None
) -> Result:
    """The score of CloudEvents, with the dwells of the configured rules. SmartboxError names a bad line."""

    def dwell_of(rule: str, subject: str) -> float:
        return float(config.rules[rule].alarm_after(subject))

    return score(truth_for(config, truth), read_alarms(documents), dwell_of, seconds)


def truth_for(config: Configured, path: Path) -> list[Truth]:
    """The truth in a file, which must speak of configured rules and sources. SmartboxError says what does not."""
    known = read_truth(path)
    for number, item in enumerate(known, 1):
        for what, name, configured in (("rule", item.rule, config.rules), ("source", item.source, config.sources)):
            if name not in configured:
                names = ", ".join(sorted(configured)) or "none"
                text = f"{path}: entry {number}: {name!r} is no {what} of the configuration; it has {names}"
                raise SmartboxError(text)
    return known


def read_truth(path: Path) -> list[Truth]:
    """The lines of a truth file. SmartboxError names the file, the line and what would be right."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise SmartboxError(f"{path} cannot be read: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise SmartboxError(f"{path} cannot be read: it is no text; a line is {_EXAMPLE}") from e
    entries = [_truth(line, f"{path}:{n}") for n, line in enumerate(lines, 1) if line.strip()]
    return [entry for entry in entries if entry is not None]


_EXAMPLE = json.dumps(asdict(Truth("lane", "east", "track:1", 12.0, 95.5)) | {"alarm_s": 72.0})
_LENIENT = ConfigDict(frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)


class _TruthLine(BaseModel):
    model_config = _LENIENT
    rule: str
    source: str
    subject: str = ""
    start_s: float
    end_s: float | None = None
    alarm_s: float | None = None

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end_s is not None and self.end_s < self.start_s:
            raise ValueError(f"end_s {self.end_s:g} is before start_s {self.start_s:g}")
        return self


def _truth(line: str, where: str) -> Truth | None:
    """None: what `simulate` says of a single frame."""
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and "boxes" in entry:
            return None
        told = _TruthLine.model_validate(entry)
    except ValidationError as e:
        raise SmartboxError(f"{where}: {problems_of(e, _TruthLine, '')[0]}; a truth line is {_EXAMPLE}") from None
    except (ValueError, RecursionError):
        raise SmartboxError(f"{where}: no JSON; a truth line is {_EXAMPLE}") from None
    end = math.inf if told.end_s is None else told.end_s
    return Truth(told.rule, told.source, told.subject, told.start_s, end, told.alarm_s)


class _Id(BaseModel):
    model_config = _LENIENT
    id: str


class _Clock(BaseModel):
    model_config = _LENIENT
    monotonic_s: float


class _Object(BaseModel):
    model_config = _LENIENT
    subject: str


class _Begin(BaseModel):
    model_config = _LENIENT
    rule: _Id
    camera: str
    clock: _Clock
    objects: tuple[_Object, ...] = ()


class _CloudEvent(BaseModel):
    model_config = _LENIENT
    id: str
    source: str
    type: str
    data: dict[str, Any]


def read_alarms(documents: Iterable[bytes | str]) -> list[Alarm]:
    """The begins among CloudEvents, system events left out, each id once (delivery is at least once)."""
    alarms: dict[tuple[str, str], Alarm] = {}
    for number, document in enumerate(documents, 1):
        if not document.strip():
            continue
        try:
            event = _CloudEvent.model_validate_json(document)
            if event.type.startswith("smartbox.system.") or event.data.get("phase") != "begin":
                continue
            begin = _Begin.model_validate(event.data)
        except ValidationError as e:
            problem = problems_of(e, _CloudEvent, "")[0]
            raise SmartboxError(f"event {number} is not a CloudEvent of a smartbox: {problem}") from None
        subject = begin.objects[0].subject if begin.objects else ""
        alarms[event.source, event.id] = Alarm(begin.rule.id, begin.camera, subject, begin.clock.monotonic_s)
    return list(alarms.values())


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
