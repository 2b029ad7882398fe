"""Whether a disk is encrypted, on a fake sysfs."""

import os
from pathlib import Path

import pytest

from smartbox import disk


def device(sys: Path, number: str, uuid: str | None = None, *slaves: str) -> None:
    """A block device as sysfs shows it; slaves are links to others."""
    node = sys / "dev" / "block" / number
    (node / "slaves").mkdir(parents=True)
    if uuid is not None:
        (node / "dm").mkdir()
        (node / "dm" / "uuid").write_text(f"{uuid}\n")
    for slave in slaves:
        (node / "slaves" / slave).symlink_to(sys / "dev" / "block" / slave)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("8:1", False),  # a partition
        ("253:0", True),  # LUKS on it
        ("253:1", True),  # LVM on LUKS
        ("253:2", False),  # LVM on a bare partition
        ("9:0", False),  # RAID of which one half is encrypted
        ("0:42", None),  # tmpfs
        ("7:7", None),  # sysfs does not know it
    ],
)
def test_what_lies_below(tmp_path: Path, number: str, answer: bool | None) -> None:
    device(tmp_path, "8:1")
    device(tmp_path, "8:2")
    device(tmp_path, "253:0", "CRYPT-LUKS2-0123-data", "8:1")
    device(tmp_path, "253:1", "LVM-abc", "253:0")
    device(tmp_path, "253:2", "LVM-def", "8:2")
    device(tmp_path, "9:0", None, "253:0", "8:2")
    major, minor = map(int, number.split(":"))
    assert disk.device_encrypted(major, minor, tmp_path) is answer


def test_a_directory_is_looked_up_by_its_device(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    device(tmp_path / "sys", f"{os.major(number)}:{os.minor(number)}", "CRYPT-LUKS2-x")
    assert disk.encrypted(tmp_path, tmp_path / "sys") is (True if os.major(number) else None)
    assert disk.encrypted(tmp_path / "none") is None
