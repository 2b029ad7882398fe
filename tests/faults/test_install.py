"""An install that is killed at any moment: a release runs, and never half of one (fault rows 27 and 29)."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests import tiny
from tests.sealing import box, publisher, sealed

pytestmark = pytest.mark.faults

KILLS = 40
INSTALL = """
import sys, time
from pathlib import Path
from smartbox.keyring import Keyring
from smartbox.keys import PublicKey
from smartbox.shelf import Shelf
state, publisher, *files = sys.argv[1:]
shelf = Shelf(Path(state), Keyring(Path(state), (PublicKey.parse(publisher, "ed25519"),)))
print("ready", flush=True)
for file in files:
    shelf.install(Path(file), time.time())
    print(file, flush=True)
"""


def test_killed_at_random_moments(tmp_path: Path) -> None:
    lab = publisher()
    shelf = box(tmp_path / "state", lab)
    plain = tiny.write(tmp_path / "tiny", "scripted")
    chance, seen, at = random.Random(3), Counter[str](), 0
    shelf.install(sealed(plain, tmp_path / "0.sealed", lab, shelf, seq=0), time.time())
    took = 0.1
    for _ in range(KILLS):
        files = [sealed(plain, tmp_path / f"{at + i}.sealed", lab, shelf, seq=at + i) for i in range(1, 4)]
        command = [sys.executable, "-c", INSTALL, shelf.state_dir, str(lab.public), *files]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            began = time.monotonic()
            process.stdout.readline()
            took = (took + time.monotonic() - began) / 2  # of one install here and now
            time.sleep(chance.uniform(0.0, 1.5 * took))  # how long the next may work before it is killed
            process.kill()
            done = 1 + len(process.stdout.read().splitlines())
        bundle, refused = shelf.open("tiny")
        assert bundle is not None and bundle.manifest.release is not None and refused == []
        now = bundle.manifest.release.release_seq
        assert now in (at + done, at + done + 1), "what was told to be installed is, or the one after it"
        seen["between two"] += now == at + done
        seen["after the switch"] += now == at + done + 1
        at = now
        for path in files:
            path.unlink()
    print(f"\n{KILLS} kills, {at} releases installed: {dict(seen)}")
    assert at > 0
