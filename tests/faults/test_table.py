"""The table of faults names every row once, and only tests that exist."""

from tests.conftest import ROOT
from tests.faults.rows import LIVE_ELSEWHERE, ROWS


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
