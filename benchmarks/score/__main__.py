"""Scored scenarios: every rule, played twice, against the truth of the plans.

    python -m benchmarks.score [--only RULE] [--scenarios NAME,…] [--columns scripted,pixels] [--jobs 2]
    python -m benchmarks.score --quiet 24 [--jobs 2]
    python -m benchmarks.score --real ../shared/data
    python -m benchmarks.score --sound ../shared/data [--jobs 2]

`scripted`: the exact boxes of all bodies as detections, and what a box's other measurements would say with them.
`pixels`: the same scenario is drawn, and the shipped models see it. Truth and rules are the same in both columns.
What was played is kept in build/score and played again only when the scenario, the rules, the models or the code
changed. The report comes from what is kept: docs/score.md and docs/score.json.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.score import quiet, real, report, sound, store
from benchmarks.score.scenario import Scenario, scenarios

COLUMNS = ("scripted", "pixels")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="RULE", help="scenarios about this rule: fire-lane, sleep, …")
    parser.add_argument("--scenarios", metavar="NAME,…", help="these scenarios, or all whose name begins so")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="scripted, pixels or both (default)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--quiet", type=float, metavar="HOURS", help="simulated hours at 1 fps in which nothing happens"
    )
    parser.add_argument("--real", type=Path, metavar="DIR", help="recordings and pictures of ../shared/data")
    parser.add_argument("--sound", type=Path, metavar="DIR", help="held-out sounds of ../shared/data in background")
    parser.add_argument("--report", action="store_true", help="write the report from what is kept, and play nothing")
    parser.add_argument("--folder", type=Path, default=Path("docs"), help="where the report goes (default docs)")
    args = parser.parse_args()
    columns = tuple(args.columns.split(","))
    if unknown := [c for c in columns if c not in COLUMNS]:
        parser.error(f"--columns: {unknown[0]!r} is none of {', '.join(COLUMNS)}")
    if args.jobs < 1:
        parser.error(f"--jobs: {args.jobs} is not at least 1")
    if args.quiet:
        quiet.watch(args.quiet, args.jobs)
    if args.real:
        real.watch(args.real)
    if args.sound:
        sound.watch(args.sound, args.jobs)
    if not (args.quiet or args.real or args.sound or args.report):
        chosen = _chosen(parser, args.only, args.scenarios)
        _play([(scenario, column) for column in columns for scenario in chosen], args.jobs)
        if not (args.only or args.scenarios):
            sound.watch(None, args.jobs)
    return report.write(args.folder)


def _chosen(parser: argparse.ArgumentParser, rule: str | None, names: str | None) -> list[Scenario]:
    wanted = names.split(",") if names else [""]
    found = [s for s in scenarios() if rule in (None, s.rule) and any(s.name.startswith(n) for n in wanted)]
    if not found:
        parser.error("no scenario is left; the list: benchmarks/score/scenarios/")
    return found


def _play(parts: Sequence[tuple[Scenario, str]], jobs: int) -> None:
    """Play what is not kept, and say of each what came out."""
    left = [part for part in parts if store.kept(*part) is None]
    print(f"{len(parts)} recordings, {len(parts) - len(left)} of them kept from before", file=sys.stderr)
    with ProcessPoolExecutor(jobs) as pool:
        running = {pool.submit(store.play, scenario, column): (scenario, column) for scenario, column in left}
        for number, done in enumerate(as_completed(running), 1):
            scenario, column = running[done]
            print(f"{number}/{len(left)} {column} {scenario.name}: {done.result().words}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
