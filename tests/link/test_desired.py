"""The wanted configuration. Fault rows 25 (bad, or it loses the broker) and 10 (a save cut at any step)."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from smartbox.cloud.desired import FILE_NAME, LIMIT, STARTS, Desired, RejectedError, Report, Wanted, read
from smartbox.errors import StorageError
from smartbox.keys import PublicKey
from smartbox.statefile import StateFile
from tests.link.box import Box, Cloud
from tests.link.signing import Signer
from tests.mosquitto import Consumer, Mosquitto, wait_for
from tests.ports import free_port

BOX = "park-a/box-1"
GATE = {"gate": {"type": "simulator", "scene": "gate", "fps": 5}}


@pytest.fixture
def keys(signer: Signer) -> list[PublicKey]:
    return [PublicKey.parse(signer.public, "ed25519")]


# -- what is believed --


def test_what_is_signed_for_this_box_is_read(signer: Signer, keys: list[PublicKey]) -> None:
    assert read(signer.document(7, {"rules": {}}), keys, BOX) == Wanted(7, {"rules": {}})


def test_two_keys_are_believed_while_they_are_rotated(signer: Signer, keys: list[PublicKey]) -> None:
    new = Signer()
    both = [*keys, PublicKey.parse(new.public, "ed25519")]
    for each in (signer, new):
        assert read(each.document(1, {}), both, BOX).version == 1


def test_what_is_not_believed(signer: Signer, keys: list[PublicKey]) -> None:
    good = signer.document(7, {})
    none = jwt.PyJWS(algorithms=["none"]).encode(b"{}", None, algorithm="none").encode()
    hmac = jwt.PyJWS(algorithms=["HS256"]).encode(b"{}", "k" * 32, algorithm="HS256").encode()
    head, body, signature = good.split(b".")
    cases: list[tuple[bytes, str]] = [
        (Signer().document(7, {}), "signed by none of cloud.keys"),
        (b".".join((head, body[:-4] + b"AAAA", signature)), "signed by none|no compact JWS"),
        (none, "no compact JWS"),
        (hmac, "no compact JWS"),
        (b"", "no compact JWS"),
        (b'{"version": 7}', "no compact JWS"),
        (good + b"." + good, "no compact JWS"),
        (b"A" * (LIMIT + 1), f"at most {LIMIT}"),
        (signer.document(7, {}, box="park-a/box-2"), "another box"),
        (signer.document(0, {}), "whole number above 0"),
        (signer.document(True, {}), "whole number above 0"),
        (signer.document("7", {}), "whole number above 0"),
        (signer.document(7, []), "config a mapping"),
        (signer.document(7, {}, more=1), "config a mapping"),
        (signer.document(7, {"box": {"id": "box-2"}}), "config.box: cannot be changed"),
        (signer.document(7, {"cloud": {"keys": []}}), "config.cloud: cannot be changed"),
        (signer.sign(b"[" * 5000), "nested|Expecting"),
        (signer.sign(b"\xff"), "UTF-8"),
    ]
    for token, said in cases:
        with pytest.raises(RejectedError, match=said):
            read(token, keys, BOX)
    with pytest.raises(RejectedError, match=r"cloud\.keys is empty"):
        read(good, [], BOX)


# -- the steps, each of which a power cut may follow --


def good(_: Any) -> list[tuple[str, str]]:
    return []


def again(state: Path) -> Desired:
    """After a power cut."""
    desired = Desired(state)
    desired.load()
    return desired


def test_a_trial_becomes_active_when_it_is_confirmed(tmp_path: Path) -> None:
    desired = again(tmp_path)
    assert desired.begin() is None
    assert desired.take(b"a", Wanted(1, {"rules": {}}), good) is True
    assert again(tmp_path).begin() == Wanted(1, {"rules": {}}, starts=1)
    desired = again(tmp_path)
    desired.begin()
    desired.confirm()
    assert again(tmp_path).begin() == desired.state.active and desired.state.trial is None
    assert desired.state.report == Report(1, "applied")
    assert desired.take(b"a", Wanted(1, {"rules": {}}), good) is False, "retained: it comes at every connect"


def test_versions_rise_strictly_also_over_what_was_refused(tmp_path: Path) -> None:
    desired = again(tmp_path)
    with pytest.raises(RejectedError, match="no rule"):
        desired.take(b"five", Wanted(5, {"rules": 1}), lambda _: [("rules", "no rule")])
    assert again(tmp_path).state.report == Report(5, "rejected", ({"path": "rules", "message": "no rule"},))
    assert again(tmp_path).take(b"five", Wanted(5, {"rules": 1}), good) is False, "the same again is not tried again"
    for version in (4, 5):
        with pytest.raises(RejectedError, match="must be above 5"):
            again(tmp_path).take(b"other", Wanted(version, {}), good)


def test_a_trial_that_never_comes_up_is_given_up(tmp_path: Path) -> None:
    desired = again(tmp_path)
    desired.take(b"1", Wanted(1, {"rules": {}}), good)
    desired = again(tmp_path)
    desired.begin()
    desired.confirm()
    desired.take(b"2", Wanted(2, {"mqtt": {}}), good)
    versions = [again(tmp_path).begin() for _ in range(STARTS + 2)]
    assert [w.version for w in versions if w] == [2] * STARTS + [1, 1]
    assert again(tmp_path).state.report.status == "reverted"


def test_the_same_content_under_a_new_version_needs_no_restart(tmp_path: Path) -> None:
    desired = again(tmp_path)
    assert desired.take(b"1", Wanted(1, {}), good) is False
    assert desired.state.report == Report(1, "applied")


def test_a_save_cut_at_any_byte_leaves_the_state_before_it(tmp_path: Path) -> None:
    """Row 10: whatever is left of the file, the one before it is used, and the box starts."""
    desired = again(tmp_path)
    desired.take(b"1", Wanted(1, {"rules": {}}), good)
    desired.confirm()
    desired.take(b"2", Wanted(2, {"rules": {"a": 1}}), good)
    file = tmp_path / FILE_NAME
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        state = again(tmp_path).state
        assert state.active == Wanted(1, {"rules": {}}) and state.trial is None, length
    file.unlink()
    assert again(tmp_path).state.active == Wanted(1, {"rules": {}})
    for path in (file, tmp_path / f"{FILE_NAME}.before"):
        path.write_bytes(b"")
    assert again(tmp_path).begin() is None
    file.write_bytes(whole[:65] + b"\n[]")
    assert again(tmp_path).begin() is None


def test_a_state_file_of_another_shape_is_left_out(tmp_path: Path) -> None:
    for shape in ({"seen": 1}, {"seen": "x", "digest": "", "active": None, "trial": None, "report": {}}):
        StateFile(tmp_path / FILE_NAME).save(shape)
        assert again(tmp_path).begin() is None


def test_a_step_that_cannot_be_stored_did_not_happen(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    desired = again(tmp_path / "file")
    with pytest.raises(StorageError):
        desired.take(b"1", Wanted(1, {"rules": {}}), good)
    assert desired.state.trial is None and desired.state.seen == 0


# -- the whole way --

Boxes = Callable[..., Box]


@pytest.fixture
def boxes(tmp_path: Path, mosquitto: Mosquitto, signer: Signer) -> Iterator[Boxes]:
    made: list[Box] = []

    def make(more: str = "", revert: str = "300s") -> Box:
        cloud = f"cloud: {{keys: ['{signer.public}'], confirm_after: 0s, revert_after: {revert}}}\n"
        made.append(Box(tmp_path / "box", mosquitto.url, cloud + more))
        return made[-1].start()

    yield make
    for box in made:
        box.stop()


def reported(cloud: Cloud, version: int, status: str) -> dict[str, Any]:
    def come() -> dict[str, Any] | None:
        report = cloud.last("reported")
        return report if report and (report["version"], report["status"]) == (version, status) else None

    wait_for(come, f"{status} {version}", 60)
    return come() or {}


def test_a_good_configuration_is_applied_and_survives_a_restart(boxes: Boxes, cloud: Cloud, signer: Signer) -> None:
    box = boxes()
    assert reported(cloud, 0, "applied")["active"] == 0
    cloud.publish("desired", signer.document(1, {"sources": GATE}), retain=True)
    assert reported(cloud, 1, "applied")["active"] == 1
    wait_for(lambda: cloud.last("source/gate"), "the source from above")
    assert box.starts == 2
    box.stop()
    box.start()
    wait_for(lambda: box.starts == 3 and cloud.last("state")["state"] == "ready", "ready again")
    assert set(cloud.last("birth")["sources"]) == {"gate"} and reported(cloud, 1, "applied")
    cloud.publish("desired", signer.document(2, {}), retain=True)
    reported(cloud, 2, "applied")
    wait_for(lambda: not cloud.last("birth")["sources"], "the file's own again")


def test_a_bad_configuration_is_rejected_with_every_error_and_changes_nothing(
    boxes: Boxes, cloud: Cloud, signer: Signer
) -> None:
    box = boxes()
    bad = {
        "sources": {"gate": {"type": "simulater"}},
        "rules": {"r": {"type": "intrusion", "zones": ["z"]}},
        "typo": {},
    }
    cloud.publish("desired", signer.document(1, bad), retain=True)
    report = reported(cloud, 1, "rejected")
    assert {e["path"] for e in report["errors"]} == {"sources.gate.type", "rules.r.zones.0", "typo"}
    assert all("from the cloud" in e["message"] for e in report["errors"])
    assert report["active"] == 0 and box.starts == 1
    cloud.publish("desired", Signer().document(2, {"sources": GATE}), retain=True)
    assert "signed by none" in reported(cloud, 0, "rejected")["errors"][0]["message"]
    cloud.publish("desired", signer.document(1, {"sources": GATE}), retain=True)
    assert "above 1" in reported(cloud, 1, "rejected")["errors"][0]["message"]
    assert box.starts == 1


def test_a_configuration_that_loses_the_broker_is_given_up(boxes: Boxes, cloud: Cloud, signer: Signer) -> None:
    box = boxes(revert="2s")
    box.connected()
    cloud.publish("desired", signer.document(1, {"sources": GATE}), retain=True)
    reported(cloud, 1, "applied")
    nowhere = {"mqtt": {"url": f"mqtt://127.0.0.1:{free_port()}", "connect_timeout": 1}}
    cloud.publish("desired", signer.document(2, nowhere), retain=True)
    report = reported(cloud, 2, "reverted")
    assert report["active"] == 1 and "not reached within 2 s" in report["errors"][0]["message"]
    assert set(cloud.last("birth")["sources"]) == {"gate"}
    assert box.starts == 4
    cloud.command("resync", "alive")
    cloud.answer("alive", "done")
    assert box.starts == 4, "the same document, still retained, is not tried again"


def test_secrets_are_named_from_above_and_lie_on_the_box(
    boxes: Boxes, cloud: Cloud, signer: Signer, tmp_path: Path
) -> None:
    box = boxes()
    sources = {"gate": {"type": "rtsp", "url": "!secret gate_url"}}
    cloud.publish("desired", signer.document(1, {"sources": sources}), retain=True)
    assert "gate_url" in reported(cloud, 1, "rejected")["errors"][0]["message"]
    (box.config.parent / "secrets.yaml").write_text("gate_url: rtsp://admin:hunter2@127.0.0.1:1/x\n")
    cloud.publish("desired", signer.document(2, {"sources": sources}))
    reported(cloud, 2, "applied")
    assert b"hunter2" not in (box.state / FILE_NAME).read_bytes()
    assert not any(b"hunter2" in m.payload for m in cloud.messages)


def test_a_configuration_that_does_not_fit_any_more_is_left_out(boxes: Boxes, cloud: Cloud, signer: Signer) -> None:
    """The file beside it changed: the box starts with the file's, and says so."""
    zones = "zones: {yard: {source: gate, polygon: [[0, 0], [1, 0], [1, 1]]}}"
    box = boxes(f"{zones}\nsources: {{gate: {{type: simulator, scene: gate}}}}")
    rule = {"yard": {"type": "tamper", "cameras": ["gate"]}}
    cloud.publish("desired", signer.document(1, {"rules": rule}), retain=True)
    reported(cloud, 1, "applied")
    box.stop()
    box.config.write_text(box.config.read_text().split("zones:")[0])
    box.start()
    report = reported(cloud, 1, "reverted")
    assert report["errors"][0]["path"].startswith("rules.yard")


def test_without_keys_nothing_is_taken_and_nothing_stays(boxes: Boxes, cloud: Cloud, signer: Signer) -> None:
    box = boxes()
    cloud.publish("desired", signer.document(1, {"sources": GATE}), retain=True)
    reported(cloud, 1, "applied")
    box.stop()
    lines = box.config.read_text().splitlines()
    box.config.write_text("\n".join(line for line in lines if not line.startswith("cloud:")) + "\n")
    box.start()
    assert "cloud.keys is empty" in reported(cloud, 0, "rejected")["errors"][0]["message"]
    assert json.loads(json.dumps(cloud.last("birth")))["sources"] == {}


def test_what_a_configuration_no_longer_has_is_emptied_at_the_broker(
    boxes: Boxes, cloud: Cloud, signer: Signer
) -> None:
    more = "sources: {gate: {type: simulator, scene: gate}, west: {type: simulator, scene: lot, enabled: false}}\n"
    box = boxes(more + "rules: {covered: {type: tamper, cameras: [gate]}}\nhomeassistant: {enabled: true}\n")
    wait_for(lambda: (cloud.last("source/west") or {}).get("state") == "disabled", "the source that is switched off")
    late = Consumer(box.daemon.config.mqtt.port, "late", "#")  # type: ignore[union-attr]
    here = "homeassistant/device/box-1/config"
    wait_for(lambda: any(m.topic == here and m.payload for m in late.messages), "the discovery")
    changed = {"sources": {"east": GATE["gate"]}, "rules": {}, "homeassistant": {"enabled": False}}
    cloud.publish("desired", signer.document(1, changed), retain=True)
    reported(cloud, 1, "applied")
    for name in ("source/gate", "source/west", "active/covered/gate"):
        wait_for(lambda n=name: late.on(n) and not late.on(n)[-1].payload, f"{name} emptied")  # type: ignore[misc]
    wait_for(lambda: not [m for m in late.messages if m.topic == here][-1].payload, "the discovery taken back")
    late.close()
    wait_for(lambda: cloud.last("source/east"), "the new source")
    box.stop()
    new = Consumer(box.daemon.config.mqtt.port, "new", "#")  # type: ignore[union-attr]
    wait_for(lambda: new.on("source/east"), "what is retained")
    assert not new.on("source/gate") and not new.on("source/west")
    new.close()


def test_what_kept_it_from_the_broker_is_reported(boxes: Boxes, cloud: Cloud, mosquitto: Mosquitto) -> None:
    """A refused certificate would stand there in the same way."""
    box = boxes()
    box.connected()
    mosquitto.stop()
    wait_for(lambda: "refused" in box.daemon.publisher._reason, "the reason")  # type: ignore[union-attr]
    mosquitto.start()
    wait_for(lambda: "refused" in (cloud.last("reported").get("link") or {}).get("last_error", ""), "told afterwards")
