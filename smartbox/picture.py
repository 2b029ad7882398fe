"""What is wrong with a camera's picture: dark, bright, blurred, frozen, or turned to another view. Pure, in seconds."""

from collections import deque
from collections.abc import Mapping

import cv2
import numpy as np

from smartbox.luma import Edges, edges_of, shrink
from smartbox.settings import Duration, Settings
from smartbox.types import Fault, Image

LEARN = 5.0  # s of good pictures after which this camera's own sharpness and view are known
PAUSES = 20  # between news that are remembered: of a camera that shows its noise those of ten seconds
GAP = 5.0  # s without a picture: nothing is concluded over it


class PictureSettings(Settings):
    """When a picture is called faulty. Grey levels are those of video: 16 black, 235 white."""

    dark: float = 40.0
    """The picture is dark when 95 % of its pixels are below this grey level."""

    bright: float = 215.0
    """The picture is bright when 80 % of its pixels are above this grey level."""

    blurred: float = 0.5
    """The picture is blurred when its edges are this many times as steep as this camera's usually are."""

    hold: Duration = 3.0
    """How long a fault has to last before it is reported, and be gone before it is taken back."""

    frozen: Duration = 10.0
    """The picture is frozen when nothing new came for so long. Longer than the camera's key frame interval:
    a camera that codes noise away shows news in key frames only."""

    moved: float = 0.03
    """The view moved when it matches better this share of the picture's height away from where it was."""

    accept: Duration = 60.0
    """A moved view that stays for so long is the new usual view."""


class PictureCheck:
    """Judges twice a second; each fault comes and goes with `hold`, so that fog or dusk does not flap."""

    def __init__(self, settings: PictureSettings | None = None, every: float = 0.5) -> None:
        self.settings = settings or PictureSettings()
        self.every = every
        self._next = -np.inf
        self._faults: frozenset[Fault] = frozenset()
        self._since: dict[Fault, float] = {}
        self._differs: dict[Fault, float] = {}  # since when what is seen differs from what is reported
        self._news = _News()
        self._focus = _Focus()
        self._view = _View()

    def update(self, time: float, luma: Image) -> frozenset[Fault]:
        """luma: H x W. The faults that hold at `time`; constant between two checks."""
        if time < self._next and self._next - time <= self.every:
            return self._faults
        if time - self._next > GAP:
            self._differs.clear()
            self._news = _News()
        self._next = time + self.every
        now = self._look(time, luma)
        for fault in {*now, *self._faults, *self._differs}:
            self._settle(time, fault, fault in now)
        return self._faults

    @property
    def since(self) -> Mapping[Fault, float]:
        """Of each fault that holds, since when (s) it was to be seen: before it could be said."""
        return dict(self._since)

    def _settle(self, time: float, fault: Fault, here: bool) -> None:
        """Report or take back `fault` once it differed from what is reported for `hold` seconds."""
        if here == (fault in self._faults):
            self._differs.pop(fault, None)
        elif time - self._differs.setdefault(fault, time) >= self.settings.hold:
            began = self._differs.pop(fault)
            self._faults = self._faults | {fault} if here else self._faults - {fault}
            if here:
                self._since[fault] = began - (self.settings.frozen - self.settings.hold if fault == "frozen" else 0.0)
            else:
                del self._since[fault]

    def _look(self, time: float, luma: Image) -> set[Fault]:
        """The faults of this picture by itself; a fault that is reported has to be clearly gone."""
        settings, was = self.settings, self._faults
        low, high = grey_levels(luma)
        out: set[Fault] = set()
        if high < settings.dark + (10 if "dark" in was else 0):
            out.add("dark")
        elif low > settings.bright - (10 if "bright" in was else 0):
            out.add("bright")
        if out and "frozen" not in was:
            self._news.excuse(time)  # without light, or with all of it, even a live picture has no noise to tell it by
        # `hold` comes on top of what is found here, so a frozen picture is found that much earlier.
        elif time - self._news.last(time, luma) >= max(settings.frozen, self._news.patience) - settings.hold:
            out.add("frozen")
        if not out & {"dark", "bright"}:
            blurred = self._focus.lost(time, luma, settings.blurred * (1.3 if "blurred" in was else 1.0))
            if blurred:
                out.add("blurred")
            elif self._view.moved(time, luma, settings.moved, settings.accept):
                out.add("moved")
        return out


def grey_levels(luma: Image) -> tuple[int, int]:
    """The grey levels below which 20 % and 95 % of the pixels lie."""
    sample = np.ascontiguousarray(luma[::4, ::4])
    share = np.cumsum(cv2.calcHist([sample], [0], None, [256], [0, 256])) / sample.size
    return int(np.searchsorted(share, 0.2)), int(np.searchsorted(share, 0.95))


class _News:
    """When a picture last showed something that none of the last different pictures had shown.

    A frozen picture that is coded anew repeats itself from key frame to key frame; a live sensor's noise never does.
    """

    def __init__(self) -> None:
        self._pictures: deque[Image] = deque(maxlen=8)
        self._last: float | None = None
        self._pauses: deque[float] = deque(maxlen=PAUSES)

    @property
    def patience(self) -> float:
        """Thrice the longest pause (s) of late: an encoder that codes noise away pauses, and is not frozen for it."""
        return 3 * max(self._pauses, default=0.0)

    def excuse(self, time: float) -> None:
        """Nothing can be said of the picture of `time`: it counts as new, and as no pause."""
        self._last = time if self._last is not None else None

    def last(self, time: float, luma: Image) -> float:
        step = max(1, luma.shape[0] // 180)
        sample = np.ascontiguousarray(luma[::step, ::step])
        if self._last is None or all(_differ(sample, old) for old in self._pictures):
            if self._last is not None:
                self._pauses.append(time - self._last)
            self._pictures.append(sample)
            self._last = time
        return self._last


def _differ(a: Image, b: Image) -> bool:
    """More than one pixel in ten thousand differs by more than one grey level (or the size does)."""
    return a.shape != b.shape or int((cv2.absdiff(a, b) > 1).sum()) > a.size / 10_000


class _Focus:
    """Steepness of edges: difference over one pixel by difference over eight, each of the strongest ones.

    That ratio depends on neither light nor contrast. Where there are no edges (plain wall, fog) it says nothing.
    """

    def __init__(self) -> None:
        self._sharp = self._contrast = 0.0
        self._known = 0.0  # s of good pictures so far
        self._time: float | None = None

    def lost(self, time: float, luma: Image, ratio: float) -> bool:
        contrast, sharp = self._measure(luma)
        step = 0.0 if self._time is None else min(max(time - self._time, 0.0), 1.0)
        self._time = time
        if self._known >= LEARN:
            blunt = contrast >= 12 and sharp < ratio * self._sharp
            covered = contrast < 12 and contrast < 0.4 * ratio * self._contrast  # and it used to see much
            if blunt or covered:
                return True
        self._known += step
        self._sharp = self._learn(self._sharp, sharp, step) if contrast >= 12 else self._sharp
        self._contrast = self._learn(self._contrast, contrast, step)
        return False

    def _learn(self, usual: float, now: float, step: float) -> float:
        """Follows upwards within a minute and downwards within an hour; a plain mean at first."""
        if self._known < LEARN:
            return usual + (now - usual) * (step / self._known if self._known else 1.0)
        return usual + (now - usual) * step / (60.0 if now > usual else 3600.0)

    @staticmethod
    def _measure(luma: Image) -> tuple[float, float]:
        """Contrast (grey levels over eight pixels, of the strongest edges) and steepness (0–1)."""
        while luma.shape[0] >= 540:  # also averages the noise of a large picture away
            luma = cv2.resize(luma, (luma.shape[1] // 2, luma.shape[0] // 2), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        contrast = _strongest(luma, 8)
        return contrast, _strongest(luma, 1) / max(contrast, 1.0)


def _strongest(luma: Image, apart: int) -> float:
    """The difference between pixels `apart` that the strongest edges exceed, along rows and columns.

    A step of one pixel shows in as many pixels as the two compared are apart, so the share grows with `apart`.
    """
    counts = np.zeros(256)
    for a, b in ((luma[::2, apart:], luma[::2, :-apart]), (luma[apart:, ::2], luma[:-apart, ::2])):
        counts += cv2.calcHist([cv2.absdiff(a, b)], [0], None, [256], [0, 256]).ravel()
    share = np.cumsum(counts) / counts.sum()
    return float(np.searchsorted(share, 1 - 0.0006 * apart))


class _View:
    """Where the edges are, as directions (light does not matter), against a memory of about a minute."""

    def __init__(self) -> None:
        self._memory: Edges | None = None
        self._known = 0.0
        self._time: float | None = None
        self._moved_since: float | None = None

    def moved(self, time: float, luma: Image, least: float, accept: float) -> bool:
        edges = edges_of(shrink(luma))
        step = 0.0 if self._time is None else min(max(time - self._time, 0.0), 1.0)
        self._time = time
        if self._memory is None or self._memory.shape != edges.shape:
            self._memory, self._known, self._moved_since = edges, 0.0, None
            return False
        if self._known >= LEARN and _shifted(self._memory, edges, least):
            self._moved_since = time if self._moved_since is None else self._moved_since
            if time - self._moved_since < accept:
                return True
            self._memory, self._known = edges, 0.0
        self._moved_since = None
        self._known += step
        weight = step / min(max(self._known, step, 1e-3), 60.0)
        self._memory = ((1 - weight) * self._memory + weight * edges).astype(np.complex64)
        return False


def _shifted(memory: Edges, edges: Edges, least: float) -> bool:
    """Whether `edges` match `memory` much better away from where they were, or nowhere at all."""
    usual, here = float(np.vdot(memory, memory).real), float(np.vdot(memory, edges).real)
    if usual < 0.01 * memory.size or here >= 0.5 * usual:
        return False  # too plain a view to tell, or where it was
    match = np.fft.ifft2(np.fft.fft2(edges) * np.conj(np.fft.fft2(memory))).real
    rows, cols = match.shape
    dy, dx = divmod(int(match.argmax()), cols)
    away = max(min(dy, rows - dy), min(dx, cols - dx))
    return bool(here < 0.15 * usual or (away >= max(1.0, least * rows) and match[dy, dx] > 1.5 * here))
