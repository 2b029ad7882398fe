"""A picture of what one rule made of a recording: when its condition held, how the dwell grew, what became an event.

Pure drawing with OpenCV, which the box has anyway. One lane per subject, those that came nearest to an event first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from smartbox.types import Image

Colour = tuple[int, int, int]  # BGR
Mark = Literal["candidate", "settled", "open", "held", "cooling"]
Watch = Literal["on", "off", "blind"]

LANES = 16
"""Subjects that are drawn; more are counted below."""
_WIDTH, _LEFT, _RIGHT, _TOP, _LANE, _BOTTOM = 1400, 190, 24, 62, 58, 62
_STRIP, _CURVE = 9, 34  # heights within a lane: the condition above, the curves below
_PAPER: Colour = (252, 252, 252)
_INK: Colour = (40, 36, 34)
_FAINT: Colour = (222, 220, 218)
_HOLDS: dict[bool | None, Colour] = {True: (96, 168, 56), False: (205, 203, 200), None: (70, 190, 240)}
_DWELL: Colour = (190, 110, 30)
_SHARE: Colour = (170, 150, 150)
_OPEN: Colour = (60, 60, 225)
_STATES: dict[str, Colour] = {"open": _OPEN, "held": (70, 190, 240), "cooling": (190, 160, 200)}
_WATCHES: dict[Watch, Colour] = {"on": _PAPER, "off": (232, 230, 228), "blind": (214, 234, 248)}
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(slots=True)
class Span:
    """From `start` to `end` s the condition and the state stayed the same; shares run from the first to the second.

    progress: of the time to the event, 0–1.
    """

    start: float
    end: float
    holds: bool | None
    state: Mark
    share: tuple[float, float]
    progress: tuple[float, float]


@dataclass(slots=True)
class Lane:
    """One subject."""

    name: str
    spans: list[Span] = field(default_factory=list)

    @property
    def nearest(self) -> tuple[bool, float]:
        """How near it came to an event."""
        return any(s.state == "open" for s in self.spans), max((s.progress[1] for s in self.spans), default=0.0)


@dataclass(frozen=True, slots=True)
class Timeline:
    """watches: (start, end, state) of the rule; needed: the share that a begin needs, 0 where one moment is enough."""

    title: str
    lanes: Sequence[Lane]
    watches: Sequence[tuple[float, float, Watch]]
    start: float
    end: float
    needed: float


def draw(timeline: Timeline) -> Image:
    """BGR, 1400 wide."""
    lanes = sorted(timeline.lanes, key=lambda lane: lane.nearest, reverse=True)[:LANES]
    height = _TOP + max(1, len(lanes)) * _LANE + _BOTTOM
    canvas = np.full((height, _WIDTH, 3), _PAPER, np.uint8)
    for start, end, watch in timeline.watches:
        x0, x1 = _x(timeline, start), _x(timeline, end)
        cv2.rectangle(canvas, (x0, _TOP), (max(x0, x1), height - _BOTTOM), _WATCHES[watch], cv2.FILLED)
    _axis(canvas, timeline)
    _text(canvas, timeline.title, (12, 24), 0.56)
    _legend(canvas)
    for i, lane in enumerate(lanes):
        _lane(canvas, timeline, lane, _TOP + i * _LANE)
    if not lanes:
        nothing = "the condition never held" if timeline.needed else "nothing crossed, or not far enough"
        _text(canvas, nothing, (_LEFT + 12, _TOP + _LANE // 2), 0.5)
    if left := len(timeline.lanes) - len(lanes):
        _text(canvas, f"and {left} more that came less far", (12, height - 14), 0.42)
    return canvas


def _lane(canvas: Image, timeline: Timeline, lane: Lane, top: int) -> None:
    base = top + 8 + _STRIP + _CURVE
    _text(canvas, lane.name[:26], (12, top + 24), 0.42)
    cv2.line(canvas, (_LEFT, base), (_WIDTH - _RIGHT, base), _FAINT, 1)
    if timeline.needed:
        _dashes(canvas, base - round(timeline.needed * (_CURVE - 4)))
    for span in lane.spans:
        x0, x1 = _x(timeline, span.start), max(_x(timeline, span.end), _x(timeline, span.start) + 1)
        cv2.rectangle(canvas, (x0, top + 4), (x1, top + 4 + _STRIP), _HOLDS[span.holds], cv2.FILLED)
        if colour := _STATES.get(span.state):
            cv2.rectangle(canvas, (x0, base + 1), (x1, base + 5), colour, cv2.FILLED)
        for values, line, width in ((span.share, _SHARE, 1), (span.progress, _DWELL, 2)):
            a, b = (base - round(min(1.0, v) * (_CURVE - 4)) for v in values)
            cv2.line(canvas, (x0, a), (x1, b), line, width, cv2.LINE_AA)


def _dashes(canvas: Image, y: int) -> None:
    for x in range(_LEFT, _WIDTH - _RIGHT, 12):
        cv2.line(canvas, (x, y), (x + 4, y), _FAINT, 1)


def _axis(canvas: Image, timeline: Timeline) -> None:
    bottom = canvas.shape[0] - _BOTTOM
    step = _step(timeline.end - timeline.start)
    tick = np.ceil(timeline.start / step) * step
    while tick <= timeline.end + 1e-9:
        x = _x(timeline, float(tick))
        cv2.line(canvas, (x, _TOP), (x, bottom + 4), _FAINT, 1)
        _text(canvas, _clock(float(tick), step), (x - 12, bottom + 18), 0.38)
        tick += step


def _legend(canvas: Image) -> None:
    x, y = 12, 46
    entries: list[tuple[str, Colour]] = [
        ("holds", _HOLDS[True]),
        ("does not", _HOLDS[False]),
        ("nobody can say", _HOLDS[None]),
        ("dwell (full height: event)", _DWELL),
        ("share of frames (dashes: needed)", _SHARE),
        ("episode", _OPEN),
        ("cooldown", _STATES["cooling"]),
        ("schedule off", _WATCHES["off"]),
        ("blind", _WATCHES["blind"]),
    ]
    for name, colour in entries:
        cv2.rectangle(canvas, (x, y - 9), (x + 14, y), colour, cv2.FILLED)
        cv2.rectangle(canvas, (x, y - 9), (x + 14, y), _FAINT, 1)
        _text(canvas, name, (x + 19, y), 0.4)
        (width, _), _ = cv2.getTextSize(name, _FONT, 0.4, 1)
        x += width + 36


def _x(timeline: Timeline, time: float) -> int:
    share = (time - timeline.start) / max(1e-9, timeline.end - timeline.start)
    return _LEFT + round(min(1.0, max(0.0, share)) * (_WIDTH - _LEFT - _RIGHT))


def _step(seconds: float) -> float:
    """Seconds between ticks, so that there are at most a dozen."""
    steps = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    return next((float(s) for s in steps if seconds / s <= 12), seconds / 12)


def _clock(time: float, step: float) -> str:
    if step < 60:
        return f"{time:g} s"
    hours, minutes = divmod(round(time / 60), 60)
    return f"{hours}:{minutes:02d} h" if hours else f"{minutes} min"


def _text(canvas: Image, text: str, at: tuple[int, int], scale: float) -> None:
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(canvas, plain, at, _FONT, scale, _INK, 1, cv2.LINE_AA)
