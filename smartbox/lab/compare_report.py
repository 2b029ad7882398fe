"""What a comparison found: means, spreads, the interval of the paired difference, as numbers and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from smartbox import marked
from smartbox.errors import ConfigError
from smartbox.lab.compare import Comparison, Run, by_seed

SURE = 0.95


@dataclass(frozen=True)
class Difference:
    """Of `ours` minus another, seed by seed, in points. low, high: None with fewer than two seeds."""

    seeds: int
    mean: float
    low: float | None
    high: float | None


def difference(ours: Sequence[float], others: Sequence[float]) -> Difference:
    """Shares in, points out; Student's interval of the mean of the pairs' differences."""
    pairs = 100 * (np.array(ours) - np.array(others))
    mean = float(pairs.mean())
    if len(pairs) < 2:
        return Difference(len(pairs), mean, None, None)
    reach = float(stats.t.ppf((1 + SURE) / 2, len(pairs) - 1) * pairs.std(ddof=1) / np.sqrt(len(pairs)))
    return Difference(len(pairs), mean, mean - reach, mean + reach)


def summary(plan: Comparison, runs: Sequence[Run]) -> dict[str, Any]:
    """For `--json`."""
    return {net: _net(plan, runs, net) for net in plan.nets}


def _net(plan: Comparison, runs: Sequence[Run], net: str) -> dict[str, Any]:
    final, ours = by_seed(runs, net), by_seed(runs, plan.ours)
    searched = {f"{r.lr:g}": r.score for r in runs if r.net == net and r.part == "dev"}
    if not final:
        return {"seeds": [], "searched": searched}
    scores = np.array([run.score for run in final.values()])
    any_run = next(iter(final.values()))
    both = [seed for seed in final if seed in ours]
    found: dict[str, Any] = {
        "seeds": sorted(final),
        "scores": [run.score for run in final.values()],
        "mean": round(float(scores.mean()), 4),
        "spread": round(float(scores.std(ddof=1)), 4) if len(scores) > 1 else None,
        "second": round(float(np.mean([run.second for run in final.values()])), 4),
        "lr": any_run.lr,
        "searched": searched,
        "examples": any_run.examples,
        "macs": any_run.macs,
        "macs_224": any_run.macs_224,
        "params": any_run.params,
    }
    if net != plan.ours and both:
        lead = difference([ours[s].score for s in both], [final[s].score for s in both])
        found["ours_ahead"] = {"seeds": lead.seeds, "mean": lead.mean, "low": lead.low, "high": lead.high}
    return found


def markdown(plan: Comparison, runs: Sequence[Run]) -> str:
    """The table for a REPORT.md."""
    score, second = ("mAP", "mAP50") if plan.detects else ("top-1", "mean recall")
    lines = [
        f"| net | M MACs | k parameters | rate | seeds | {score}, mean ± deviation | {second} "
        f"| {plan.ours} ahead by, points [95 % interval] |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for net, row in summary(plan, runs).items():
        if not row["seeds"]:
            lines.append(f"| {net} | | | | 0 of {len(plan.seeds)} | not finished | | |")
            continue
        spread = "" if row["spread"] is None else f" ± {100 * row['spread']:.1f}"
        cells = (
            net,
            f"{row['macs'] / 1e6:.1f}" + (f", at 224 {row['macs_224'] / 1e6:.1f}" if row["macs_224"] else ""),
            f"{row['params'] / 1e3:.0f}",
            f"{row['lr']:g}" if row["lr"] else "",
            f"{len(row['seeds'])} of {len(plan.seeds)}",
            f"{100 * row['mean']:.1f}{spread}",
            f"{100 * row['second']:.1f}",
            _lead(row.get("ours_ahead")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _lead(lead: dict[str, Any] | None) -> str:
    if lead is None:
        return ""
    interval = "" if lead["low"] is None else f" [{lead['low']:+.1f}, {lead['high']:+.1f}]"
    return f"{lead['mean']:+.1f}{interval}"


def insert(text: str, path: Path, name: str) -> None:
    """Put `text` between the comments `<!-- NAME -->` and `<!-- /NAME -->` of a file."""
    path.write_text(with_table(path, name, text), encoding="utf-8")


def with_table(path: Path, name: str, text: str) -> str:
    """The file with `text` there. ConfigError when it has no such place."""
    try:
        whole = marked.renewed(path.read_text(encoding="utf-8"), name, text)
    except UnicodeDecodeError:
        whole = None
    if whole is None:
        lines = f"a line {marked.begin(name)} and a line {marked.end(name)}"
        raise ConfigError(f"{path}: has no place for the table; write {lines}")
    return whole
