"""What is particular to MNN."""

from pathlib import Path

import pytest

from smartbox.backends.mnn import Plugin
from smartbox.errors import BackendError
from tests import tiny

pytestmark = pytest.mark.skipif(not Plugin.installed(), reason="MNN is not installed")


def test_nothing_of_what_it_prints_gets_into_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Which may be a JSON document; MNN writes about the processor and about models that it does not like."""
    good = tiny.write(tmp_path / "good", "mnn")
    session = Plugin().open(good)
    print("{}")
    session.run({"image": tiny.INPUT})
    session.close()
    with pytest.raises(BackendError, match="mnn: tiny"):
        Plugin().open(tiny.write(tmp_path / "bad", "mnn", files={"mnn": b"no model"}))
    assert capfd.readouterr().out == "{}\n"


@pytest.mark.parametrize("device", ["CUDA", "OPENCL", "VULKAN"])
def test_a_device_that_is_absent_is_no_cpu_in_silence(tmp_path: Path, device: str) -> None:
    bundle = tiny.write(tmp_path / "tiny", "mnn")
    for _ in range(3):
        with pytest.raises(BackendError, match=f"device {device} is absent"):
            Plugin(device=device).open(bundle)
