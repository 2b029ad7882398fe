"""What many cameras cost: processor, memory, and frames that were replaced before anybody looked.

    python benchmarks/bench_cameras.py [--cameras 8] [--minutes 10] [--fps 5] [--bundle lrssd-park] [--clip FILE ...]

RTSP cameras of 1280 x 720 at 25 fps, H.264, 2 Mbit/s, encoded beforehand and served by GStreamer without encoding
anything anew; its cost is printed apart. Every frame is decoded (H.264 leaves no choice), `fps` of them are analysed,
gated by motion as shipped; --no-gate infers on each of them.
"""

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

from _box import Cost, Heard, Stage, clip, machine, measured, wait_for

SCENES = (("gate", 5), ("lot", 6), ("lane", 7), ("post", 8))
EVERYWHERE = [[0.02, 0.02], [0.98, 0.02], [0.98, 0.98], [0.02, 0.98]]


def config(urls: dict[str, str], args: argparse.Namespace) -> dict[str, Any]:
    sources = {
        name: {"type": "rtsp", "url": url, "fps": args.fps, "model": "eyes", "gate": not args.no_gate}
        for name, url in urls.items()
    }
    zones = {name: {"source": name, "polygon": EVERYWHERE} for name in urls}
    rules = {name: {"type": "intrusion", "zones": [name], "dwell": "5s"} for name in urls}
    models = {"eyes": {"bundle": args.bundle, "backends": [args.backend]}}
    return {"models": models, "sources": sources, "zones": zones, "rules": rules}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=10.0, help="at least 3: health comes once a minute")
    parser.add_argument("--fps", type=float, default=5.0, help="analysed frames a second and camera")
    parser.add_argument("--bundle", default="lrssd-park", help="name or path")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--no-gate", action="store_true", help="infer on every analysed frame")
    parser.add_argument("--clip", type=Path, action="append", help="H.264 clips in turn; default: simulated ones")
    args = parser.parse_args()
    before = machine()
    films = args.clip or [clip(scene, seed) for scene, seed in SCENES]
    names = [f"cam-{i}" for i in range(1, args.cameras + 1)]
    with Stage() as stage:
        stand = stage.stand
        stage.broker()
        urls = stage.cameras(dict(zip(names, itertools.cycle(films), strict=False)))
        stage.box(config(urls, args))
        known = len(stand.of("tele/health"))
        wait_for(lambda: len(stand.of("tele/health")) > known, "a health message", 90)
        with measured(stand.processes) as look:
            until = time.monotonic() + args.minutes * 60
            while time.monotonic() < until:
                time.sleep(min(10.0, max(0.0, until - time.monotonic())))
                costs = look()
        messages = stand.of("tele/health")[known:]
        wait_for(lambda: len(stand.of("tele/health")) > known + len(messages), "the last health message", 90)
        messages = stand.of("tele/health")[known:]
        events = len(stand.of("event/alarm"))
    print(before)
    gate = "on every one" if args.no_gate else "where something moves"
    print(f"{args.cameras} cameras 720p25 2 Mbit/s, {args.fps:g} analysed fps each, inference {gate},", end=" ")
    print(f"{args.bundle} on {args.backend}, {args.minutes:g} min, {events} alarm messages")
    frames(messages[0], messages[-1])
    for name, cost in costs.items():
        line(name, cost, args.cameras if name == "box" else None)


def frames(first: Heard, last: Heard) -> None:
    """Per source between two health messages: analysed fps and the share of frames that was replaced."""
    took = last.at - first.at
    total = {"received": 0, "replaced": 0}
    for name, now in last.document["sources"].items():
        then = first.document["sources"][name]
        received, replaced = (now[key] - then[key] for key in total)
        total["received"] += received
        total["replaced"] += replaced
        print(f"  {name}: {now['state']}, {received / took:.2f} fps, {replaced} of {received} replaced")
    share = total["replaced"] / max(1, total["received"])
    print(f"mailbox: {total['replaced']} of {total['received']} frames replaced = {share:.2%}")
    print(f"inference ms a frame: {last.document['inference']}")


def line(name: str, cost: Cost, cameras: int | None) -> None:
    drift = 100 * (cost.pss_last / cost.pss_first - 1)
    memory = f"{cost.pss_last:.0f} MiB PSS (peak {cost.pss_peak:.0f}, drift {drift:+.1f} %)"
    print(f"{name}: {cost.cores:.2f} cores, {memory}, {cost.threads} threads, {cost.files} files")
    if cameras:
        share, each = 100 * cost.cores / cameras, cost.pss_last / cameras
        print(f"  a camera: {share:.1f} % of a core, {each:.0f} MiB")


if __name__ == "__main__":
    main()
