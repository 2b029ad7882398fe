"""What judging costs: tracker, dwell and rules of a whole park, and the look for what was put down.

    python benchmarks/bench_rules.py [--cameras 16] [--slots 200] [--tracks 40] [--seconds 120] [--fps 5]

A park of so many cameras; slots and tracks are those of all cameras together. Every camera has every rule of pictures.
Detections are made beforehand, with jitter and misses; one thread, no model. Then the stationary foreground by itself,
at its working size, on noisy pictures with people who pass. Times are those of the processor, so that a busy machine
does not count; the caches it spoils do.
"""

import argparse
import time
from collections.abc import Iterator

import cv2
import numpy as np
from _box import machine

from smartbox import plugins
from smartbox.episodes import RuleRunner
from smartbox.foreground import ROWS, Foreground
from smartbox.geometry import Zone
from smartbox.tracker import Tracker
from smartbox.types import Detections, Scene, Track

LABELS = ("person", "car", "truck")
YARD = ((0.1, 0.3), (0.9, 0.3), (0.95, 0.6), (0.95, 0.95), (0.05, 0.95), (0.05, 0.6))
RULES = {
    "absence": {}, "crowd": {}, "fire_lane": {}, "illegal_parking": {}, "intrusion": {}, "left_object": {},
    "line_crossing": {"zones": ["line"]}, "loitering": {}, "parking": {"zones": ["lot"], "overstay": 600}, "sleep": {},
    "tamper": {"cameras": ["cam"]},
}  # fmt: skip


def runners(slots: int) -> list[RuleRunner]:
    """One of every rule, on three zones."""
    places = {
        f"P{i}": ((x, y), (x + 0.04, y), (x + 0.04, y + 0.08), (x, y + 0.08))
        for i in range(slots)
        for x, y in [(0.05 + 0.045 * (i % 20), 0.4 + 0.1 * (i // 20))]
    }
    zones = {
        "yard": Zone("yard", "cam", YARD),
        "line": Zone("line", "cam", line=((0.5, 0.0), (0.5, 1.0))),
        "lot": Zone("lot", "cam", slots=places),
    }
    numbers = iter(range(10**9))
    made = []
    for kind, settings in RULES.items():
        place = {} if "cameras" in settings else {"zones": ["yard"]}
        rule = plugins.load("rules", kind).model_validate({**place, **settings})
        mine = [zones[name] for name in rule.zones]
        made.append(RuleRunner(kind, kind, rule, "cam", mine, lambda: str(next(numbers))))
    return made


def detections(tracks: int, seconds: float, fps: float, seed: int) -> Iterator[Detections]:
    """Half of them stand, half walk to and fro."""
    rng = np.random.default_rng(seed)
    home, phase = rng.uniform(0.1, 0.85, (tracks, 2)), rng.uniform(0, 6, tracks)
    size = np.stack([rng.uniform(0.03, 0.08, tracks), rng.uniform(0.06, 0.12, tracks)], 1)
    label, walks = rng.integers(0, 3, tracks), np.arange(tracks) % 2
    for i in range(int(seconds * fps)):
        at = (
            home
            + np.stack([0.08 * np.sin(i / fps / 5 + phase) * walks, 0 * phase], 1)
            + rng.normal(0, 2e-3, home.shape)
        )
        there = rng.random(tracks) > 0.04
        boxes = np.clip(np.concatenate([at, at + size], 1), 0, 1)[there].astype(np.float32)
        score = rng.uniform(0.55, 0.95, len(boxes)).astype(np.float32)
        yield Detections(boxes, score, label[there].astype(np.int64), LABELS)


def park(args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """ms of each frame: of the tracker, and of all rules."""
    tracking, judging = [], []
    share = [args.tracks // args.cameras + (i < args.tracks % args.cameras) for i in range(args.cameras)]
    lots = [args.slots // args.cameras + (i < args.slots % args.cameras) for i in range(args.cameras)]
    for camera, (tracks, slots) in enumerate(zip(share, lots, strict=True)):
        tracker, rules = Tracker(), runners(slots)
        for i, found in enumerate(detections(tracks, args.seconds, args.fps, camera)):
            now = i / args.fps
            start = time.thread_time()
            listed = tracker.update(now, found)
            middle = time.thread_time()
            scene = Scene("cam", now, 1.8e9 + now, listed)
            for rule in rules:
                rule.step(scene)
            tracking.append((middle - start) * 1e3)
            judging.append((time.thread_time() - middle) * 1e3)
    return tracking, judging


def foreground(seconds: float) -> tuple[list[float], list[float]]:
    """ms of each look and of each frame (two looks a second at 5 fps), a 720p picture shrunk included."""
    rng = np.random.default_rng(1)
    place = cv2.GaussianBlur(rng.uniform(0, 255, (720, 1280)).astype(np.float32), (0, 0), 6) * 4 - 380
    grain = rng.normal(0, 4, (720, 1280)).astype(np.float32)
    watch, looks, frames = Foreground(), [], []
    for i in range(int(seconds * 5)):
        picture = place + np.roll(grain, int(rng.integers(1280)), 1)
        x = (37 * i) % 1200
        picture[300:420, x : x + 50] = 40
        if i > 60:
            picture[500:560, 300:380] = 220
        luma = np.clip(picture, 0, 255).astype(np.uint8)
        walker = Track(
            1, "person", (x / 1280, 300 / 720, (x + 50) / 1280, 420 / 720), 0.9, 0, i / 5, i / 5, ((0, 0), (0, 0))
        )
        start = time.thread_time()
        watch.update(i / 5, luma, (walker,))
        frames.append((time.thread_time() - start) * 1e3)
    looks = [f for f in frames if f > 0.1]
    return looks, frames


def line(name: str, took: list[float], limit: float | None = None) -> str:
    p50, p95, p99 = np.percentile(took[len(took) // 5 :], (50, 95, 99))
    told = "" if limit is None else f"   target {limit:g} ms: {'held' if p95 <= limit else 'MISSED'} at p95"
    return f"{name:34} {np.mean(took):8.3f} {p50:8.3f} {p95:8.3f} {p99:8.3f}{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=16)
    parser.add_argument("--slots", type=int, default=200)
    parser.add_argument("--tracks", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--fps", type=float, default=5.0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(machine())
    print(
        f"{args.cameras} cameras, {args.slots} slots and {args.tracks} tracks in all, {len(RULES)} rules a camera; ms"
    )
    print(f"{'':34} {'mean':>8} {'p50':>8} {'p95':>8} {'p99':>8}")
    tracking, judging = park(args)
    both = [a + b for a, b in zip(tracking, judging, strict=True)]
    ticks = np.sum(np.split(np.array(both), args.cameras), 0)
    print(line("tracker, a frame", tracking))
    print(line("rules and dwell, a frame", judging))
    print(line("both, a frame", both, 3.0))
    print(line("both, a frame of every camera", list(ticks)))
    looks, frames = foreground(min(args.seconds, 60.0))
    print(line(f"foreground, a look ({ROWS} rows)", looks, 2.0))
    print(line("foreground, a frame at 5 fps", frames, 2.0))


if __name__ == "__main__":
    main()
