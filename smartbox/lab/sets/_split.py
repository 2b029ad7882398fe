"""Which pictures are held out is chosen by their names: how many those are is said, for names may be alike."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from smartbox.errors import ConfigError


def tell(source: Path, held_out: Mapping[str, Sequence[bool]], share: float, rule: str) -> None:
    """Says how many of each kind are in each part.

    ConfigError where nothing is left to train on, unless `share`, of what is to be held out, asks for that.
    """
    sys.stderr.write(f"{source}: {_counts(held_out, False)} to train on; {_counts(held_out, True)} held out\n")
    every = [out for kind in held_out.values() for out in kind]
    if every and all(every) and share < 1:
        raise ConfigError(f"{source}: every picture ({len(every)}) is held out, none is left to train on: {rule}")


def _counts(held_out: Mapping[str, Sequence[bool]], part: bool) -> str:
    return ", ".join(f"{sum(out == part for out in kind)} {name}" for name, kind in held_out.items())
