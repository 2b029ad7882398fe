"""Row 28 on the whole box: what is new kills the process at every start, and after three starts the old is back.

For models and configurations, which the box takes up by itself; the program is installed from outside.
"""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.bundle import Bundle
from tests import sealing
from tests.e2e.conftest import Box, documents, scripted_bundle, seen
from tests.link.box import Cloud
from tests.link.signing import Signer
from tests.mosquitto import Consumer, Mosquitto, wait_for

Start = Callable[..., Box]
Tell = Callable[[str, object], None]
STARTS = 3


@pytest.fixture
def start(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Start]:
    """start(model, publishers, keys): a box with one camera and this model, which trusts these."""
    boxes: list[Box] = []

    def make(model: str, publishers: str = "", keys: str = "") -> Box:
        config = tmp_path / "smartbox.yaml"
        config.write_text(
            f"version: 1\nbox: {{site: park-a, id: box-1, state_dir: {tmp_path}/state, publishers: [{publishers}]}}\n"
            f"mqtt: {{url: {mosquitto.url}}}\ncloud: {{keys: [{keys}]}}\nmodels: {{eyes: {model}}}\n"
            "sources: {gate: {type: simulator, scene: gate, fps: 5, model: eyes, gate: false}}\n"
        )
        boxes.append(Box(config, tmp_path / "box.log"))
        return boxes[-1].start()

    yield make
    for box in boxes:
        box.close()


@pytest.fixture
def signer() -> Signer:
    return Signer()


def dies(box: Box) -> bool:
    return box.wait(120) == -signal.SIGABRT


@pytest.mark.row(28)
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_row_28_a_model_that_kills_the_process(
    tmp_path: Path, start: Start, consumer: Consumer, record_property: Tell
) -> None:
    publisher = sealing.publisher()
    shelf = sealing.box(tmp_path / "state", publisher)
    sums = []
    for seq, line in enumerate((seen("person"), {"crash": True}), 1):
        bundle = scripted_bundle(tmp_path / f"release-{seq}" / "eyes", line)
        file = sealing.sealed(Bundle.open(bundle.path), tmp_path / f"{seq}.sealed", publisher, shelf, seq=seq)
        sums.append(shelf.install(file, sealing.NOW).sha256)
    box = start("{bundle: eyes, backends: [scripted], sealed: true}", publishers=f"'{publisher.public}'")
    for _ in range(STARTS - 1):
        assert dies(box)
        box.start()
    assert dies(box)
    box.start()
    wait_for(lambda: documents(consumer, "event/system/model_refused"), "the refusal", 120)
    told = documents(consumer, "event/system/model_refused")[-1]["data"]["detail"]
    assert told["model"] == "eyes" and "died 3 times" in told["reason"]
    assert documents(consumer, "birth")[-1]["models"]["eyes"]["sha256"] == sums[0]
    record_property("starts with a new model", STARTS)
    assert box.stop() == 0


@pytest.mark.row(28)
@pytest.mark.faults
@pytest.mark.timeout(600)
def test_row_28_a_configuration_that_kills_the_process(
    tmp_path: Path, start: Start, mosquitto: Mosquitto, signer: Signer, record_property: Tell
) -> None:
    good = scripted_bundle(tmp_path / "good", seen("person"))
    bad = scripted_bundle(tmp_path / "bad", {"crash": True})
    cloud = Cloud(mosquitto.port)
    box = start(f"{{bundle: {good.path}, backends: [scripted]}}", keys=f"'{signer.public}'")
    wait_for(lambda: cloud.last("birth"), "the box", 120)
    models = {"eyes": {"bundle": str(bad.path), "backends": ["scripted"]}}
    cloud.publish("desired", signer.document(1, {"models": models}), retain=True)
    starts = 0

    def reverted() -> bool:
        return (cloud.last("reported") or {}).get("status") == "reverted"

    while not reverted():
        wait_for(lambda: reverted() or not box.running, "its death, or the old configuration", 120)
        if not box.running:
            assert dies(box) and starts < STARTS
            starts += 1
            box.start()
    assert cloud.last("reported")["version"] == 1 and cloud.last("reported")["active"] == 0
    assert json.loads(cloud.on("birth")[-1].payload)["models"]["eyes"]["name"] == "good"
    record_property("starts with a new configuration", starts)
    assert box.stop() == 0
    cloud.close()
