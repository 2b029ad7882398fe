"""Models from above: fetched over HTTPS, opened only when signed for this box, and with a way back."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbox import configured
from smartbox.bundle import Bundle
from smartbox.keys import SigningKey
from tests import sealing
from tests.e2e.conftest import scripted_bundle, seen
from tests.link.box import Box, Cloud
from tests.link.certificates import Authority
from tests.link.https import Storage
from tests.mosquitto import Mosquitto, wait_for


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    """The first answer to each path breaks off after a thousand bytes."""
    authority = Authority(tmp_path / "authority")
    storage = Storage(*authority.server("localhost"), answer=lambda path, nth: 0 if nth == 1 else 200)
    storage.ca = authority.ca  # type: ignore[attr-defined]
    yield storage
    storage.close()


@pytest.fixture
def publisher() -> SigningKey:
    return sealing.publisher()


@pytest.fixture
def box(tmp_path: Path, mosquitto: Mosquitto, storage: Storage, publisher: SigningKey) -> Iterator[Box]:
    """It runs release 1 of the model `eyes`."""
    more = f"cloud: {{model_hosts: ['localhost:{storage.port}'], https_ca: {storage.ca}}}\n"  # type: ignore[attr-defined]
    more += "models: {eyes: {bundle: eyes, backends: [scripted], sealed: true}}\n"
    more += "sources: {gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}\n"
    box = Box(tmp_path / "box", mosquitto.url, more)
    text = box.config.read_text().replace("id: box-1", f"id: box-1, publishers: ['{publisher.public}']")
    box.config.write_text(text)
    box.state.mkdir(mode=0o700)
    shelf = sealing.box(box.state, publisher)
    shelf.install(release(tmp_path, publisher, box, 1), sealing.NOW)
    yield box.start()
    box.stop()


def release(tmp_path: Path, publisher: SigningKey, box: Box, seq: int, name: str = "eyes", **terms: str) -> Path:
    directory = tmp_path / f"release-{name}-{seq}-{len(terms)}" / name
    bundle = scripted_bundle(directory, *[seen("person")] * (seq * 30))
    shelf = sealing.box(box.state, publisher)
    target = directory.with_suffix(".sealed")
    return sealing.sealed(Bundle.open(bundle.path), target, publisher, shelf, seq=seq, **terms)


def offer(storage: Storage, file: Path) -> dict[str, str]:
    path, content = f"/{file.parent.name}", file.read_bytes()
    storage.files[path] = content
    return {"url": storage.url(path), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_new_release_is_fetched_installed_and_runs(
    box: Box, cloud: Cloud, storage: Storage, publisher: SigningKey, tmp_path: Path
) -> None:
    box.connected()
    wait_for(lambda: cloud.last("birth"), "the birth")
    first = cloud.last("birth")["models"]["eyes"]["sha256"]
    new = offer(storage, release(tmp_path, publisher, box, 2))
    cloud.command("model-update", "m", **new)
    detail = cloud.answer("m", "done")["detail"]
    assert (detail["name"], detail["release_seq"]) == ("eyes", 2) and box.starts == 2
    assert storage.tries["/release-eyes-2-0"] == 2, "it went on where the line broke"
    wait_for(lambda: cloud.last("birth")["models"]["eyes"]["sha256"] == detail["sha256"] != first, "it runs")
    old = tmp_path / "release-eyes-1-0" / "eyes.sealed"
    cloud.command("model-update", "m2", **offer(storage, old))
    assert "nothing older" in cloud.answer("m2", "failed")["detail"]["reason"]


def test_what_is_not_for_this_box_is_refused_and_the_old_one_runs_on(
    box: Box, cloud: Cloud, storage: Storage, publisher: SigningKey, tmp_path: Path
) -> None:
    box.connected()
    good = offer(storage, release(tmp_path, publisher, box, 2))
    stranger = offer(storage, release(tmp_path, sealing.publisher(), box, 3))
    other = offer(storage, release(tmp_path, publisher, box, 4, name="ears"))
    cases = {
        "hash": (good | {"sha256": "0" * 64}, "has the sha256"),
        "key": (stranger, "which box.publishers does not name"),
        "name": (other, "no model of this box"),
        "host": (good | {"url": "https://models.example/x"}, "not in cloud.model_hosts"),
        "plain": (good | {"url": good["url"].replace("https", "http")}, "must be https"),
        "none": ({}, "url and sha256"),
    }
    for name, (args, said) in cases.items():
        cloud.command("model-update", name, **args)
        assert said in cloud.answer(name, "failed")["detail"]["reason"]
    assert box.starts == 1 and not (box.state / ".incoming-model").exists()


def test_with_a_bad_configuration_nothing_changes(
    box: Box, cloud: Cloud, storage: Storage, publisher: SigningKey, tmp_path: Path
) -> None:
    """Somebody edits the file just then: the release that runs is sent again, and a new one."""
    box.connected()
    first = tmp_path / "release-eyes-1-0" / "eyes.sealed"
    pointer = box.state / "models" / "eyes" / "installed.json"
    before, text = pointer.read_bytes(), box.config.read_text()
    box.config.write_text(text.replace("type: simulator", "type: simulato"))
    for name, file in (("again", first), ("new", release(tmp_path, publisher, box, 2))):
        cloud.command("model-update", name, **offer(storage, file))
        detail = cloud.answer(name, "failed")["detail"]
        assert "the one before stays" in detail["reason"] and "simulato" in detail["errors"][0]["message"]
        assert pointer.read_bytes() == before and box.starts == 1
    box.config.write_text(text)
    cloud.command("model-update", "good", **offer(storage, release(tmp_path, publisher, box, 3)))
    assert cloud.answer("good", "done")["detail"]["release_seq"] == 3


def test_nothing_older_than_what_ran_from_its_path(
    box: Box, cloud: Cloud, publisher: SigningKey, tmp_path: Path
) -> None:
    box.connected()
    box.stop()
    text, other = box.config.read_text(), tmp_path / "other.yaml"
    old, new = (release(tmp_path, publisher, box, seq) for seq in (3, 4))

    def refused(path: Path) -> list[str]:
        other.write_text(text.replace("bundle: eyes,", f"bundle: {path},"))
        return [message for _, message in configured.check(other, {})]

    assert refused(new) == refused(old) == [], "to look at one is not to run it"
    box.config.write_text(text.replace("bundle: eyes,", f"bundle: {new},"))
    box.start()
    wait_for(lambda: refused(old), "the box runs release 4", 60)
    box.stop()
    assert "is release 3 of eyes; this box has seen 4" in refused(old)[0]
    assert refused(new) == []
