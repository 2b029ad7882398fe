"""What this processor is and can do, as Linux tells it."""

import os
import platform
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
VNNI = {"avx512_vnni", "avx_vnni"}


def machine() -> str:
    """What this machine is, in words."""
    wanted = ("model name", "Model", "CPU part", "Hardware")  # x86 has the first, ARM some of the others
    found = dict.fromkeys(value for key, value in _facts(CPUINFO) if key.startswith(wanted))
    return f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(found) or platform.processor() or 'unknown'}"


def whole_sums(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the fast 8-bit kernels add up right: on x86 without VNNI they cut off sums of two products at 16 bits."""
    flags = next((value.split() for key, value in _facts(cpuinfo) if key == "flags"), None)  # ARM has none of the name
    return flags is None or not VNNI.isdisjoint(flags)


@cache
def _facts(cpuinfo: Path) -> list[tuple[str, str]]:
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]
