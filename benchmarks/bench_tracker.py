"""Cost of one tracker update, beside norfair and supervision's ByteTrack, on the same detections.

    python benchmarks/bench_tracker.py [--seconds 40] [--fps 5]

Objects wander and stand; detections jitter by 3 %, one in ten is missed. norfair gets a distance written in
Python that is called per pair, as its best-known user does, and once its own vectorised one. Needs the extra `bench`.
One thread. Compare the ratios; the milliseconds are those of this machine.
"""

import argparse
import logging
import os
import time
import warnings
from collections.abc import Callable

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402 - it reads the number of threads when imported

from smartbox.tracker import Tracker  # noqa: E402
from smartbox.types import Detections  # noqa: E402

LABELS = ("person", "car", "truck", "bus")


def film(objects: int, seconds: float, fps: float, seed: int = 1) -> list[Detections]:
    """Detections of `objects` things in a wide picture: half of them stand, the others turn at the edges."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(objects)))
    place = np.stack([np.arange(objects) % side, np.arange(objects) // side], 1) / side + 0.5 / side
    size = rng.uniform(0.35, 0.6, (objects, 2)) / side
    speed = rng.uniform(-0.08, 0.08, (objects, 2)) * (rng.random((objects, 1)) < 0.5)
    kind = rng.integers(0, len(LABELS), objects)
    frames = []
    for _ in range(round(seconds * fps)):
        place = place + speed / fps
        speed = np.where((place < 0.05) | (place > 0.95), -speed, speed)
        found = rng.random(objects) > 0.1
        low, high = place - size / 2, place + size / 2
        xyxy = np.concatenate([low, high], 1) + rng.normal(0, 0.03, (objects, 4)) * np.tile(size, 2)
        score = rng.uniform(0.3, 0.95, objects)
        frames.append(Detections(xyxy.astype(np.float32), score.astype(np.float32), kind, LABELS)[found])
    return frames


def smartbox(fps: float) -> Callable[[int, Detections], int]:
    tracker = Tracker()
    return lambda i, detections: len(tracker.update(i / fps, detections))


def norfair_iou(fps: float) -> Callable[[int, Detections], int]:
    return norfair(fps, "iou")


def norfair(fps: float, vectorised: str | None = None) -> Callable[[int, Detections], int]:
    import norfair as nf

    logging.disable(logging.WARNING)  # it says that its own vectorised distances are faster: they are measured too

    def distance(detection: "nf.Detection", track: "nf.tracker.TrackedObject") -> float:
        """Shift and change of size relative to the size, per pair."""
        (x0, y0), (x1, y1) = detection.points
        (u0, v0), (u1, v1) = track.estimate
        w, h = u1 - u0, v1 - v0
        shift = [((x0 + x1) - (u0 + u1)) / 2 / w, ((y0 + y1) - (v0 + v1)) / 2 / h]
        scale = [(x1 - x0) / w - 1, (y1 - y0) / h - 1]
        return float(np.linalg.norm(np.array(shift + scale)))

    tracker = nf.Tracker(
        distance_function=vectorised or distance, distance_threshold=1.0, hit_counter_max=round(3 * fps)
    )

    def update(_: int, detections: Detections) -> int:
        return len(
            tracker.update(
                [
                    nf.Detection(points=box.reshape(2, 2).astype(float), scores=np.array([s, s]), label=int(c))
                    for box, s, c in zip(detections.xyxy, detections.score, detections.class_id, strict=True)
                ]
            )
        )

    return update


def supervision(fps: float) -> Callable[[int, Detections], int]:
    warnings.simplefilter("ignore")  # its ByteTrack is announced to move to another package
    import supervision as sv

    tracker = sv.ByteTrack(frame_rate=round(fps))

    def update(_: int, detections: Detections) -> int:
        taken = sv.Detections(
            xyxy=detections.xyxy * 1000, confidence=detections.score, class_id=detections.class_id.astype(int)
        )
        return len(tracker.update_with_detections(taken))

    return update


def measure(update: Callable[[int, Detections], int], frames: list[Detections]) -> tuple[float, float]:
    """Median and 99th percentile of the time of one update, in ms, after the first fifth of the film."""
    took = []
    for i, detections in enumerate(frames):
        start = time.perf_counter()
        update(i, detections)
        took.append((time.perf_counter() - start) * 1e3)
    took = took[len(took) // 5 :]
    return float(np.median(took)), float(np.percentile(took, 99))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--fps", type=float, default=5.0)
    args = parser.parse_args()
    print(f"{'objects':>8} {'tracker':>12} {'p50 ms':>9} {'p99 ms':>9} {'times ours':>11}")
    for objects in (5, 20, 50):
        frames = film(objects, args.seconds, args.fps)
        ours = 0.0
        for make in (smartbox, norfair, norfair_iou, supervision):
            p50, p99 = measure(make(args.fps), frames)
            ours = ours or p50
            print(f"{objects:8d} {make.__name__:>12} {p50:9.3f} {p99:9.3f} {p50 / ours:10.1f}x")


if __name__ == "__main__":
    main()
