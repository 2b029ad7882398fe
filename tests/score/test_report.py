"""What the report and the README say of one another."""

import json
from pathlib import Path

import pytest

from benchmarks.score import table
from benchmarks.score.quiet import upper

ROOT = Path(__file__).resolve().parents[2]
SCORE = json.loads((ROOT / "docs" / "score.json").read_text(encoding="utf-8"))


def test_the_readme_says_what_was_measured() -> None:
    """`python -m benchmarks.score --report` writes both."""
    assert table.block(SCORE) in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_report_says_it_too() -> None:
    text = (ROOT / "docs" / "score.md").read_text(encoding="utf-8")
    for column in ("scripted", "pixels"):
        for rule, r in SCORE[column]["rules"].items():
            assert (
                f"| {rule} | {r['positives']} | {r['negatives']} | {r['true']} | {r['false']} | {r['missed']} |" in text
            )
    assert f"{SCORE['quiet']['hours']:g} camera-hours at 1 fps" in text


def test_marks_are_needed_and_only_they_are_written_between(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# a\n")
    assert not table.put(readme, SCORE)
    assert readme.read_text() == "# a\n"
    readme.write_text(f"# a\n{table.BEGIN}\nold\n{table.END}\nb\n")
    assert table.put(readme, SCORE)
    assert readme.read_text() == f"# a\n{table.block(SCORE)}\nb\n"


def test_a_rule_that_was_not_played_says_so() -> None:
    played = {"f1": 1.0, "positives": 3, "negatives": 2}
    out = {"scripted": {"rules": {"crowd": played}, "scenarios": 2}, "pixels": {"rules": {}, "scenarios": 0}}
    assert "| crowd | 1.00 (3 / 2) | – | – |" in table.block(out)


@pytest.mark.parametrize(("count", "bound"), [(0, 2.996), (1, 4.744)])
def test_the_bound_of_what_was_seen_so_often(count: int, bound: float) -> None:
    """Of a Poisson mean, from tables."""
    assert upper(count) == pytest.approx(bound, abs=1e-3)
