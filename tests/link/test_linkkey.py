"""Mutual TLS: certificates from secrets, renewed by command, and no connection that is worse than the one before."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from pydantic import SecretStr

from smartbox.cloud.linkkey import FILE_NAME
from smartbox.mqtt import LinkError, MqttSettings, greet
from tests.link.box import Box, Cloud
from tests.link.certificates import Authority
from tests.mosquitto import Mosquitto, wait_for
from tests.ports import free_port

Brokers = Callable[..., Mosquitto]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def broker(brokers: Brokers, authority: Authority) -> Mosquitto:
    """TLS with certificates of clients on one port, loopback without on another, for the test's own consumer."""
    certificate, key = authority.server("localhost")
    plain = free_port()
    lines = ["allow_anonymous true", f"certfile {certificate}", f"keyfile {key}", f"cafile {authority.ca}"]
    lines += ["require_certificate true", "tls_version tlsv1.2", f"listener {plain} 127.0.0.1", "allow_anonymous true"]
    broker = brokers("\n".join(lines))
    broker.plain = plain  # type: ignore[attr-defined]
    return broker


@pytest.fixture
def cloud(broker: Mosquitto) -> Iterator[Cloud]:
    cloud = Cloud(broker.plain)  # type: ignore[attr-defined]
    yield cloud
    cloud.close()


@pytest.fixture
def box(tmp_path: Path, broker: Mosquitto, authority: Authority) -> Iterator[Box]:
    """Its certificate and key stand in secrets, not in files that the configuration names."""
    cert, key = authority.server("box-1")
    secrets = tmp_path / "box" / "secrets"
    secrets.mkdir(parents=True)
    for name, path in {"box_cert": cert, "box_key": key, "ca": authority.ca}.items():
        (secrets / name).write_text(path.read_text())
    mqtt = ", ca: !secret ca, cert: !secret box_cert, key: !secret box_key"
    box = Box(tmp_path / "box", f"mqtts://localhost:{broker.port}", mqtt=mqtt).start()
    yield box
    box.stop()


def used(box: Box) -> str:
    """The certificate that took the place of the configured one."""
    return str(json.loads((box.state / FILE_NAME).read_bytes().split(b"\n", 1)[1])["current"]["certificate"])


def test_a_key_is_made_on_the_box_signed_elsewhere_and_used(box: Box, cloud: Cloud, authority: Authority) -> None:
    box.connected()
    cloud.command("rotate-key", "k1")
    request = cloud.answer("k1", "done")["detail"]["request"]
    csr = x509.load_pem_x509_csr(request.encode())
    assert csr.is_signature_valid and "box-1" in csr.subject.rfc4514_string()
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["box-1"]
    signed = authority.sign(request)
    cloud.command("rotate-key", "k2", certificate=signed)
    assert cloud.answer("k2", "done")["detail"]["valid_until"].startswith("20")
    assert used(box) == signed
    assert (box.state / FILE_NAME).stat().st_mode & 0o077 == 0
    assert not any(b"PRIVATE KEY" in m.payload for m in cloud.messages)
    cloud.command("restart", "r")
    cloud.answer("r", "done")
    cloud.command("rotate-key", "k3", certificate=signed)
    assert "send rotate-key without" in cloud.answer("k3", "failed")["detail"]["reason"], "each key once"


def test_a_certificate_that_the_broker_does_not_take_is_given_up(box: Box, cloud: Cloud, tmp_path: Path) -> None:
    box.connected()
    cloud.command("rotate-key", "k1")
    request = cloud.answer("k1", "done")["detail"]["request"]
    cloud.command("rotate-key", "k2", certificate=Authority(tmp_path / "wrong").sign(request))
    assert "takes the old certificate" in cloud.answer("k2", "failed")["detail"]["reason"]
    wait_for(lambda: cloud.last("state")["state"] == "ready", "ready with the old one")


def test_a_certificate_for_another_key_is_refused(box: Box, cloud: Cloud, authority: Authority) -> None:
    box.connected()
    cloud.command("rotate-key", "k0", certificate="-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----")
    assert "no PEM certificate" in cloud.answer("k0", "failed")["detail"]["reason"]
    cloud.command("rotate-key", "k1")
    first = cloud.answer("k1", "done")["detail"]["request"]
    cloud.command("rotate-key", "k2")
    cloud.answer("k2", "done")
    cloud.command("rotate-key", "k3", certificate=authority.sign(first))
    assert "not for the key" in cloud.answer("k3", "failed")["detail"]["reason"]


def test_what_was_renewed_gives_way_to_a_new_certificate_in_the_configuration(
    box: Box, cloud: Cloud, authority: Authority
) -> None:
    box.connected()
    cloud.command("rotate-key", "k1")
    signed = authority.sign(cloud.answer("k1", "done")["detail"]["request"])
    cloud.command("rotate-key", "k2", certificate=signed)
    cloud.answer("k2", "done")
    assert box.daemon is not None
    settings = box.daemon.config.mqtt
    assert isinstance(box.daemon.remote.identity(settings).cert, SecretStr)
    cert, key = authority.server("box-1-new")
    other = settings.model_copy(update={"cert": cert, "key": key})
    assert box.daemon.remote.identity(other) == other


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it is what the test is about
def test_tls_below_1_2_is_not_spoken(tmp_path: Path, authority: Authority) -> None:
    """A server of TLS 1.1 only: no connection, and nothing said in plain text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    listener = socket.create_server(("127.0.0.1", 0))
    spoken: list[str] = []

    def serve() -> None:
        client, _ = listener.accept()
        try:
            context.wrap_socket(client, server_side=True).close()
            spoken.append("a session")
        except (ssl.SSLError, OSError) as error:
            spoken.append(str(error))
        client.close()

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"mqtts://localhost:{listener.getsockname()[1]}"
    with pytest.raises(LinkError, match="TLS failed"):
        greet(MqttSettings(url=url, ca=authority.ca), "box")
    thread.join(10)
    listener.close()
    assert spoken != ["a session"]
