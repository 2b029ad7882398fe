"""Stationary foreground: what was put down and stays, though no model knows its name. Pure, in seconds.

`Ground` says where the place looks different for good. Here that becomes objects:

  candidate -> judged by its edges: an object has edges where the place had none; where something was taken away the
  place had them; light and shade leave the place's own edges to be seen -> followed by its edges, whatever the light.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np

from smartbox.ground import Ground, Mask
from smartbox.luma import Edges, shrink
from smartbox.outlines import BOX, Slices, alike, creeps, edges_at, extent, judge
from smartbox.settings import Duration, Settings
from smartbox.types import Box, Fault, Floats, Image, Static, Track

ROWS = 180  # the small picture's height: a bag of a twentieth of the picture is nine pixels high
GAP = 30.0  # s without a picture after which the fast memory is worth nothing
AROUND = 0.1  # of a track's box, that is taken for its own on each side: shade, a load, a door
DOUBT = 0.2  # more than this share of what stood there in the memory of the place: it says nothing of what came
MANY = 5  # things at one moment: nobody puts down so many, the place itself looks different
PARTS = 7  # parts that change at one moment, whatever they are: the sun has come out, or the picture is another one
TURN = 60.0  # s: so many parts within so long, one soon after the other, and the sun comes out slowly
CALM = 15.0  # s without such a part after which what comes is none of them
SPECK = 0.02  # of the picture's height: a part with no longer side tells nothing, not even of the light
VAST = 0.12  # share of the picture that no single thing is
MOMENT = 3.0  # s: what changes at one moment is known to have changed within so long, the more so the fainter it is
LAG = 6.0  # s: as long before an object may lie there that the fast memory shows at that moment
STANDS = 2.0  # s without movement after which a track is no passer-by
YIELDS = 600.0  # s, time constant with which the place takes over what changed and what nobody could judge
PARKED = 60.0  # the same for what stands there and has a name: when it is missed for once it must be no object
FOLLOWS = 20.0  # s, time constant with which an object's look follows the light on it
DOUBTED = 0.65  # score below which a track that began on an object, and never moved, may be a mistake: a bag, no car
SMALLER = 0.5  # share of an object below which a part that touches it is of it: a handle, a strap
SEATED = 300.0  # the same for persons: what they put down beside them must not be taken over as well


class ForegroundSettings(Settings):
    """What counts as put down. Shares are those of the picture."""

    every: Duration = 0.5
    """Seconds between two looks: what stays need not be looked at more often."""
    learn: Duration = 5.0
    """Seconds after which the place is known; what is there then belongs to it."""
    settle: Duration = 4.0
    """Seconds for which a change must keep still before it is judged."""
    min_size: float = 0.03
    """The longer side of the smallest object, as a share of the picture's height; of what is smaller, too few pixels
    are left to tell a thing from a change of the light."""
    max_area: float = 0.25
    """A change of more than this share of the picture is none of things: light, fog, another view."""
    alike: float = 0.75
    """Share of its usual likeness to itself that an object must keep to be found again; a person stirs, it does not."""
    forget: Duration = 10.0
    """Seconds after which an object that is not found, with nothing in front of it, is given up."""
    covered: Duration = 60.0
    """The same while something that the model knows stands in front of it."""


@dataclass(slots=True, eq=False)
class _Thing:
    """An object: where it is, how its edges look, since when it is there and when it was last found (s).

    alike: how much its edges are now those that it had, 0–1; usual: the same as noise and rain let it be.
    """

    id: int
    where: Slices
    mask: Mask
    edges: Edges
    since: float
    found: float
    alike: float = 1.0
    usual: float = 1.0

    def grow(self, ground: Ground, body: Mask) -> None:
        """Take in what touches it; where it was before it is known by the edges that it had."""
        body[self.where] |= self.mask
        edges, where = np.zeros(body.shape, np.complex64), extent(body)
        edges[where] = edges_at(ground.fast, where)
        edges[self.where][self.mask] = self.edges[self.mask]
        self.where, self.mask, self.edges = where, body[where], edges[where]


class Foreground:
    """The stationary foreground of one camera."""

    def __init__(self, settings: ForegroundSettings | None = None) -> None:
        self.settings = settings or ForegroundSettings()
        self._ground: Ground | None = None
        self._things: list[_Thing] = []
        self._listed: tuple[Static, ...] = ()
        self._ids = count(1)
        self._began = self._time = 0.0
        self._turned: float  # when many parts of the place changed at one moment
        self._came: list[float]  # when parts changed, of the last while, one soon after the other
        self._forget_light()

    def update(
        self, time: float, luma: Image, tracks: Sequence[Track] = (), faults: Collection[Fault] = ()
    ) -> tuple[Static, ...]:
        """luma: H x W. What lies there at `time`; tracks are what the model knows, and never such an object.

        On a picture that shows nothing, nothing is learnt; when it was the view that moved, all begins anew.
        """
        if set(faults) - {"frozen"} and self._ground is not None:
            self._listed = ()
            if "moved" in faults:
                self._begin_anew(time)
            return ()
        ground, step = self._ground, time - self._time
        if ground is not None and 0 <= step < self.settings.every - 5e-4:
            return self._listed
        now = shrink(luma, ROWS)
        self._time = time
        if ground is None or ground.fast.shape != now.shape or step < 0:
            self._ground, self._things, self._listed, self._began = Ground(now), [], (), time
            self._forget_light()
            return ()
        known = _painted(now.shape, [t.xyxy for t in tracks])
        if step > GAP:
            ground.fast[:] = now
            ground.age[:] = 0.0
        elif time - self._began < self.settings.learn:
            ground.learn(now, step, known)
            return ()
        parked, seated = (_painted(now.shape, boxes) for boxes in _standing(tracks, time))
        ground.update(now, min(step, GAP), self._yields(min(step, GAP), parked, seated))
        self._follow(ground, known, time, min(step, GAP))
        self._discover(ground, known, parked | seated, time, min(step, GAP))
        self._listed = tuple(self._list(tracks, now.shape))
        return self._listed

    def _yields(self, step: float, parked: Mask, seated: Mask) -> Floats:
        rates = np.full(parked.shape, 1 - np.exp(-step / YIELDS), np.float32)
        rates[parked] = 1 - np.exp(-step / PARKED)
        rates[seated] = 1 - np.exp(-step / SEATED)
        rates[self._kept(parked.shape)] = 0.0
        return rates

    def _kept(self, shape: tuple[int, ...]) -> Mask:
        """Where things lie."""
        kept = np.zeros(shape, bool)
        for thing in self._things:
            kept[thing.where] |= thing.mask
        return kept

    def _follow(self, ground: Ground, known: Mask, time: float, step: float) -> None:
        """Look whether each object is still there; give up those that have not been for long."""
        for thing in list(self._things):
            here = edges_at(ground.fast, thing.where)
            thing.alike = alike(thing.edges, here, thing.mask)
            if thing.alike >= self.settings.alike * thing.usual:
                weight = 1 - np.exp(-step / FOLLOWS)
                thing.found, thing.usual = time, thing.usual + weight * (thing.alike - thing.usual)
                thing.edges = (thing.edges + weight * (here - thing.edges)).astype(np.complex64)
                continue
            covered = bool(known[thing.where][thing.mask].mean() > 0.2)
            if time - thing.found > (self.settings.covered if covered else self.settings.forget):
                self._things.remove(thing)
                whole = np.zeros(known.shape, bool)
                whole[thing.where] = thing.mask
                # What was put down is gone; or it changed, and that which stays has to stay as long again.
                ground.age[whole] = 0.0
                if judge(ground, whole) != "object":
                    ground.absorb(whole)

    def _discover(self, ground: Ground, known: Mask, standing: Mask, time: float, step: float) -> None:
        """Judge what has kept still for long enough and is nobody's yet."""
        changed = (ground.age > 0.5) & ~self._kept(known.shape)
        if changed.mean() > self.settings.max_area:
            self._begin_anew(time, self._things)
            return
        parts = [(where, mask, float(np.median(ground.age[where][mask]))) for where, mask in _blobs(changed)]
        if sum(self._is_fresh(mask, age, MOMENT / 2) for _, mask, age in parts) > PARTS:
            self._turn(time - self.settings.settle)
        elif self._came_slowly(parts, time, step):
            self._turn(self._came[0])
        before = len(self._things)
        for where, mask, kept in parts:
            whole = np.zeros(known.shape, bool)
            whole[where], age = mask, kept
            if (whole & standing).sum() > 0.1 * whole.sum():  # somebody stands there: that is him, or he is with it
                ground.age[whole] = age = 0.0
            if age < self.settings.settle:
                continue
            if (whole & known).any():  # somebody passes, or stands beside it: later, unless it is but light
                bare = whole & ~known
                if not (whole & known & ~standing).any() and judge(ground, bare) == "light":
                    ground.absorb(bare)
                continue
            turned = abs(time - age - self._turned) < MOMENT or (len(self._came) > PARTS and time - age > self._came[0])
            gone = np.median(ground.doubt[where][mask]) > DOUBT  # what stood there went away: this is the place
            small = max(mask.shape) < self.settings.min_size * ROWS
            if turned or gone or small or mask.sum() > VAST * whole.size:
                ground.absorb(whole)
            else:
                self._decide(ground, whole, age, time)
        if len(self._things) - before > MANY:
            self._begin_anew(time, self._things[:before])

    def _is_fresh(self, mask: Mask, age: float, within: float) -> bool:
        """Whether a part is no speck and has kept still for long enough since `within` s."""
        return 0 <= age - self.settings.settle < within and max(mask.shape) >= SPECK * ROWS

    def _came_slowly(self, parts: Sequence[tuple[Slices, Mask, float]], time: float, step: float) -> bool:
        """Whether as many parts have changed as do at one moment when the sun comes out, but one after the other."""
        fresh = [time - age for _, mask, age in parts if self._is_fresh(mask, age, step)]
        if fresh:
            last = max(self._came, default=time)
            self._came = [t for t in self._came if time - t < TURN] if min(fresh) - last < CALM else []
            self._came = sorted(self._came + fresh)
        elif self._came and time - self.settings.settle - self._came[-1] > CALM:
            self._came = []
        return len(self._came) > PARTS

    def _turn(self, since: float) -> None:
        """The place looks different since then; what was taken for objects of that time is the place."""
        self._turned = since
        self._things = [thing for thing in self._things if thing.since < since - LAG]

    def _begin_anew(self, time: float, keep: Sequence[_Thing] = ()) -> None:
        """The place as such looks different."""
        assert self._ground is not None
        self._ground.restart()
        self._things, self._began = list(keep), time
        self._forget_light()

    def _forget_light(self) -> None:
        """No change of the light is known."""
        self._turned, self._came = float("-inf"), []

    def _decide(self, ground: Ground, whole: Mask, age: float, time: float) -> None:
        """age: how long (s) the part has kept still."""
        verdict = "unclear" if creeps(ground, whole) else judge(ground, whole)
        if verdict == "object":
            self._add(ground, whole, time - age - ground.lag(whole), time)
        elif verdict != "unclear" or age > 4 * self.settings.settle:
            ground.absorb(whole)

    def _add(self, ground: Ground, whole: Mask, since: float, time: float) -> None:
        """An object of its own, unless it is but a smaller part that touches one: that takes it in."""
        body = cv2.dilate(whole.astype(np.uint8), BOX).astype(bool)
        for thing in self._things:
            if body.sum() < SMALLER * thing.mask.sum() and (body[thing.where] & thing.mask).any():
                thing.grow(ground, body)
                return
        where = extent(body)
        self._things.append(_Thing(next(self._ids), where, body[where], edges_at(ground.fast, where), since, time))

    def _list(self, tracks: Sequence[Track], shape: tuple[int, ...]) -> Iterator[Static]:
        """Those that are found, and are not something that the model knows by now."""
        for thing in (t for t in self._things if t.found == self._time):
            box = _box(thing.where, shape)
            names = [t for t in tracks if _same(box, t.xyxy)]
            if all(_is_doubtful(t, thing) for t in names):
                yield Static(thing.id, box, min(1.0, thing.alike), thing.since, mistaken=bool(names))


def _is_doubtful(track: Track, thing: _Thing) -> bool:
    """The model began to see something only where an object lay already, it never moved, and it is not sure of it."""
    return track.score < DOUBTED and track.moved_at == track.first_seen > thing.since


def _standing(tracks: Sequence[Track], time: float) -> tuple[list[Box], list[Box]]:
    """The boxes of what stands: of vehicles and other things with a name, and of persons."""
    boxes: tuple[list[Box], list[Box]] = ([], [])
    for track in tracks:
        if time - track.moved_at >= STANDS:
            boxes[track.label == "person"].append(track.xyxy)
    return boxes


def _painted(shape: tuple[int, ...], boxes: Sequence[Box]) -> Mask:
    """Where any of the boxes is, each a little larger than it is."""
    mask = np.zeros(shape, bool)
    rows, cols = shape
    for x0, y0, x1, y1 in boxes:
        dx, dy = AROUND * (x1 - x0), AROUND * (y1 - y0)
        top, left = int(max(0.0, y0 - dy) * rows), int(max(0.0, x0 - dx) * cols)
        mask[top : int(np.ceil((y1 + dy) * rows)), left : int(np.ceil((x1 + dx) * cols))] = True
    return mask


def _blobs(mask: Mask) -> Iterator[tuple[Slices, Mask]]:
    """Connected parts of `mask`, cracks closed and whiskers cut off: where, and the part there."""
    if not mask.any():
        return
    grid = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    grid = cv2.morphologyEx(grid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(grid, connectivity=8)
    for i in range(1, n):
        x, y, w, h, _ = (int(v) for v in stats[i])
        where = (slice(y, y + h), slice(x, x + w))
        yield where, labels[where] == i


def _box(where: Slices, shape: tuple[int, ...]) -> Box:
    rows, cols = where
    return cols.start / shape[1], rows.start / shape[0], cols.stop / shape[1], rows.stop / shape[0]


def _same(a: Box, b: Box) -> bool:
    """Whether half of `a` lies in `b`."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return wide > 0 and high > 0 and wide * high > 0.5 * (a[2] - a[0]) * (a[3] - a[1])
