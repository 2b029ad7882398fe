"""Measures every installed backend on this machine: speed, agreement with the golden outputs, cost per camera.

What is fastest and agrees is remembered in the state directory, and is what `auto` in a configuration means.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smartbox import bench, decoders, gemm, plugins, race
from smartbox import config as configuration
from smartbox.build import bundle_dirs, library_of, looked_for, parts
from smartbox.bundle import MANIFEST, Bundle, installed
from smartbox.closeup import EVERY
from smartbox.commands._args import count, positive
from smartbox.config import Config, default_state_dir
from smartbox.errors import ConfigError
from smartbox.library import Library
from smartbox.processor import machine

CROPS = 40  # slots of a camera that the cost of a classifier is told for
EXAMPLE = "smartbox bench -c /etc/smartbox/smartbox.yaml --fps 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="its bundles, and its state directory")
    parser.add_argument("--bundle", metavar="B", help="name or path of a bundle, sealed ones with -c; default: all")
    known = plugins.names("backends")
    parser.add_argument("--backend", metavar="X", action="append", choices=known, help="only this; may be repeated")
    peer = "another detector to compare with: a bundle, a YOLOX (.onnx), an OpenVINO IR (.xml); may be repeated"
    parser.add_argument("--peer", type=Path, metavar="FILE", action="append", default=[], help=peer)
    parser.add_argument("--fps", type=positive, default=5.0, help="analysed frames per second and camera (default 5)")
    parser.add_argument("--runs", type=count, default=50, help="runs per figure (default 50)")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def main(args: argparse.Namespace) -> int:
    bundles, state_dir = _bundles(args)
    if not bundles:
        places = ", ".join(map(str, bundle_dirs(state_dir)))
        _say(f"no bundle in {places}; name one with --bundle")
        return 1
    rows = [_row(bundle, args, state_dir) for bundle in bundles]
    if args.json:
        print(json.dumps(_finite({"machine": machine(), "fps": args.fps, "bundles": rows}), indent=2))
    else:
        print(machine())
        for row in rows:
            print(_table(row, args.fps))
    return 0 if all(_well(row) for row in rows) else 1


def _bundles(args: argparse.Namespace) -> tuple[list[Bundle], Path]:
    """What to measure, and where the choice is to be remembered."""
    config = configuration.load(args.config) if args.config else None
    state_dir = config.box.state_dir if config else default_state_dir()
    if args.bundle:
        return [_named(args.bundle, config)], state_dir
    if config:
        return list({b.path: b for b in parts(config).bundles.values()}.values()), state_dir
    return _found(library_of(None)), state_dir


def _named(name: str, config: Config | None) -> Bundle:
    """The one that the box would run. ConfigError where that is a sealed one, and nothing says whom to trust."""
    here = (Path(name) / MANIFEST).is_file()  # a directory that lies here is nearer than what is installed
    bundle, refused = looked_for(str(Path(name).absolute()) if here else name, library_of(config))
    if refused and config is None:
        raise ConfigError("; ".join(refused))
    for reason in refused:
        _say(f"passed over: {reason}")
    return bundle


def _found(books: Library) -> list[Bundle]:
    """All that run; one that does not is left out with a word."""
    bundles = []
    for name in dict.fromkeys([*(path.name for path in installed(books.places)), *books.shelf.names()]):
        try:
            bundle, refused = books.find(name)
            decoders.build(bundle.manifest)
        except ConfigError as error:
            refused = [" ".join(str(error).split())]
        if refused:
            _say(f"left out {name}: {'; '.join(refused)}")
        else:
            bundles.append(bundle)
    return bundles


def _say(text: str) -> None:
    print(f"smartbox bench: {text}", file=sys.stderr)


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(bundle: Bundle, args: argparse.Namespace, state_dir: Path) -> dict[str, Any]:
    names = args.backend or bench.candidates(bundle)
    found = bench.survey(bundle, names, args.runs)
    working = [m.backend for m in found if not m.error]
    choice = None if args.backend else bench.remember(bundle, found, state_dir)
    peaks = gemm.peaks(working) if bundle.manifest.cost.macs else {}
    return {
        "name": bundle.name,
        "version": bundle.manifest.version,
        "task": bundle.manifest.task,
        "sha256": bundle.sha256,
        "golden": bundle.manifest.golden is not None,
        "measurements": [asdict(m) | _derived(m, bundle, args.fps, peaks.get(m.backend)) for m in found],
        "chosen": choice and choice.backend,
        "remembered_in": str(state_dir / bench.CHOICES)
        if choice and bench.recall(bundle, state_dir) == choice
        else None,
        "left_out": {} if args.backend else bench.left_out(bundle),
        "race": [asdict(place) for place in race.run(bundle, working, args.peer, args.runs)] if args.peer else [],
    }


def _derived(m: bench.Measurement, bundle: Bundle, fps: float, peak: float | None) -> dict[str, Any]:
    """core_share_per_camera: of one core, with every frame prepared, inferred and decoded. Speeds of the best run."""
    ms = m.whole_p50 if m.whole_p50 is not None else m.p50
    speed = bundle.manifest.cost.macs / m.best / 1e6 if bundle.manifest.cost.macs and m.best else None
    return {
        "core_share_per_camera": None if ms is None else round(ms * fps / 1000, 4),
        "gmacs_per_s": speed and round(speed, 1),
        "peak_gmacs_per_s": peak and round(peak, 1),
        "share_of_peak": round(speed / peak, 3) if speed and peak else None,
    }


def _well(row: dict[str, Any]) -> bool:
    """Everything ran, and agrees where there is something to agree with."""
    found = row["measurements"]
    raced = all(not place["error"] for place in row["race"])
    return bool(found) and raced and all(not m["error"] and (m["agrees"] or not row["golden"]) for m in found)


def _table(row: dict[str, Any], fps: float) -> str:
    heads = (
        "backend",
        "best ms",
        "p50",
        "p95",
        "with pre/post p50",
        "p95",
        "best batch",
        "ms each",
        "error / allowed",
        "",
    )
    lines = [heads]
    for m in row["measurements"]:
        if m["error"]:
            lines.append((m["backend"], "failed", *[""] * 8))
            continue
        numbers = (_ms(m[key]) for key in ("best", "p50", "p95", "whole_p50", "whole_p95"))
        mark = "fastest" if m["fastest"] else "" if m["agrees"] or not row["golden"] else "DISAGREES"
        lines.append((m["backend"], *numbers, str(m["best_batch"]), _ms(m["best_batch_ms"]), _agreement(m), mark))
    text = _columns(lines)
    for m in row["measurements"]:
        text.append(f"{m['backend']}: {m['error']}" if m["error"] else _said(m, fps, row["task"]))
    text += [f"{m['backend']} disagrees: {m['caveat']}" for m in row["measurements"] if m["caveat"]]
    text += [f"{name}: {why}" for name, why in row["left_out"].items()]
    if row["chosen"] and not row["remembered_in"]:
        text.append(f"auto would be {row['chosen']} for {row['name']}, but the state directory takes no file")
    elif row["chosen"]:
        text.append(f"auto is now {row['chosen']} for {row['name']}, remembered in {row['remembered_in']}")
    return "\n".join([f"\n{row['name']} {row['version']}", *text, *_race(row["race"])])


def _agreement(m: dict[str, Any]) -> str:
    if m["max_abs_error"] is None:
        return "no golden"
    worst = f"{m['max_abs_error']:.3g} / {m['atol']:.3g}"
    return worst if m["noise_allowed"] is None else f"{worst}, mean {m['noise']:.3g} / {m['noise_allowed']:.3g}"


def _said(m: dict[str, Any], fps: float, task: str) -> str:
    text = f"{m['backend']}: a camera at {fps:g} frames/s takes {100 * m['core_share_per_camera']:.1f} % of one core"
    if task == "classify":
        share = 100 * m["best_batch_ms"] * CROPS / 1000 / EVERY["slots"]
        text = f"{m['backend']}: {CROPS} slots every {EVERY['slots']:g} s take {share:.1f} % of one core"
    if m["share_of_peak"] is not None:
        share, peak = 100 * m["share_of_peak"], m["peak_gmacs_per_s"]
        text += f"; {m['gmacs_per_s']:.0f} GMACs/s, {share:.0f} % of its best int8 GEMM of 1024^3 ({peak:.0f})"
    return text


def _race(places: list[dict[str, Any]]) -> list[str]:
    """Ours and the peers by turns, whole pictures, the fastest first."""
    if not places:
        return []
    lines = [("whole picture, by turns", "backend", "cpu ms", "best", "p50", "p95", "times ours")]
    for p in sorted(places, key=lambda p: p["cpu"] or float("inf")):
        ratio = "" if p["ratio"] is None else f"{p['ratio']:.2f}"
        numbers = (_ms(p[key]) for key in ("cpu", "best", "p50", "p95"))
        lines.append((p["name"] + (" (peer)" if p["peer"] else ""), p["backend"], *numbers, ratio))
    return ["", *_columns(lines), *(f"{p['name']} on {p['backend']}: {p['error']}" for p in places if p["error"])]


def _columns(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
