"""Whether an engine agrees with golden outputs, where its processor lets that be judged."""

import pytest

from smartbox.agreement import Agreement
from smartbox.backends._base import BackendSettings


def judge(found: Agreement, engine: BackendSettings) -> None:
    """Asserts that it does; skips, and says why, where the engine cannot be right on this processor."""
    if not found.holds and engine.caveat():
        pytest.skip(f"cannot be judged here, {found}: {engine.caveat()}")
    assert found.holds, str(found)
