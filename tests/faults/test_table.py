"""The table of faults names every row once, and only tests that exist."""

from tests.conftest import ROOT
from tests.faults.rows import LIVE_ELSEWHERE, ROWS
from tests.faults.table import Told, result


def test_rows_are_named_once_and_those_of_the_contract_are_all_there() -> None:
    keys = [row.key for row in ROWS]
    assert len(keys) == len(set(keys)) and {str(i) for i in range(1, 36)} <= set(keys)


def test_tests_that_live_elsewhere_are_there() -> None:
    gone = []
    for beginnings in LIVE_ELSEWHERE.values():
        for beginning in beginnings:
            path, _, name = beginning.partition("::")
            if not (ROOT / path).is_file() or f"def {name}" not in (ROOT / path).read_text():
                gone.append(beginning)
    assert not gone


def test_a_row_is_passed_only_by_all_of_its_tests() -> None:
    row = next(row for row in ROWS if row.key == "24")
    good, slow = Told("a.py::test_a", "passed", {"held": True}), Told("a.py::test_b", "passed", {"held at 20/s": False})
    left, broke = Told("a.py::test_c", "skipped"), Told("a.py::test_d", "failed")
    assert result(row, []) == "not run" and result(row, [good]) == "pass"
    assert result(row, [good, slow]) == "**miss**: test_b" and result(row, [good, broke, left]) == "**miss**: test_d"
    assert result(row, [left]) == "skipped" and result(row, [good, left]) == "pass, but for test_c: skipped"
