"""Measures every installed backend on this machine: speed, agreement with the golden outputs, cost per camera."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from smartbox import bench, plugins
from smartbox.build import bundle_dirs
from smartbox.bundle import Bundle, find, installed
from smartbox.commands._args import count, positive
from smartbox.config import default_state_dir

EXAMPLE = "smartbox bench --bundle lrssd-park --fps 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", metavar="B", help="name or path of a bundle; default: all that are found")
    known = plugins.names("backends")
    parser.add_argument("--backend", metavar="X", action="append", choices=known, help="only this; may be repeated")
    parser.add_argument("--fps", type=positive, default=5.0, help="analysed frames per second and camera (default 5)")
    parser.add_argument("--runs", type=count, default=50, help="runs per figure (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(args: argparse.Namespace) -> int:
    places = bundle_dirs(default_state_dir())
    bundles = [find(args.bundle, places)] if args.bundle else [Bundle.open(path) for path in installed(places)]
    if not bundles:
        print(f"smartbox bench: no bundle in {', '.join(map(str, places))}; name one with --bundle", file=sys.stderr)
        return 1
    rows = [_row(bundle, args) for bundle in bundles]
    if args.json:
        print(json.dumps({"machine": bench.machine(), "fps": args.fps, "bundles": rows}, indent=2))
    else:
        print(bench.machine())
        for row in rows:
            print(_table(row, args.fps))
    return 0 if all(_well(row) for row in rows) else 1


def _row(bundle: Bundle, args: argparse.Namespace) -> dict[str, Any]:
    names = args.backend or bench.candidates(bundle)
    found = bench.survey(bundle, names, args.runs)
    return {
        "name": bundle.name,
        "version": bundle.manifest.version,
        "sha256": bundle.sha256,
        "golden": bundle.manifest.golden is not None,
        "measurements": [asdict(m) | {"core_share_per_camera": _share(m, args.fps)} for m in found],
        "left_out": {} if args.backend else bench.left_out(bundle),
    }


def _share(m: bench.Measurement, fps: float) -> float | None:
    """Share of one core that a camera takes: every frame prepared, inferred and decoded."""
    ms = m.whole_p50 if m.whole_p50 is not None else m.p50
    return None if ms is None else round(ms * fps / 1000, 4)


def _well(row: dict[str, Any]) -> bool:
    """Everything ran, and agrees where there is something to agree with."""
    found = row["measurements"]
    return bool(found) and all(not m["error"] and (m["agrees"] or not row["golden"]) for m in found)


def _table(row: dict[str, Any], fps: float) -> str:
    heads = ("backend", "p50 ms", "p95 ms", "with pre/post p50", "p95", "best batch", "ms each", "error / allowed", "")
    lines = [heads]
    for m in row["measurements"]:
        if m["error"]:
            lines.append((m["backend"], "failed", *[""] * 7))
            continue
        numbers = (_ms(m[key]) for key in ("p50", "p95", "whole_p50", "whole_p95"))
        agreement = "no golden" if m["max_abs_error"] is None else f"{m['max_abs_error']:.3g} / {m['atol']:.3g}"
        mark = "fastest" if m["fastest"] else "" if m["agrees"] or not row["golden"] else "DISAGREES"
        lines.append((m["backend"], *numbers, str(m["best_batch"]), _ms(m["best_batch_ms"]), agreement, mark))
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    for m in row["measurements"]:
        if m["error"]:
            text.append(f"{m['backend']}: {m['error']}")
        else:
            share = 100 * m["core_share_per_camera"]
            text.append(f"{m['backend']}: a camera at {fps:g} frames/s takes {share:.1f} % of one core")
    text += [f"{name}: {why}" for name, why in row["left_out"].items()]
    return "\n".join([f"\n{row['name']} {row['version']}", *text])


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
