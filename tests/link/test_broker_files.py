"""What lies in deploy/broker, with a whole box: commands, configuration, Home Assistant, and mutual TLS."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.link.box import ROOT, Box, Cloud
from tests.link.certificates import Authority
from tests.link.signing import Signer
from tests.mosquitto import SHIPPED, Consumer, Mosquitto, wait_for
from tests.ports import free_port

FILES = SHIPPED.parent
MORE = "sources: {gate: {type: simulator, scene: gate, fps: 5}}\nhomeassistant: {enabled: true}\n"
Brokers = Callable[..., Mosquitto]


def users(directory: Path, *names: str) -> Path:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto_passwd is not installed: it comes with mosquitto")
    file = directory / "passwd"
    file.touch()
    for name in names:
        subprocess.run(["mosquitto_passwd", "-b", file, name, "pw"], check=True)
    return file


def acl(directory: Path, *uncommented: str) -> Path:
    """The shipped one, with the lines of Home Assistant as their comment says."""
    text = (FILES / "smartbox.acl").read_text()
    file = directory / "smartbox.acl"
    file.write_text(re.sub(r"^#(?=(pattern|user|topic) )", "", text, flags=re.M))
    return file


def test_a_whole_box_works_under_the_shipped_acl(tmp_path: Path, brokers: Brokers) -> None:
    passwords = users(tmp_path, "box-1", "cloud", "homeassistant")
    broker = brokers(f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl(tmp_path)}")
    signer = Signer()
    cloud = Cloud(broker.port, ("cloud", "pw"))
    assistant = Consumer(broker.port, "homeassistant", "homeassistant/#", ("homeassistant", "pw"))
    trusted = f"cloud: {{keys: ['{signer.public}'], confirm_after: 0s}}\n"
    box = Box(tmp_path / "box", broker.url, MORE + trusted, ", credentials: 'box-1:pw'").start()
    try:
        wait_for(lambda: (cloud.last("source/gate") or {}).get("state") == "online", "the camera")
        wait_for(lambda: assistant.on("device/box-1/config"), "the discovery")
        cloud.command("snapshot", "s")
        cloud.answer("s", "done")
        wait_for(lambda: cloud.on("media/") and cloud.on("picture/"), "its announcement")
        cloud.publish("desired", signer.document(1, {"rules": {"r": {"type": "tamper", "cameras": ["gate"]}}}), True)
        wait_for(lambda: (cloud.last("reported") or {}).get("active") == 1, "applied")
        count = len(assistant.on("device/box-1/config"))
        assistant._client.publish("homeassistant/status", "online", 1)
        wait_for(lambda: len(assistant.on("device/box-1/config")) > count, "again on Home Assistant's birth")
        assert box.daemon is not None and box.daemon.publisher.status.failed == 0
    finally:
        box.stop()
        cloud.close()
        assistant.close()


def test_the_certificate_is_the_user_with_the_shipped_tls_lines(tmp_path: Path, brokers: Brokers) -> None:
    """Mutual TLS: no password at all; the ACL takes the certificate's common name."""
    authority = Authority(tmp_path / "authority")
    paths = dict(zip(("certfile", "keyfile"), authority.server("localhost"), strict=True), cafile=authority.ca)
    block = SHIPPED.read_text().partition("#listener 8883\n")[2]
    lines = [line[1:] for line in block.splitlines() if line.startswith("#") and not line.startswith(("# ", "#crl"))]
    assert "require_certificate true" in lines and "tls_version tlsv1.2" in lines
    tls = "\n".join(f"{word} {paths.get(word, rest)}" for word, _, rest in (line.partition(" ") for line in lines))
    port = free_port()
    broker = brokers(
        f"password_file {users(tmp_path, 'cloud')}\nacl_file {acl(tmp_path)}\n"
        f"allow_anonymous false\nlistener {port}\n{tls}"
    )
    cert, key = authority.server("box-1")
    cloud = Cloud(broker.port, ("cloud", "pw"))
    mqtt = f", ca: {authority.ca}, cert: {cert}, key: {key}"
    box = Box(tmp_path / "box", f"mqtts://localhost:{port}", mqtt=mqtt).start()
    try:
        box.connected()
        cloud.command("resync", "c")
        cloud.answer("c", "done")
        assert cloud.last("state")["state"] == "ready"
        box.stop()
        cert, key = authority.server("box-2")
        text = box.config.read_text()
        box.config.write_text(text.replace(f"{tmp_path}/authority/box-1.", f"{tmp_path}/authority/box-2."))
        box.start()
        wait_for(lambda: box.starts == 2 and box.daemon and box.daemon.publisher._failed, "refused as box-1")
        assert not box.daemon.publisher._sent  # type: ignore[union-attr]
    finally:
        box.stop()
        cloud.close()


def test_both_brokers_have_the_same_rules() -> None:
    """EMQX does not run here; its file says what the other one says."""
    mosquitto = re.findall(r"^pattern (write|read) (\S+)$", (FILES / "smartbox.acl").read_text(), re.M)
    verbs = {"write": "publish", "read": "subscribe"}
    wanted = {(verbs[verb], topic.replace("%u", "${username}")) for verb, topic in mosquitto}
    emqx = re.findall(r'^\{allow, all, (\w+), \["(\S+)"\]\}\.$', (FILES / "emqx-acl.conf").read_text(), re.M)
    assert set(emqx) == wanted and len(emqx) == len(wanted) > 10
    assert (FILES / "emqx-acl.conf").read_text().rstrip().endswith("{deny, all}.")


def test_every_topic_of_the_acl_is_documented() -> None:
    documented = (FILES.parent.parent / "docs" / "ref" / "topics.md").read_text()
    known = {re.sub(r"\{\w+\}", "+", t) for t in re.findall(r"^\| `([a-z/{}]+)` \|", documented, re.M)}
    ours = re.findall(r"^pattern \w+ smartbox/v1/\+/%u/(\S+)$", (FILES / "smartbox.acl").read_text(), re.M)
    reserved = {"escalate/+", "verdict/+", "ota"}  # of the contract, and not used yet
    assert set(ours) - reserved <= known, json.dumps(sorted(set(ours) - known))
    assert ROOT.startswith("smartbox/v1/")
