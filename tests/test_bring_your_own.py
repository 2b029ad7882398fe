"""The guide's program is run as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smartbox.__main__ import main
from smartbox.bundle import Bundle

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide" / "bring-your-own-detector.md"


@pytest.mark.shared
def test_the_guides_program_makes_a_bundle_that_benches(shared: Path, tmp_path: Path) -> None:
    shutil.copy(shared / "peers" / "yolox_nano.onnx", tmp_path)
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr
    bundle = Bundle.open(tmp_path / "yolox-nano")
    assert bundle.manifest.expand("vehicle") == ("car", "bus", "truck")
    assert main(["models", "verify", str(bundle.path)]) == 0
    assert main(["bench", "--bundle", str(bundle.path), "--runs", "3"]) == 0
