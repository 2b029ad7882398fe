"""What a running box does with sealed things: it runs sealed models, and keeps nothing but sealed pictures."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Said, Site
from tests.e2e.conftest import Box
from tests.mosquitto import Consumer, Mosquitto, wait_for

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def start(site: Site, mosquitto: Mosquitto) -> Iterator[Callable[[], Box]]:
    """start() -> the box, running on the test's broker with the configuration as it stands then."""
    boxes = []
    site.edit(f"mqtt://127.0.0.1:{site.port}", mosquitto.url)

    def make() -> Box:
        boxes.append(Box(site.config, site.path / "box.log", SMARTBOX_MODELS=str(site.path / "models")))
        return boxes[-1].start()

    yield make
    for box in boxes:
        if box.running:
            box.kill()


def begun(consumer: Consumer) -> dict[str, object]:
    wait_for(lambda: consumer.on("intrusion"), "an alarm")
    document: dict[str, object] = json.loads(consumer.on("intrusion")[0].payload)
    return document


def test_sealed_on_the_disk_plain_on_the_wire_opened_by_export(
    site: Site, smartbox: Callable[..., Said], start: Callable[[], Box], consumer: Consumer
) -> None:
    site.edit("keep: 14d", "encrypt: true, keep: 14d")
    box = start()
    begin = begun(consumer)
    wait_for(lambda: consumer.on("picture"), "the small picture")
    assert consumer.on("picture")[0].payload.startswith(JPEG), "what is sent stays the same"
    assert box.stop() == 0
    evidence, *others = begin["data"]["evidence"]  # type: ignore[index]
    directory = site.path / "state" / "evidence"
    assert evidence["name"].endswith(".jpg.sealed")
    for path in directory.iterdir():
        assert JPEG not in path.read_bytes()
    out = site.path / "out"
    said = smartbox("events", "-c", site.config, "--export", out)
    assert said.code == 0, said.err
    assert f"pictures in {out}: {1 + len(others)} copied" in said.err
    picture = out / f"{begin['id']}.jpg"
    assert {p.name for p in out.iterdir()} == {picture.name, *(e["name"].removesuffix(".sealed") for e in others)}
    content = picture.read_bytes()
    assert picture.name == evidence["name"].removesuffix(".sealed")
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (evidence["sha256"], evidence["bytes"])
    assert content.startswith(JPEG)
    sealed = directory / evidence["name"]
    sealed.write_bytes(sealed.read_bytes()[:-1] + b"\0")
    said = smartbox("events", "-c", site.config, "--export", out)
    assert (said.code, "was changed" in said.err, "1 refused" in said.err) == (1, True, True)
    sealed.unlink()
    said = smartbox("events", "-c", site.config, "--export", out)
    assert (said.code, "1 no longer kept" in said.err) == (0, True)


def test_sealed_for_a_reader_the_box_itself_cannot_look(
    site: Site, smartbox: Callable[..., Said], start: Callable[[], Box], consumer: Consumer
) -> None:
    key = site.path / "reader.key"
    public = smartbox("lab", "keygen", "-o", key, "--reader", "--json").document["public"]
    site.edit("keep: 14d", f"encrypt: true, readers: ['{public}'], keep: 14d")
    box = start()
    begun(consumer)
    assert box.stop() == 0
    assert not (site.path / "state" / "keys").exists(), "no key on the box at all"
    out = site.path / "out"
    said = smartbox("events", "-c", site.config, "--export", out)
    assert (said.code, "this box has no key" in said.err) == (1, True)
    assert smartbox("events", "-c", site.config, "--export", out, "--key", key).code == 0
    assert {path.read_bytes()[:3] for path in out.iterdir()} == {JPEG}
    sealed = list((site.path / "state" / "evidence").iterdir())
    said = smartbox("unseal", *sealed, "--key", key, "-o", site.path / "away")
    assert (said.code, said.out) == (0, f"{len(sealed)} of {len(sealed)} pictures are in {site.path / 'away'}\n")
    assert {p.name for p in (site.path / "away").iterdir()} == {p.name for p in out.iterdir()}


def test_unseal_says_what_it_cannot_open(site: Site, smartbox: Callable[..., Said]) -> None:
    key = site.path / "reader.key"
    smartbox("lab", "keygen", "-o", key, "--reader")
    said = smartbox("unseal", site.path / "none", "--key", key, "-o", site.path / "out")
    assert (said.code, "none" in said.err) == (1, True)
    said = smartbox("unseal", site.config, "--key", site.config, "-o", site.path / "out")
    assert (said.code, "no private key in PEM" in said.err) == (1, True)


def test_check_warns_where_pictures_lie_open(site: Site, smartbox: Callable[..., Said]) -> None:
    warned = smartbox("check", "-c", site.config, "--json").document
    # Whether this machine's disk is encrypted is this machine's; that of a tmpfs or overlay cannot be told.
    assert all("evidence.encrypt is off" in text for text in warned["warnings"])
    assert warned["plan"]["evidence"] == "not encrypted"
    site.edit("keep: 14d", "encrypt: true, keep: 14d")
    sealed = smartbox("check", "-c", site.config, "--json").document
    assert (sealed["warnings"], sealed["plan"]["evidence"]) == ([], "sealed for this box's own key")
    assert not (site.path / "state").exists(), "a check makes no key"


def test_a_bad_reader_is_named(site: Site, smartbox: Callable[..., Said]) -> None:
    site.edit("keep: 14d", "encrypt: true, readers: [me], keep: 14d")
    said = smartbox("check", "-c", site.config)
    assert (said.code, "evidence.readers.0" in said.err, "seal for" in said.err) == (78, True, True)


def test_export_without_an_outbox(site: Site, smartbox: Callable[..., Said], tmp_path: Path) -> None:
    said = smartbox("events", "-c", site.config, "--export", tmp_path / "out")
    assert (said.code, "outbox" in said.err) == (1, True)


def test_a_sealed_model_runs_and_one_that_was_damaged_gives_way_to_the_one_before(
    site: Site, smartbox: Callable[..., Said], start: Callable[[], Box], consumer: Consumer
) -> None:
    key, sums = site.path / "lab.key", []
    public = smartbox("lab", "keygen", "-o", key, "--json").document["public"]
    site.edit("box: {", f"box: {{publishers: ['{public}'], ")
    site.edit("{bundle: eyes,", "{bundle: eyes, sealed: true,")
    box_key = smartbox("models", "key", "-c", site.config).out.strip()
    for release in ("1", "2"):
        out = site.path / f"{release}.sealed"
        arguments = ["--key", key, "--for", box_key, "--release", release, "-o", out]
        assert smartbox("lab", "seal", site.path / "models" / "eyes", *arguments).code == 0
        sums.append(smartbox("models", "install", out, "-c", site.config, "--json").document["sha256"])
    newest = next((site.path / "state" / "models" / "eyes").glob("2-*"))
    content = newest.read_bytes()
    newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    box = start()
    begin = begun(consumer)
    assert begin["data"]["model"]["sha256"] == sums[0] != sums[1]  # type: ignore[index]
    wait_for(lambda: consumer.on("model_refused"), "the box says so")
    detail = json.loads(consumer.on("model_refused")[0].payload)["data"]["detail"]
    assert detail["model"] == "eyes" and "was changed" in detail["reason"]
    assert box.stop() == 0
