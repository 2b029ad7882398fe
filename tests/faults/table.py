"""What the fault tests recorded, as the table of docs/reliability.md.

A test belongs to a row by `@pytest.mark.row(9)` and tells its figures with pytest's `record_property`:
`repetitions`, `lost`, `duplicates`, and whatever else the row is about; `held` is False when a figure (which is no
assertion, for machines differ) missed its line. `pytest --table FILE.json` keeps what was recorded; then
`python -m tests.faults.table OUT.md FILE.json ...` makes the page of one run, or of its parts side by side.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from smartbox import __version__
from tests.faults.rows import ROWS, Row

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Told:
    """One test: its outcome and the figures it told."""

    test: str
    outcome: str
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return self.outcome == "passed" and all(v for k, v in self.figures.items() if k.startswith("held"))


class Table:
    """Collects reports; keeps them when the run is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.time()
        self._told: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        figures = {k: v for k, v in report.user_properties if k != "row"}
        rows = {str(row) for name, row in report.user_properties if name == "row"}
        if rows:
            one = Told(report.nodeid, report.outcome, figures)
            self._told.append({"rows": sorted(rows), **asdict(one)})

    def pytest_sessionfinish(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = {"began": self._began, "ended": time.time(), "told": self._told}
        self._path.write_text(json.dumps(record, indent=1, default=str) + "\n")


def join(paths: Sequence[Path]) -> str:
    """The page of these records; a test that ran in several of them counts by its last."""
    records = [json.loads(path.read_text()) for path in paths]
    last = {one["test"]: one for record in records for one in record["told"]}
    told: dict[str, list[Told]] = defaultdict(list)
    for one in last.values():
        for row in one.pop("rows"):
            told[row].append(Told(**one))
    began, ended = min(r["began"] for r in records), max(r["ended"] for r in records)
    return document(told, began, ended, len(records))


def document(told: dict[str, list[Told]], began: float, ended: float, parts: int) -> str:
    lines = [
        "# Reliability",
        "",
        "What was broken on purpose, and what became of it. `make faults` writes this page from what its tests",
        "recorded in that one run; nothing here is written by hand. The faults and their lines are fixed beforehand.",
        "",
        *machine(began, ended, parts),
        "",
        "| # | fault | must | times | recorded | result | tests |",
        "|---|---|---|---|---|---|---|",
        *(line(row, told.get(row.key, [])) for row in ROWS),
        "",
        "*times*: repetitions, else the number of tests. *pass* and *miss* are this run's; *not here*: the row has",
        "its tests in another suite, which is named. kill -9 (row 8) proves nothing about power cuts; row 9 does, for",
        "a disk that keeps what it promised at fsync.",
        "",
    ]
    return "\n".join(lines)


def machine(began: float, ended: float, parts: int) -> list[str]:
    names = [s.split(":")[1].strip() for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
    broker = subprocess.run(["mosquitto", "-h"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    how = f", in {parts} parts side by side" if parts > 1 else ""
    return [
        f"- {datetime.fromtimestamp(began, UTC):%Y-%m-%d %H:%M} UTC, {(ended - began) / 60:.0f} minutes{how}, "
        f"smartbox {__version__} ({revision()})",
        f"- {os.cpu_count()} x {names[0] if names else platform.processor()}, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, load {os.getloadavg()[2]:.1f} over the last quarter hour",
        f"- Linux {platform.release()}, Python {platform.python_version()}, {broker}",
    ]


def revision() -> str:
    ask = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not a checkout"


def line(row: Row, told: list[Told]) -> str:
    ran = [one for one in told if one.outcome != "skipped"]
    times = sum(int(one.figures.get("repetitions", 1)) for one in ran)
    files = {one.test.split("::")[0] for one in told}
    where = ", ".join(f"`{name}`" for name in sorted(files)) or row.elsewhere
    cells = [row.key, row.fault, row.line, str(times or ""), recorded(ran), result(row, told), where]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def recorded(told: list[Told]) -> str:
    """Figures of all tests of a row: equal names are summed when they count, else listed."""
    merged: dict[str, list[Any]] = defaultdict(list)
    for one in told:
        for name, figure in one.figures.items():
            if name != "repetitions" and not name.startswith("held"):
                merged[name].append(figure)
    return "; ".join(f"{name} {shown(figures)}" for name, figures in merged.items())


def shown(values: list[Any]) -> str:
    if all(isinstance(v, int) for v in values):
        return str(sum(values))
    return ", ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)


def short(one: Told) -> str:
    return one.test.split("::")[-1]


def result(row: Row, told: list[Told]) -> str:
    if not told:
        return "not here" if row.elsewhere else "not run"
    missed = [one for one in told if one.outcome != "skipped" and not one.held]
    if missed:
        return "**miss**: " + ", ".join(map(short, missed))
    if skipped := [one for one in told if one.outcome == "skipped"]:
        return "skipped" if len(skipped) == len(told) else f"pass, but for {', '.join(map(short, skipped))}: skipped"
    return "pass"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(join([Path(path) for path in sys.argv[2:]]))
