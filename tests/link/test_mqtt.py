"""The settings refuse what would leak or lose; TLS that does not fit is a stated reason and never plain text."""

import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from smartbox.mqtt import LinkError, Mqtt, MqttSettings, Will, greet
from tests.link.certificates import Authority
from tests.mosquitto import Consumer, Mosquitto, wait_for


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"url": "tcp://broker"}, "mqtts://broker.example:8883"),
        ({"url": "mqtt://broker:99999"}, "mqtts://broker.example:8883"),
        ({"url": "mqtt://user:secret@broker"}, "mqtt.credentials"),
        ({"url": "mqtt://broker", "credentials": "box:pw"}, "use mqtts://"),
        ({"url": "mqtt://broker", "ca": "/ca.crt"}, "need mqtts://"),
        ({"url": "mqtts://broker", "cert": "/box.crt"}, "go together"),
        ({"url": "mqtts://broker", "credentials": "only-a-name"}, "name:password"),
        ({"url": "mqtts://broker", "version": "4"}, "3.1.1"),
        ({"url": "mqtts://broker", "keepalive": "1s"}, "greater than or equal to 5"),
    ],
)
def test_what_is_refused_and_what_would_be_right(values: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        MqttSettings(**values)


def test_a_secret_is_split_and_never_shown() -> None:
    settings = MqttSettings(url="mqtts://b", credentials=SecretStr("box-017:s3cret"))  # type: ignore[arg-type]
    assert settings.credentials is not None and settings.credentials.secret() == "s3cret"
    assert "s3cret" not in repr(settings) and "s3cret" not in settings.model_dump_json()
    assert (settings.host, settings.port, settings.tls) == ("b", 8883, True)


def test_a_password_file_is_read_at_every_connect(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = MqttSettings(url="mqtts://b", credentials={"username": "box", "password_file": str(file)})  # type: ignore[arg-type]
    assert settings.credentials is not None
    with pytest.raises(LinkError, match="password_file"):
        settings.credentials.secret()
    for word in ("one", "two"):
        file.write_text(f"{word}\n")
        assert settings.credentials.secret() == word


Brokers = Callable[..., Mosquitto]


def tls_broker(brokers: Brokers, certificate: Path, key: Path, ca: Path, *more: str) -> Mosquitto:
    lines = [f"certfile {certificate}", f"keyfile {key}", f"cafile {ca}", "allow_anonymous true", *more]
    return brokers("\n".join(lines))


def test_tls_connects_when_everything_fits(tmp_path: Path, brokers: Brokers) -> None:
    authority = Authority(tmp_path)
    broker = tls_broker(brokers, *authority.server("localhost"), authority.ca)
    greet(MqttSettings(url=f"mqtts://localhost:{broker.port}", ca=authority.ca), "box")


@pytest.mark.parametrize(
    ("host", "expired", "own_ca", "reason"),
    [
        ("localhost", True, True, "expired"),
        ("elsewhere.example", False, True, "ostname mismatch"),
        ("localhost", False, False, "self-signed|self signed|unable to get"),
    ],
)
def test_a_certificate_that_does_not_fit_is_a_reason(
    tmp_path: Path, brokers: Brokers, host: str, expired: bool, own_ca: bool, reason: str
) -> None:
    authority = Authority(tmp_path / "right")
    other = authority if own_ca else Authority(tmp_path / "wrong")
    broker = tls_broker(brokers, *authority.server(host, expired=expired), authority.ca)
    with pytest.raises(LinkError, match=f"certificate refused.*({reason})"):
        greet(MqttSettings(url=f"mqtts://localhost:{broker.port}", ca=other.ca), "box")


def test_a_box_certificate_is_shown_to_a_broker_that_asks(tmp_path: Path, brokers: Brokers) -> None:
    authority = Authority(tmp_path)
    broker = tls_broker(brokers, *authority.server("localhost"), authority.ca, "require_certificate true")
    url = f"mqtts://localhost:{broker.port}"
    cert, key = authority.server("box-017")
    greet(MqttSettings(url=url, ca=authority.ca, cert=cert, key=key), "box")
    with pytest.raises(LinkError):
        greet(MqttSettings(url=url, ca=authority.ca), "box")


def test_no_plain_byte_goes_to_a_port_that_does_not_speak_tls(tmp_path: Path) -> None:
    """The first byte is a TLS handshake (0x16), and CONNECT with its password never comes."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def listen() -> None:
        client, _ = listener.accept()
        with client:
            heard.append(client.recv(65536))
            client.sendall(b"\x20\x03\x00\x00\x00")

    thread = threading.Thread(target=listen)
    thread.start()
    settings = MqttSettings(
        url=f"mqtts://127.0.0.1:{listener.getsockname()[1]}", ca=Authority(tmp_path).ca, credentials="box:s3cret"
    )  # type: ignore[arg-type]
    with pytest.raises(LinkError, match="TLS"):
        greet(settings, "box")
    thread.join()
    listener.close()
    assert heard[0][0] == 0x16 and b"s3cret" not in heard[0]


def test_missing_certificate_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"nowhere\.crt"):
        greet(MqttSettings(url="mqtts://127.0.0.1:1", ca=tmp_path / "nowhere.crt"), "box")


def test_the_will_is_published_when_the_line_is_cut(mosquitto: Mosquitto, consumer: Consumer) -> None:
    link = Mqtt(MqttSettings(url=mosquitto.url), "box", Will("smartbox/v1/a/b/state", b"lost"))
    link.connect()
    link.close()
    wait_for(lambda: consumer.on("state"), "the will")
    assert consumer.on("state")[0].payload == b"lost"


def test_a_refusal_is_heard_after_the_broker_hung_up() -> None:
    """It answers, leaves what else it was sent unread, and resets the line; then nothing can be sent any more."""
    listener = socket.create_server(("127.0.0.1", 0))
    gone = threading.Event()

    def deny() -> None:
        broker, _ = listener.accept()
        with broker:
            broker.recv(65536)
            broker.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK
            broker.recv(10)  # the head of a PUBLISH
            broker.sendall(b"\x40\x04\x00\x01\x87\x00")  # PUBACK 1: not authorized
        gone.set()

    thread = threading.Thread(target=deny)
    thread.start()
    link = Mqtt(MqttSettings(url=f"mqtt://127.0.0.1:{listener.getsockname()[1]}"), "box")
    link.connect()
    link.publish("a/b", bytes(1000))
    assert gone.wait(10)
    thread.join()
    with pytest.raises(LinkError, match="closed by the other end"):
        while True:
            link.publish("a/c", bytes(1000))
            link.poll(0.1)
    assert [(ack.mid, ack.reason) for ack in link.acks] == [(1, 0x87)]
    link.close()
    listener.close()


def test_messages_come_down(mosquitto: Mosquitto) -> None:
    up, down = (Mqtt(MqttSettings(url=mosquitto.url), name) for name in ("up", "down"))
    down.connect()
    down.subscribe(["smartbox/v1/a/b/cmd/+"])
    up.connect()

    def arrived() -> bool:
        up.publish("smartbox/v1/a/b/cmd/snapshot", b"{}")
        up.poll(0.05)
        down.poll(0.05)
        return bool(down.received)

    wait_for(arrived, "the command")
    assert (down.received[0].topic, down.received[0].payload) == ("smartbox/v1/a/b/cmd/snapshot", b"{}")
    for link in (up, down):
        link.disconnect()
        link.close()
