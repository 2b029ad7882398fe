"""Detections of single frames -> objects that stay themselves. Pure, deterministic, in seconds.

Two rounds of association after ByteTrack (Zhang et al., 2022): sure detections first, faint ones only to keep
known objects going; then a third by distance for frame rates at which boxes no longer overlap. All tracks live
in one structured array; docs/design/tracking.md says what is promised and why.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from smartbox.geometry import iou_matrix
from smartbox.settings import Duration, Settings
from smartbox.tracks import (
    EDGE,
    MEASURED,
    RECORD,
    Rows,
    anchors,
    boxes,
    centres,
    correct,
    note_leaving,
    note_movement,
    predict,
    units,
)
from smartbox.types import Detections, Floats, Track

GONE = -np.inf
WATCHED = np.inf
WITHIN = 0.85
"""Share of the smaller of two boxes that lies in the larger one when both show one thing."""
COMPARABLE = 0.25
"""And their least overlap (IoU): a car before a bus is less of it."""
BESIDE = 0.4
"""Overlap (IoU) from which two boxes show one thing, neither in the other: two so close are told apart later."""

Index = NDArray[np.intp]
Flags = NDArray[np.bool_]


class TrackerSettings(Settings):
    """How objects are told apart and how long they are remembered."""

    high: float = 0.5
    """Detections of at least this score may begin an object."""

    low: float = 0.1
    """Detections from this score on keep an object going; fainter ones are ignored."""

    sure: float = 0.85
    """A detection of at least this score is believed at once, without a second one."""

    confirm: Duration = 0.15
    """Time that must lie between the first and a later detection before an object is believed."""

    coast: Duration = 1.0
    """How long a moving object that was not found is still listed (as not seen)."""

    coast_standing: Duration = 3.0
    """The same for a standing object; longer while something that is seen stands in front of it."""

    lost: Duration = 3.0
    """How long a moving object that was not found is remembered, to keep its id."""

    lost_standing: Duration = 45.0
    """The same for a standing object: longer than a lorry stands in front of a parked car."""

    faint: Duration = 1.0
    """How long faint detections alone keep a moving object going: a shadow on the floor must not take over the
    person who walked off, and hand him to the next one."""

    faint_standing: Duration = 3.0
    """The same for a standing object; it is remembered for longer, and found again by a sure detection."""

    settle: Duration = 2.0
    """An object that has not moved for so long is standing."""

    move_ratio: float = 0.15
    """It moved when two opposite edges went the same way by more than this share of its longer side."""

    groups: Mapping[str, str] = {
        "car": "vehicle",
        "van": "vehicle",
        "truck": "vehicle",
        "bus": "vehicle",
        "motorcycle": "cycle",
        "bicycle": "cycle",
    }
    """Labels that a detector confuses: a change within a group is the same object. Others are their own group."""


class Tracker:
    """Follows the objects of one source. Ids start at 1 and are never used again."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._rows: Rows = np.zeros(0, RECORD)
        self._votes: dict[int, dict[str, float]] = {}
        self._groups: dict[str, int] = {}
        self._time: float | None = None
        self._latest = 0.0
        self._next_id = 1

    def update(self, time: float, detections: Detections) -> tuple[Track, ...]:
        """Take the detections of the frame at `time`; list what is believed to be there, by id.

        Listed are confirmed objects that were found, and for a short while (`coast`) those that were not, with
        `seen` false. A time before the last one begins anew: nothing is known, ids go on.
        """
        step = 0.0 if self._time is None else time - self._time
        if step < 0:
            self._keep(np.zeros(len(self._rows), bool))
            step = 0.0
        self._time = self._latest = time
        self._forget_gap(time, step)
        predict(self._rows, ~self._standing(), step)
        xyxy, score, group, labels = self._sorted(detections)
        row, det = self._associate(time, xyxy, score, group)
        self._hit(time, row, det, xyxy, score, labels)
        explained, stands = np.zeros(len(score), bool), np.zeros(len(score), bool)
        explained[det], stands[det] = True, self._standing()[row]
        missed = np.ones(len(self._rows), bool)
        missed[row] = False
        self._miss(time, missed)
        new = (score >= self.settings.high) & ~explained
        if new.any():
            new &= ~repeated(xyxy, group, explained, stands)
        self._begin(time, xyxy[new], score[new], group[new], [name for name, n in zip(labels, new, strict=True) if n])
        self._rows = self._rows[np.argsort(self._rows["id"])]
        self._cover(time)
        return self._listing(time, inferred=True)

    def carry(self, time: float) -> tuple[Track, ...]:
        """The objects at `time` when no inference was made: nothing moved, so they are where they were.

        Nobody walked off in this time, so it does not count against an object that is hardly found.
        """
        self._rows["sure_at"] += max(0.0, time - self._latest)
        self._latest = time
        return self._listing(time, inferred=False)

    def _standing(self) -> Flags:
        rows = self._rows
        standing: Flags = rows["last_seen"] - rows["moved_at"] >= self.settings.settle
        return standing

    def _forget_gap(self, time: float, step: float) -> None:
        """After a time without pictures only standing objects may still be there, and none is listed unseen."""
        if step > max(self.settings.lost, 2 * self.settings.coast):
            rows = self._rows
            rows["missed_since"] = np.where(np.isnan(rows["missed_since"]), rows["last_seen"], rows["missed_since"])
            rows["shown_until"] = GONE
            self._keep(self._standing() & (time - rows["last_seen"] <= self.settings.lost_standing))

    def _sorted(self, detections: Detections) -> tuple[Floats, Floats, NDArray[np.int64], list[str]]:
        """Usable detections, best first, in an order that does not depend on theirs; doubles within a group gone."""
        score, xyxy, names = detections.score, detections.xyxy, np.array(detections.labels or ("",))
        order = np.lexsort((*xyxy.T, names[detections.class_id], -score)) if len(score) else np.zeros(0, np.intp)
        size = xyxy[:, 2:] - xyxy[:, :2]
        order = order[(score[order] >= self.settings.low) & (size[order] > 0).all(1)]
        labels = [detections.label(i) for i in order]
        group = np.array([self._group(label) for label in labels], np.int64)
        xyxy, score = xyxy[order], score[order]
        same = (iou_matrix(xyxy, xyxy) > 0.8) & (group[:, None] == group)
        keep = np.ones(len(order), bool)
        for i in np.flatnonzero(np.triu(same, 1).any(1)):
            if keep[i]:
                keep[i + 1 :] &= ~same[i, i + 1 :]
        return xyxy[keep], score[keep], group[keep], [name for name, k in zip(labels, keep, strict=True) if k]

    def _group(self, label: str) -> int:
        return self._groups.setdefault(self.settings.groups.get(label, label), len(self._groups))

    def _associate(self, time: float, xyxy: Floats, score: Floats, group: NDArray[np.int64]) -> tuple[Index, Index]:
        """Pairs (row, detection): sure ones by overlap, faint ones by overlap, sure ones by distance.

        First for what was found a moment ago, then for what is only remembered: who comes to stand where another
        one stood has a track of his own and keeps it.
        """
        rows = self._rows
        same = rows["group"][:, None] == group
        overlap = iou_matrix(boxes(rows["pos"]).astype(np.float32), xyxy) * same
        overlap *= np.where(rows["confirmed"], 1.0, 0.8)[:, None]  # an object that is known goes first
        high = score >= self.settings.high
        live = np.isnan(rows["missed_since"]) | (time - rows["missed_since"] < self.settings.coast)
        patience = np.where(self._standing(), self.settings.faint_standing, self.settings.faint)
        trusted = rows["confirmed"] & (time - rows["sure_at"] <= patience)
        free_row, free_det = np.ones(len(rows), bool), np.ones(len(score), bool)
        pairs: list[tuple[Index, Index]] = []
        for tracks, again in ((live, 0.2), (~live, 0.5)):
            for near, least, some, dets in (
                (False, again, tracks, high),
                (False, 0.35, tracks & trusted, ~high),
                (True, 1e-6, tracks, high),
            ):
                r, d = np.flatnonzero(free_row & some), np.flatnonzero(free_det & dets)
                if len(r) and len(d):
                    likeness = self._closeness(time, r, xyxy[d]) * same[np.ix_(r, d)] if near else overlap[np.ix_(r, d)]
                    i, j = assign(likeness, least)
                    free_row[r[i]] = free_det[d[j]] = False
                    pairs.append((r[i], d[j]))
        if not pairs:
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])

    def _closeness(self, time: float, row: Index, xyxy: Floats) -> Floats:
        """n x m, 1 where the predicted centre is met, 0 at three sigma or more and where sizes differ too much."""
        rows, standing = self._rows[row], self._standing()[row]
        pos = rows["pos"]
        size = xyxy[:, 2:] - xyxy[:, :2]
        away = (pos[:, None, :2] - (xyxy[:, :2] + size / 2)) / units(pos)[:, None]
        reach = np.minimum(3 * np.sqrt(rows["cov"][:, 0] + MEASURED), 1.5)
        # A standing object may set off, but only if it was there a moment ago: what stops in front of it is another.
        recent = np.isnan(rows["missed_since"]) | (time - rows["missed_since"] < self.settings.coast)
        set_off = np.where(recent, np.minimum(reach, 0.1 + time - rows["last_seen"]), 0.0)
        reach = np.where(standing, set_off, reach)
        ratio = (pos[:, None, 2:] / size).prod(-1)
        near = 1 - np.hypot(away[..., 0], away[..., 1]) / np.maximum(reach, 1e-9)[:, None]
        return np.where((ratio > 0.4) & (ratio < 2.5), np.clip(near, 0, 1), 0.0).astype(np.float32)

    def _hit(self, time: float, row: Index, det: Index, xyxy: Floats, score: Floats, labels: list[str]) -> None:
        """Kalman correction and book-keeping of the rows that were found."""
        rows, settings = self._rows[row], self.settings
        found = score[det].astype(float)
        correct(rows, xyxy[det], np.where(found >= settings.high, MEASURED, 4 * MEASURED))
        rows["sure_at"] = np.where(found >= settings.high, time, rows["sure_at"])
        rows["hits"] += 1
        fading = 1 - np.exp(-(time - rows["last_seen"]) / 2.0)
        rows["score"] += np.maximum(1 / rows["hits"], fading) * (found - rows["score"])
        rows["confirmed"] |= (time - rows["first_seen"] >= settings.confirm) | (found >= settings.sure)
        note_movement(rows, time, settings.move_ratio, settings.confirm)
        self._rename(rows, note_leaving(rows, time), time)
        rows["last_seen"], rows["missed_since"], rows["shown_until"] = time, np.nan, WATCHED
        rows["anchor"] = anchors(rows["pos"])
        self._rows[row] = rows
        for i, d, s in zip(rows["id"].tolist(), det.tolist(), found.tolist(), strict=True):
            self._vote(i, labels[d], s)

    def _rename(self, rows: Rows, others: Flags, time: float) -> None:
        """Of these rows another object was found: somebody comes in where somebody went out."""
        for i in np.flatnonzero(others):
            del self._votes[int(rows["id"][i])]
            self._votes[self._next_id] = {}
            rows["id"][i], rows["hits"][i], rows["left_at"][i] = self._next_id, 1, GONE
            rows["first_seen"][i] = rows["moved_at"][i] = time
            rows["told"][i] = anchors(rows["pos"][i : i + 1])[0]
            self._next_id += 1

    def _vote(self, track: int, label: str, score: float) -> None:
        """The label of a track is the one with most score so far; old votes fade, so that it can learn better."""
        votes = self._votes[track]
        if votes.get(label, 0.0) > 100:  # some twenty seconds at 5 fps
            for name in votes:
                votes[name] *= 0.5
        votes[label] = votes.get(label, 0.0) + score

    def _miss(self, time: float, missed: Flags) -> None:
        """Rows that this inference did not find: hide them after a while, later forget them."""
        rows, settings, standing = self._rows, self.settings, self._standing()
        first = missed & np.isnan(rows["missed_since"])
        rows["missed_since"][first] = time
        rows["shown_until"][first] = time + np.where(standing, settings.coast_standing, settings.coast)[first]
        patience = np.where(standing, settings.lost_standing, settings.lost)
        patience = np.where(rows["confirmed"], patience, 0.5)
        outside = ((rows["pos"][:, :2] < 0) | (rows["pos"][:, :2] > 1)).any(1)
        self._keep(~missed | ((time - rows["missed_since"] <= patience) & ~outside))

    def _keep(self, mask: Flags) -> None:
        for gone in self._rows["id"][~mask].tolist():
            del self._votes[gone]
        self._rows = self._rows[mask]

    def _begin(self, time: float, xyxy: Floats, score: Floats, group: NDArray[np.int64], labels: list[str]) -> None:
        """A new row for each detection that nothing explains."""
        if not len(score):
            return
        rows = np.zeros(len(score), RECORD)
        rows["id"] = np.arange(self._next_id, self._next_id + len(score))
        self._next_id += len(score)
        rows["group"], rows["score"], rows["hits"] = group, score, 1
        rows["confirmed"] = score >= self.settings.sure
        rows["pos"], rows["rest"] = centres(xyxy), xyxy
        rows["cov"] = MEASURED, 0.0, 4.0
        rows["first_seen"] = rows["last_seen"] = rows["sure_at"] = rows["moved_at"] = time
        rows["missed_since"] = rows["away_since"] = np.nan
        rows["shown_until"], rows["left_at"] = WATCHED, GONE
        rows["anchor"] = rows["told"] = anchors(rows["pos"])
        self._rows = np.concatenate([self._rows, rows])
        for track, label, s in zip(rows["id"].tolist(), labels, rows["score"].tolist(), strict=True):
            self._votes[track] = {label: s}

    def _cover(self, time: float) -> None:
        """A standing object that is still listed stays so while something that is seen stands in front of it.

        Not when that is its like in the very same place: then one took the other's.
        """
        rows = self._rows
        seen = np.isnan(rows["missed_since"])
        hidden = self._standing() & ~seen & rows["confirmed"] & (rows["shown_until"] > time)
        if not hidden.any() or not seen.any():
            return
        behind, front = boxes(rows["pos"][hidden]), boxes(rows["pos"][seen])
        lo = np.maximum(behind[:, None, :2], front[None, :, :2])
        hi = np.minimum(behind[:, None, 2:], front[None, :, 2:])
        share = np.clip(hi - lo, 0, None).prod(-1) / rows["pos"][hidden, 2:].prod(1)[:, None]
        alike = rows["group"][hidden][:, None] == rows["group"][seen]
        instead = alike & (iou_matrix(behind.astype(np.float32), front.astype(np.float32)) > 0.6)
        covered = ((share >= 0.3) & ~instead).any(1)
        until = np.where(covered, time + self.settings.coast_standing, GONE)
        rows["shown_until"][hidden] = np.maximum(rows["shown_until"][hidden], until)

    def _listing(self, time: float, inferred: bool) -> tuple[Track, ...]:
        shown = self._rows["confirmed"] & (self._rows["shown_until"] > time)
        rows = self._rows[shown]
        columns = (
            rows["id"],
            np.clip(boxes(rows["pos"]), 0, 1),
            rows["score"],
            rows["first_seen"],
            rows["last_seen"],
            rows["moved_at"],
            rows["told"],
            rows["anchor"],
            np.isnan(rows["missed_since"]) & inferred,
        )
        self._rows["told"][shown] = rows["anchor"]
        return tuple(
            Track(i, self._label(i), tuple(box), score, first, last, moved, (tuple(before), tuple(now)), seen)
            for i, box, score, first, last, moved, before, now, seen in zip(*(c.tolist() for c in columns), strict=True)
        )

    def _label(self, track: int) -> str:
        votes = self._votes[track]
        return max(votes, key=lambda label: (votes[label], label))


def repeated(xyxy: Floats, group: NDArray[np.int64], explained: Flags, stands: Flags) -> Flags:
    """Which of n detections, best first, show what an explained or a better one of their group shows.

    They lie in or round it, not much smaller or larger, or mostly on it: a body with its shadow, or without its legs.
    Cut by the same edge of the picture they may be two, who come in one after the other, unless one `stands`.
    """
    overlap, size = iou_matrix(xyxy, xyxy), (xyxy[:, 2:] - xyxy[:, :2]).prod(1)
    smaller, both = np.minimum(size[:, None], size), size[:, None] + size
    within = overlap * both / (1 + overlap) >= WITHIN * smaller  # the intersection is iou / (1 + iou) of both sizes
    edge = np.concatenate([xyxy[:, :2] <= EDGE, xyxy[:, 2:] >= 1 - EDGE], 1)
    cut = (edge[:, None] & edge).any(2)
    better = explained | np.tri(len(xyxy), k=-1, dtype=bool)
    same = (group[:, None] == group) & ~np.eye(len(xyxy), dtype=bool)
    double = (within & (overlap >= COMPARABLE)) | (overlap >= BESIDE)
    shown: Flags = (double & better & same & (~cut | stands)).any(1)
    return shown


def assign(likeness: Floats, least: float) -> tuple[Index, Index]:
    """The one-to-one pairs of greatest total likeness, without those below `least`."""
    row, col = linear_sum_assignment(np.where(likeness >= least, likeness, 0.0), maximize=True)
    good = likeness[row, col] >= least
    return row[good], col[good]
