"""Whether what is written to a directory is encrypted by the disk below it."""

import os
from pathlib import Path

_SYS = Path("/sys")


def encrypted(directory: Path, sys: Path = _SYS) -> bool | None:
    """True: it lies on dm-crypt (LUKS), also below LVM or RAID. False: it does not. None: it cannot be told from here.

    A file system that encrypts by itself (fscrypt, ZFS, a self-encrypting disk) is not seen.
    """
    try:
        device = directory.stat().st_dev
    except OSError:
        return None
    return device_encrypted(os.major(device), os.minor(device), sys)


def device_encrypted(major: int, minor: int, sys: Path = _SYS) -> bool | None:
    """The same for a block device."""
    if major == 0:  # tmpfs, overlay, btrfs, network: no block device of its own
        return None
    return _encrypted(sys / "dev" / "block" / f"{major}:{minor}", depth=8)


def _encrypted(node: Path, depth: int) -> bool | None:
    if not node.exists() or depth == 0:
        return None
    try:
        if (node / "dm" / "uuid").read_text(encoding="utf-8").startswith("CRYPT-"):
            return True
    except OSError:
        pass  # no device mapper
    below = sorted((node / "slaves").glob("*"))
    answers = [_encrypted(part, depth - 1) for part in below]
    if not answers:
        return False
    return None if None in answers else all(answers)
