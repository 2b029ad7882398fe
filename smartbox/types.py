"""The vocabulary: what flows through smartbox, with its shapes and units.

Coordinates are 0–1 of the frame, x to the right, y down; boxes are xyxy. Times are seconds of the
monotonic clock unless a name says utc (epoch seconds).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
Point = tuple[float, float]
Image = NDArray[np.uint8]  # H x W x 3 BGR, or H x W luma
Floats = NDArray[np.float32]

Severity = Literal["info", "low", "medium", "high", "critical"]
EventClass = Literal["alarm", "notice", "system"]
Phase = Literal["begin", "update", "end"]
EndReason = Literal["cleared", "schedule", "source_lost", "config", "restart", "max_duration"]
SlotState = Literal["free", "occupied", "unknown"]


class Frame:
    """One picture of a source. Pixels are converted on first use, then kept.

    time: monotonic s at capture; utc: epoch s; image: H x W x 3 uint8 BGR; luma: H x W uint8.
    """

    __slots__ = ("_bgr", "_luma", "_make_bgr", "_make_luma", "height", "seq", "source", "time", "utc", "width")

    def __init__(
        self,
        source: str,
        seq: int,
        time: float,
        utc: float,
        size: tuple[int, int],
        make_bgr: Callable[[], Image],
        make_luma: Callable[[], Image] | None = None,
    ) -> None:
        self.source = source
        self.seq = seq
        self.time = time
        self.utc = utc
        self.width, self.height = size
        self._make_bgr = make_bgr
        self._make_luma = make_luma
        self._bgr: Image | None = None
        self._luma: Image | None = None

    @classmethod
    def of(cls, source: str, seq: int, time: float, utc: float, image: Image) -> "Frame":
        """A frame of a BGR picture that exists already."""
        height, width = image.shape[:2]
        return cls(source, seq, time, utc, (width, height), lambda: image)

    @property
    def image(self) -> Image:
        """H x W x 3 uint8, BGR."""
        if self._bgr is None:
            self._bgr = self._make_bgr()
        return self._bgr

    @property
    def luma(self) -> Image:
        """H x W uint8: the decoder's Y plane, or computed from BGR (BT.601)."""
        if self._luma is None:
            if self._make_luma is not None:
                self._luma = self._make_luma()
            else:
                wide = self.image.astype(np.uint16)  # numpy 1 keeps uint8 * a small scalar in 8 bits
                self._luma = ((wide[..., 0] * 29 + wide[..., 1] * 150 + wide[..., 2] * 77) >> 8).astype(np.uint8)
        return self._luma


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """A piece of mono sound: samples float32 in -1..1 at `rate` Hz; `time` is that of its first sample."""

    source: str
    seq: int
    time: float
    utc: float
    rate: int
    samples: Floats


Sample = Frame | AudioChunk


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """n boxes of one frame: xyxy (n x 4 float32), score (n float32), class_id (n int64) into `labels`."""

    xyxy: Floats
    score: Floats
    class_id: NDArray[np.int64]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.score)
        if self.xyxy.shape != (n, 4) or self.class_id.shape != (n,):
            raise ValueError(f"Detections of unequal length: {self.xyxy.shape}, {n}, {self.class_id.shape}")

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> "Detections":
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), labels)

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, index: Any) -> "Detections":
        """The subset that a mask or an index array selects."""
        return Detections(self.xyxy[index], self.score[index], self.class_id[index], self.labels)

    def label(self, i: int) -> str:
        return self.labels[int(self.class_id[i])]


@dataclass(frozen=True, slots=True, eq=False)
class Sounds:
    """What was heard in one chunk: score (k, 0–1) per label."""

    score: Floats
    labels: tuple[str, ...]

    def of(self, label: str) -> float:
        return float(self.score[self.labels.index(label)])


@dataclass(frozen=True, slots=True)
class Track:
    """One object over time.

    moved_at: last time it really moved; trail: its bottom-centre anchor before and now, for crossings;
    seen: it was matched by a detection in this scene (else it is predicted or carried on).
    """

    id: int
    label: str
    xyxy: Box
    score: float
    first_seen: float
    last_seen: float
    moved_at: float
    trail: tuple[Point, Point]
    seen: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Change of the picture on a coarse grid: rate (rows x cols): share of changed pixels per second."""

    rate: Floats

    def within(self, box: Box) -> float:
        """Mean rate over the cells that `box` touches."""
        rows, cols = self.rate.shape
        x0, x1 = int(max(0.0, box[0]) * cols), int(np.ceil(min(1.0, box[2]) * cols))
        y0, y1 = int(max(0.0, box[1]) * rows), int(np.ceil(min(1.0, box[3]) * rows))
        cells = self.rate[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        return float(cells.mean()) if cells.size else 0.0


Fault = Literal["dark", "bright", "blurred", "frozen", "moved"]


@dataclass(frozen=True, slots=True)
class Static:
    """Stationary foreground: something was put down and stays, and it bears no label that the model knows.

    score: how much it still looks as when it came to rest, 0–1; since: when it came to rest, s; mistaken: the model
    takes it for something that it knows, but began to only when it lay there, and is not sure of it.
    """

    id: int
    xyxy: Box
    score: float
    since: float
    mistaken: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All that a rule may look at, for one source at one moment.

    inferred: detections are of this very frame; otherwise tracks are carried on.
    motion: None when unknown. static: empty unless a rule of the source asks for it.
    picture: faults of the picture; faulty_since: since when (s) each of them was seen. postures: per track id,
    label -> score.
    slots: per slot zone id, label -> score (empty until a slot classifier is configured).
    """

    source: str
    time: float
    utc: float
    tracks: tuple[Track, ...] = ()
    sounds: Sounds | None = None
    inferred: bool = True
    motion: Motion | None = None
    static: tuple[Static, ...] = ()
    picture: frozenset[Fault] = frozenset()
    postures: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    slots: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    faulty_since: Mapping[Fault, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class View:
    """The inverse of a letterbox or crop: model pixels -> 0–1 of the frame.

    frame = (model_pixel - offset) * scale, per axis (x, y).
    """

    scale: Point
    offset: Point

    def to_frame(self, xyxy: Floats) -> Floats:
        """Boxes (n x 4) in model pixels -> 0–1 of the frame, clipped."""
        sx, sy = self.scale
        ox, oy = self.offset
        boxes = (xyxy - np.array([ox, oy, ox, oy], np.float32)) * np.array([sx, sy, sx, sy], np.float32)
        return np.clip(boxes, 0.0, 1.0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Match:
    """ "The condition holds for this subject now."

    subject: `track:17`, `object:4`, `slot:P3`, `post:gate`, `sound:siren`, `lot`; zone: the zone's id or None;
    detail: extra facts for the event's data (`basis: still`, crossing direction …);
    since: where it is known to have held before anybody could say so (s), from when; else None.
    """

    subject: str
    label: str
    score: float
    xyxy: Box | None = None
    zone: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that shows what happened: kind jpeg · mp4; name inside the evidence directory."""

    kind: str
    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model said so."""

    name: str
    version: str
    sha256: str
    backend: str


@dataclass(frozen=True, slots=True)
class Why:
    """How sure a rule is that it holds.

    share: of the last `window_s` seconds in which it held; a begin needs `enter_share` after `needs_s` seconds, an end
    a share below `exit_share`.
    """

    share: float
    window_s: float
    enter_share: float
    exit_share: float
    needs_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """One message to the cloud; `cloudevent.to_json` writes it as wire.md says.

    Pipeline fills everything but seq, session, replayed and evidence, which the outbox assigns.
    id, episode: UUIDv7. time_utc: of the sample that made it. subject: `{source}/{zone}`.
    """

    id: str
    cls: EventClass
    kind: str
    phase: Phase
    time_utc: float
    monotonic: float
    severity: Severity
    rule: str
    camera: str
    zone: str | None
    episode: str
    started_utc: float
    dwell_s: float
    ended_utc: float | None = None
    end_reason: EndReason | None = None
    objects: tuple[Match, ...] = ()
    model: ModelRef | None = None
    synchronised: bool = True
    detail: Mapping[str, Any] = field(default_factory=dict)
    why: Why | None = None
    evidence: tuple[Evidence, ...] = ()
    seq: int = 0
    session: int = 0
    replayed: bool = False
