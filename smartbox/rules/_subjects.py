"""Who is who from scene to scene: what a rule follows must outlive a change of track id and a passing lorry.

Pure. A subject is normally continued by the match of its own name. Where that is missing, and it is a track:
  * a new track at its place, or one step beside it a moment later, takes it over (the tracker switched ids);
  * while something stands in front of it, it is hidden: neither there nor gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smartbox.dwell import HOLD_AFTER, Dwell
from smartbox.geometry import iou
from smartbox.rules._base import group
from smartbox.types import Box, EndReason, Event, EventClass, Floats, Match, Scene, Track

SAME_PLACE = 0.5
"""IoU from which a box is taken to be where another was."""
TWIN = 0.7
"""IoU from which two boxes of confusable labels are taken for one object, found twice."""
PART, STILL_PART = 0.85, 0.5
"""Share of a vehicle's box inside another's from which it is a part of that one (the cab of a lorry, as a car), and
while it is: boxes waver."""
SAME_GROUND, STILL_SAME_GROUND = 0.03, 0.1
"""Share of the whole's height by which a part may reach lower than it, likewise."""
COVERED = 0.4
"""Share of a box behind another from which an object may be missed."""
STOOD_S = 2.0
"""It stands when it has not moved for so long (s)."""
CAME_S = 5.0
"""What hides it has moved at most so long (s) before it was lost: its neighbours in a row of cars have not."""
SWITCH_S = 2.0
"""A switched id appears within this time (s) of the old one's last match; for standing objects within 30 s."""


@dataclass(slots=True, eq=False)
class Subject:
    """What a rule follows: its last match, its time, and its episode while it has one."""

    match: Match
    dwell: Dwell
    number: int = 0
    """Its own, through all changes of name."""
    stood: bool = False
    before: Box | None = None
    """Where it was in the match before the last one, which may have been a false box that the track jumped to."""
    strayed: bool = False
    """It has been elsewhere for too long to be the same visit when it comes back."""
    home: Box | None = None
    """Where it was when another track took it over."""
    aliases: frozenset[str] = frozenset()
    """Names it had before."""
    twins: frozenset[str] = frozenset()
    """Tracks that were the same object found twice when both were last seen; one may be missed for a while."""
    held: EndReason | None = None
    """Nothing is known of it since a silence; the reason for which it ends unless it is found again."""
    episode: str | None = None
    event: Event | None = None
    cls: EventClass = "alarm"
    started_utc: float = 0.0
    begun_at: float = 0.0
    """What had elapsed (s) when the episode began."""
    acknowledged: Mapping[str, str] | None = None
    """Who has seen its episode, and when."""
    told_at: float = 0.0
    """When its last event was made (monotonic s)."""

    @property
    def name(self) -> str:
        return self.match.subject

    @property
    def is_track(self) -> bool:
        return self.name.startswith("track:") and self.match.xyxy is not None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A candidate. number: its own, kept through changes of track id; share: of its time to the alarm, 0–1."""

    number: int
    match: Match
    started_at: float
    share: float


Pairs = dict[Subject, Match]


def assign(subjects: Sequence[Subject], matches: Sequence[Match], scene: Scene) -> tuple[Pairs, list[Match]]:
    """Which match continues which subject, and the matches of subjects not known before."""
    tracks = {f"track:{t.id}": t for t in scene.tracks}
    pairs = _by_name(subjects, matches)
    taken = {m.subject for m in pairs.values()}
    fresh = [m for m in matches if m.subject not in taken]
    missing = [s for s in subjects if s not in pairs and s.is_track]
    if missing and fresh:
        for subject, match in _take_overs(missing, fresh, tracks, scene.time):
            if subject not in pairs and match.subject not in taken:
                taken.add(match.subject)
                pairs[subject] = match
                subject.home = subject.match.xyxy
                subject.aliases |= {subject.name}
                subject.twins |= {subject.name}
    fresh = [m for m in fresh if m.subject not in taken]
    parts = _parts(pairs, tracks)
    for part in parts:
        taken.remove(pairs.pop(part).subject)
    twins = _twins(pairs, fresh, tracks) | {part.name: whole for part, whole in parts.items()}
    for subject, match in pairs.items():
        subject.twins = (subject.twins - taken).union(twin for twin, of in twins.items() if of == match.subject)
    if scene.inferred:
        _look_round(pairs, scene, tracks)
    return pairs, [m for m in fresh if m.subject not in twins]


def _by_name(subjects: Sequence[Subject], matches: Sequence[Match]) -> Pairs:
    named = {m.subject: m for m in matches}
    pairs: Pairs = {}
    for subject in sorted(subjects, key=lambda s: s.held is not None):  # what is known goes before what is held
        match = named.get(subject.name)
        if match and (not (subject.held and subject.is_track) or _same_place(subject.match.xyxy, match.xyxy)):
            pairs[subject] = named.pop(subject.name)
    for subject in subjects:  # a track that was taken for lost is back where it was lost
        for alias in subject.aliases & named.keys():
            if _same_place(subject.home, named[alias].xyxy):
                pairs[subject] = named.pop(alias)
                subject.aliases -= {alias}
                subject.twins |= {subject.name}
    return pairs


def _take_overs(
    missing: Sequence[Subject], fresh: Sequence[Match], tracks: Mapping[str, Track], time: float
) -> list[tuple[Subject, Match]]:
    """Pairs of a lost subject and a new track at its place, best overlap first."""
    found = []
    for subject in missing:
        for match in fresh:
            if match.xyxy is None or match.subject not in tracks or group(match.label) != group(subject.match.label):
                continue
            assert subject.match.xyxy is not None  # it is a track
            overlap = max(iou(box, match.xyxy) for box in (subject.match.xyxy, subject.before or subject.match.xyxy))
            soon = not subject.held and time - subject.dwell.last_match <= SWITCH_S
            close = overlap >= SAME_PLACE or (soon and _one_step(subject.match.xyxy, match.xyxy))
            if match.subject in subject.twins:  # a part was followed and is lost, the whole is still there; or so
                a, b = subject.match.xyxy, match.xyxy
                close = close or _is_part(a, b, was=True) or _is_part(b, a, was=True)
            if close and _may_follow(subject, tracks[match.subject], match.subject, tracks, time):
                found.append((overlap, subject, match))
    return [(s, m) for _, s, m in sorted(found, key=lambda entry: -entry[0])]


def _may_follow(subject: Subject, track: Track, name: str, tracks: Mapping[str, Track], time: float) -> bool:
    if subject.held or name in subject.twins:
        return True
    if subject.name in tracks:  # it is still seen, elsewhere: the other one only came to its place
        return False
    lost_for, came_before = time - subject.dwell.last_match, subject.dwell.last_match - track.first_seen
    if lost_for > SWITCH_S and not (subject.stood and lost_for <= HOLD_AFTER and track.moved_at <= track.first_seen):
        return False  # who drives up to the place of one that stood there is another
    return came_before <= SWITCH_S


def _one_step(a: Box, b: Box) -> bool:
    """Whether who was at `a` a moment ago may be at `b`: as large, and not further away than its own width."""
    (aw, ah), (bw, bh) = ((box[2] - box[0], box[3] - box[1]) for box in (a, b))
    dx, dy = abs(a[0] + a[2] - b[0] - b[2]) / 2, abs(a[1] + a[3] - b[1] - b[3]) / 2
    return dx <= max(aw, bw) and dy <= max(ah, bh) / 2 and 1 / 3 <= (aw * ah) / max(bw * bh, 1e-9) <= 3


def _same_place(a: Box | None, b: Box | None) -> bool:
    return a is not None and b is not None and iou(a, b) >= SAME_PLACE


def _twins(pairs: Pairs, fresh: Sequence[Match], tracks: Mapping[str, Track]) -> dict[str, str]:
    """Fresh tracks that are another match found twice (a pickup as car and as truck), or a part of it, or the whole
    of which it is a part: name -> its."""
    order = sorted((m for m in fresh if m.subject in tracks and m.xyxy), key=lambda m: -m.score)
    twins: dict[str, str] = {}
    kept = [(m, s.twins) for s, m in pairs.items() if m.subject in tracks and m.xyxy]
    for match in order:
        for other, known in kept:
            if group(other.label) == group(match.label) and _is_twin(other, match, tracks, match.subject in known):
                twins[match.subject] = other.subject
                break
        else:
            kept.append((match, frozenset()))
    return twins


def _parts(pairs: Pairs, tracks: Mapping[str, Track]) -> dict[Subject, str]:
    """Candidates that turn out to be a part of another vehicle, with which they came: the part -> the whole's name.

    At first the whole's box may have fallen short of its cab.
    """
    vehicles = [s for s, m in pairs.items() if m.subject in tracks and m.xyxy and group(m.label) == "vehicle"]
    found: dict[Subject, str] = {}
    for part in sorted((s for s in vehicles if not s.episode), key=lambda s: pairs[s].score):
        mine = pairs[part]
        for whole in vehicles:
            other = pairs[whole]
            if whole is part or whole in found or mine.score >= other.score:
                continue
            assert mine.xyxy and other.xyxy  # only boxes get here
            was = mine.subject in whole.twins
            beside = abs(tracks[mine.subject].moved_at - tracks[other.subject].moved_at)
            if _is_part(mine.xyxy, other.xyxy, was) and (was or beside <= STOOD_S):
                found[part] = other.subject
                break
    return found


def _is_twin(kept: Match, fresh: Match, tracks: Mapping[str, Track], was: bool) -> bool:
    """was: it has been one."""
    assert kept.xyxy and fresh.xyxy  # only boxes get here
    if iou(kept.xyxy, fresh.xyxy) >= TWIN:
        return True
    if group(fresh.label) != "vehicle":
        return False
    if _is_part(fresh.xyxy, kept.xyxy, was) and (was or fresh.score < kept.score):
        return True
    return _is_part(kept.xyxy, fresh.xyxy, was) and _came_together(tracks[kept.subject], tracks[fresh.subject])


def _is_part(part: Box, whole: Box, was: bool) -> bool:
    """What stands before the whole reaches lower in the picture, and what stands behind it is hidden."""
    share, lower = (STILL_PART, STILL_SAME_GROUND) if was else (PART, SAME_GROUND)
    inside = bool(covering([part], [whole])[0, 0] >= share)
    return inside and part[3] <= whole[3] + lower * (whole[3] - whole[1])


def _came_together(known: Track, other: Track) -> bool:
    """Whether two that stand may have come as one; what was first found where it stands may always have."""
    return other.moved_at <= other.first_seen or abs(other.moved_at - known.moved_at) <= STOOD_S


def _look_round(pairs: Pairs, scene: Scene, tracks: Mapping[str, Track]) -> None:
    """Note of subjects that are there now whether they stand; what is no track (a slot) always does."""
    for subject, match in pairs.items():
        track = tracks.get(match.subject)
        subject.stood = track is None or scene.time - track.moved_at >= STOOD_S


def covering(boxes: Sequence[Box], others: Sequence[Box]) -> Floats:
    """Share of each of n boxes that each of m others covers: n x m."""
    a = np.array(boxes, np.float32).reshape(-1, 4)
    b = np.array(others, np.float32).reshape(-1, 4)
    size = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None)
    area = np.clip(a[:, 2:] - a[:, :2], 1e-9, None).prod(-1)
    share: Floats = (size.prod(-1) / area[:, None]).astype(np.float32)
    return share


def hidden(subject: Subject, scene: Scene) -> bool:
    """Whether a standing subject that is not found is behind something that came since, for up to 30 s."""
    box, lost_at = subject.match.xyxy, subject.dwell.last_match
    if box is None or not subject.stood or scene.time - lost_at > HOLD_AFTER:
        return False
    if any(subject.name == f"track:{t.id}" for t in scene.tracks):
        return False
    low = box[3] - 0.1 * (box[3] - box[1])  # what is in front stands lower in the picture
    came = [t.xyxy for t in scene.tracks if t.xyxy[3] >= low and t.moved_at >= lost_at - CAME_S]
    return bool(came) and bool((covering([box], came) >= COVERED).any())


def obscured(found: Sequence[Track], scene: Scene, seconds: float) -> tuple[Track, ...]:
    """Standing tracks that were found up to so many seconds ago, at whose place no other is found now."""
    known = {track.id for track in found}
    return tuple(
        t
        for t in scene.tracks
        if t.id not in known
        and 0 <= scene.time - t.last_seen <= seconds
        and t.last_seen - t.moved_at >= STOOD_S
        and not any(_same_place(t.xyxy, other.xyxy) for other in found)
    )
