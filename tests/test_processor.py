"""What a processor says of itself in /proc/cpuinfo."""

from pathlib import Path

import pytest

from smartbox import processor
from smartbox.backends.openvino import Plugin

X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx avx2 {more}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0b\n"


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (X86.format(more="avx512_vnni"), True),
        (X86.format(more="avx_vnni"), True),
        (X86.format(more="fma"), False),
        (ARM, True),
        ("", True),
    ],
)
def test_sums_are_whole_on_arm_and_with_vnni(tmp_path: Path, text: str, whole: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")
    assert processor.whole_sums(tmp_path / "cpuinfo") is whole


def test_a_machine_that_tells_nothing_is_not_accused(tmp_path: Path) -> None:
    assert processor.whole_sums(tmp_path / "none")


def test_only_openvinos_own_kernels_have_the_caveat() -> None:
    assert bool(Plugin().caveat()) is not processor.whole_sums()
    assert not Plugin(device="GPU").caveat()
    assert processor.machine()
