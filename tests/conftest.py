"""Shared fixtures: the data beside the project, and what every suite needs."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data folder beside the project; tests that use it are skipped loudly without it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: this test needs the data that lies beside the project")
    return SHARED
