"""Row 30: a certificate that does not fit keeps the box out, in TLS records only, until it is put right."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smartbox.cloudevent import from_json
from tests.faults.proxy import Proxy
from tests.link.certificates import Authority
from tests.link.events import Events
from tests.link.sender import Sender
from tests.mosquitto import Consumer, Mosquitto, wait_for
from tests.ports import free_port

Box = Callable[..., Sender]
Tell = Callable[[str, object], None]
PASSWORD = "s3cret"


class Site:
    """A broker with TLS outside and plain text for the consumer inside, and a proxy that hears what the box says."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "one")
        self.certificate, self.key = directory / "server.crt", directory / "server.key"
        self.ca = directory / "ca.crt"
        shutil.copy(self.authority.ca, self.ca)
        self.show(*self.authority.server("localhost"))
        self.inside = free_port()
        tls = f"certfile {self.certificate}\nkeyfile {self.key}\nallow_anonymous true"
        self.broker = Mosquitto(directory / "broker", f"{tls}\nlistener {self.inside} 127.0.0.1")
        self.broker.start()
        wait_for(lambda: answers(self.inside), "the listener inside")
        self.proxy = Proxy(self.broker.port, raw=True)
        self.consumer = Consumer(self.inside)

    def show(self, certificate: Path, key: Path) -> None:
        """What the broker shows from its next start on."""
        shutil.copy(certificate, self.certificate)
        shutil.copy(key, self.key)

    def restart(self) -> None:
        self.broker.stop()
        self.broker.start()

    def arrived(self) -> set[str]:
        return {from_json(m.payload).id for m in self.consumer.on("event/")}

    def close(self) -> None:
        self.consumer.close()
        self.proxy.close()
        self.broker.stop()


def answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.fixture
def secure(site: Site, box: Box) -> Callable[[], Sender]:
    """A box that sends over TLS with a password."""
    return lambda: box(
        f"mqtts://localhost:{site.proxy.port}", ca=site.ca, credentials=f"box-017:{PASSWORD}", connect_timeout=5
    )


def plain_bytes(heard: bytes) -> int:
    """How many bytes are no TLS record: type 20 to 23, version 3.x, length."""
    at = 0
    while at + 5 <= len(heard):
        if not (20 <= heard[at] <= 23 and heard[at + 1] == 3):
            return len(heard) - at
        at += 5 + int.from_bytes(heard[at + 3 : at + 5])
    return 0


@pytest.mark.row(30)
@pytest.mark.parametrize(("fault", "reason"), [("expired", "expired"), ("wrong host", "ostname mismatch")])
def test_row_30_a_certificate_that_does_not_fit(
    site: Site, secure: Callable[[], Sender], events: Events, fault: str, reason: str, record_property: Tell
) -> None:
    name = "elsewhere.example" if fault == "wrong host" else "localhost"
    site.show(*site.authority.server(name, expired=fault == "expired"))
    site.restart()
    sender = secure()
    sent = {sender.outbox.put(events.begin()).id for _ in range(20)}
    wait_for(lambda: site.proxy.accepted >= 3, "three tries")
    wait_for(lambda: "certificate refused" in sender.publisher.status.reason, "a reason")
    assert reason in sender.publisher.status.reason
    assert not sender.publisher.status.connected and sender.publisher.status.depth == 20
    assert not site.arrived()
    site.show(*site.authority.server("localhost"))
    site.restart()
    wait_for(lambda: sent <= site.arrived(), "everything after a good certificate", 60)
    finish(site, sent, record_property)


@pytest.mark.row(30)
def test_row_30_the_authority_is_rotated(
    tmp_path: Path, site: Site, secure: Callable[[], Sender], events: Events, record_property: Tell
) -> None:
    """The broker's new certificate is of an authority that the box learns of later; it needs no restart for that."""
    sender = secure()
    sent = {sender.outbox.put(events.begin()).id}
    wait_for(lambda: sent <= site.arrived(), "the first event")
    new = Authority(tmp_path / "two", "new-ca")
    site.show(*new.server("localhost"))
    site.restart()
    sent |= {sender.outbox.put(events.begin()).id for _ in range(20)}
    wait_for(lambda: "certificate refused" in sender.publisher.status.reason, "the reason", 60)
    assert not sender.publisher.status.connected and len(site.arrived()) == 1
    site.ca.write_bytes(site.ca.read_bytes() + new.ca.read_bytes())
    wait_for(lambda: sent <= site.arrived(), "everything, with both authorities known", 60)
    finish(site, sent, record_property)


def finish(site: Site, sent: set[str], record_property: Tell) -> None:
    heard = bytes(site.proxy.heard)
    assert len(heard) > 1000 and PASSWORD.encode() not in heard
    record_property("events", len(sent))
    record_property("lost", len(sent - site.arrived()))
    record_property("plain-text bytes", plain_bytes(heard))
    assert plain_bytes(heard) == 0
