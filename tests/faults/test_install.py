"""Rows 27 and 29, as far as models go: installs that are killed at any moment, and files that were tampered with."""

import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smartbox.keyring import Keyring
from smartbox.keys import SealError
from smartbox.sealed import TAG
from smartbox.shelf import Shelf
from tests import tiny
from tests.faults.disk import lay
from tests.faults.trace import recorded
from tests.sealing import NOW, box, publisher, sealed

Tell = Callable[[str, Any], None]

KILLS = 40
TAMPERED = 500
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


@pytest.mark.row(27)
@pytest.mark.faults
def test_row_27_killed_at_random_moments(tmp_path: Path, record_property: Tell) -> None:
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
    record_property("repetitions", KILLS)
    record_property("model installs cut", dict(seen))
    assert at > 0


@pytest.mark.row(27)
@pytest.mark.parametrize(("installs", "images"), [(6, 100), pytest.param(40, 2000, marks=pytest.mark.faults)])
@pytest.mark.timeout(1800)
def test_row_27_the_power_goes_while_it_installs(
    tmp_path: Path, installs: int, images: int, record_property: Tell
) -> None:
    """On every image of the disk a whole release runs: the one that was told to be current, or the one on its way."""
    lab = publisher()
    owner = box(tmp_path / "owner", lab)
    plain = tiny.write(tmp_path / "tiny", "scripted")
    files = [sealed(plain, tmp_path / f"{i}.sealed", lab, owner, seq=i) for i in range(1, installs + 1)]
    state = tmp_path / "box" / "state"
    state.parent.mkdir()
    record = recorded(state, "tests.faults.install", state, owner.keyring.path, lab.public, *files)
    told = [int(text.split()[1]) for text in record.said(len(record.steps))]
    points, dice = [0, *record.syncs(), len(record.steps)], random.Random(11)
    keyring = Keyring(tmp_path, owner.keyring.publishers, owner.keyring.path.read_text())
    for i in range(images):
        here = i % (len(points) - 1)
        cut = points[here] if i < len(points) else dice.randint(points[here], points[here + 1])
        disk = tmp_path / f"disk-{i}"
        disk.mkdir()
        lay(record.image(cut, dice), str(state), disk)
        shelf = Shelf(disk, keyring)
        done = len(list(record.said(cut)))
        bundle, refused = shelf.open("tiny")
        if bundle is None:
            assert done == 0, f"after step {cut}: {refused}"
        else:
            assert bundle.manifest.release is not None and refused == []
            assert bundle.manifest.release.release_seq in told[max(0, done - 1) : done + 1], f"after step {cut}"
        if done and told[done - 1] > 1:
            with pytest.raises(SealError, match="takes nothing older"):
                shelf.install(files[0], NOW)
        shelf.install(files[-1], NOW)
        shutil.rmtree(disk)
    record_property("repetitions", images)
    record_property("sync points of installs", len(record.syncs()))


@pytest.mark.row(29)
@pytest.mark.faults
def test_row_29_tampered_at_random(tmp_path: Path, record_property: Tell) -> None:
    lab = publisher()
    shelf = box(tmp_path / "state", lab)
    plain = tiny.write(tmp_path / "tiny", "scripted", "onnxruntime")
    shelf.install(sealed(plain, tmp_path / "1.sealed", lab, shelf, seq=1), time.time())
    good = sealed(plain, tmp_path / "2.sealed", lab, shelf, seq=2, chunk=512)
    chance, refused = random.Random(5), Counter[str]()
    bad = tmp_path / "bad.sealed"
    for i in range(TAMPERED):
        how = list(HARM)[i % len(HARM)]
        bad.write_bytes(HARM[how](good.read_bytes(), chance))
        with pytest.raises(SealError):
            shelf.install(bad, time.time())
        refused[how] += 1
        slot = shelf.slot("tiny")
        assert slot is not None and slot.current.release_seq == 1
    assert shelf.open("tiny")[1] == []
    shelf.install(good, time.time())
    record_property("repetitions", TAMPERED)
    record_property("refused", dict(refused))


def flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncated(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def reordered(content: bytes, chance: random.Random) -> bytes:
    """Two whole chunks change places."""
    begin = 22 + int.from_bytes(content[18:22], "big")
    size = 512 + TAG
    one, two = sorted(chance.sample(range((len(content) - begin) // size), 2))
    chunks = [content[i : i + size] for i in range(begin, len(content), size)]
    chunks[one], chunks[two] = chunks[two], chunks[one]
    return content[:begin] + b"".join(chunks)


def appended(content: bytes, chance: random.Random) -> bytes:
    return content + chance.randbytes(chance.randrange(1, 2000))


HARM = {"bit flipped": flipped, "truncated": truncated, "chunks reordered": reordered, "something behind": appended}
