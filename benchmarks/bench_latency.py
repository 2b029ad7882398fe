"""From the capture of a frame to the broker's delivery of the alarm that it caused.

    python benchmarks/bench_latency.py [--minutes 3] [--bundle lrssd-park] [--fps 5] [--cameras 1] [--clip FILE]

The whole road: RTSP camera (H.264, 720p25) -> smartbox run -> mosquitto -> a subscriber on the same machine. The rule
is intrusion with dwell 0 in many narrow zones, so that whoever walks begins an episode every few steps. Capture is what
the box says it is (the frame's RTP timestamp on its clock, by the least delayed arrivals): the constant delay of a
camera and its network is not in it. Who steps into a zone between two analysed frames waits up to one frame interval
more. Writing the evidence and the outbox to the disk is part of it.
"""

import argparse
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from _box import Stage, Stand, clip, machine, measured

STRIPS = 16


def config(urls: dict[str, str], bundle: str, backend: str, fps: float) -> dict:
    sources = {name: {"type": "rtsp", "url": url, "fps": fps, "model": "eyes"} for name, url in urls.items()}
    zones, rules = {}, {}
    for name in urls:
        for i in range(STRIPS):
            x0, x1 = i / STRIPS, (i + 1) / STRIPS
            zones[f"{name}-{i}"] = {"source": name, "polygon": [[x0, 0.0], [x1, 0.0], [x1, 1.0], [x0, 1.0]]}
            rules[f"{name}-{i}"] = {
                "type": "intrusion",
                "zones": [f"{name}-{i}"],
                "dwell": 0,
                "clear": "0.5s",
                "window": "1s",
                "cooldown": 0,
            }
    models = {"eyes": {"bundle": bundle, "backends": [backend]}}
    return {"models": models, "sources": sources, "zones": zones, "rules": rules}


def delays(stand: Stand, since: float) -> list[float]:
    """Capture to first receipt of every live begin that came after `since`, s."""
    first: dict[str, float] = {}
    for message in stand.of("event/alarm/intrusion"):
        event = message.document
        if event["data"]["phase"] == "begin" and not event["replayed"] and message.at > since:
            first.setdefault(event["id"], message.at - datetime.fromisoformat(event["time"]).timestamp())
    return list(first.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--bundle", default="lrssd-park", help="name or path")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--clip", type=Path, help="H.264 clip in which people or vehicles move; default: simulated")
    args = parser.parse_args()
    before = machine()
    film = args.clip or clip("gate", 5)
    with Stage() as stage:
        stage.broker()
        urls = stage.cameras({f"cam-{i}": film for i in range(1, args.cameras + 1)})
        stage.box(config(urls, args.bundle, args.backend, args.fps))
        start = time.time() + 5
        with measured(stage.stand.processes) as look:
            time.sleep(5 + args.minutes * 60)
            costs = look()
        live = delays(stage.stand, start)
    what = f"{args.cameras} camera(s) at {args.fps:g} analysed fps, {args.bundle} on {args.backend}"
    print(f"{before}\n{what}, {args.minutes:g} min")
    if not live:
        raise SystemExit("no alarm came: does the model find anything in this clip?")
    p50, p95, p99, worst = np.percentile(live, [50, 95, 99, 100]) * 1000
    print(f"capture to receipt of {len(live)} begins: p50 {p50:.0f}  p95 {p95:.0f}  p99 {p99:.0f}  max {worst:.0f} ms")
    print(f"on top comes the wait for the next analysed frame: 0 to {1000 / args.fps:.0f} ms")
    print(f"the box used {costs['box'].cores:.2f} cores, {costs['box'].pss_last:.0f} MiB")


if __name__ == "__main__":
    main()
