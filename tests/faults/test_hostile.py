"""Row 35: whatever comes from outside is read or refused in our own words; nothing hangs, nothing falls over.

Configurations, manifests, recordings and model answers are fuzzed in tests/cli/test_fuzz.py; here is what comes over a
line: a broker and a camera that say anything, bundles that were tampered with, polygons without end.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smartbox import config
from smartbox.bundle import Bundle
from smartbox.clock import SystemClock
from smartbox.errors import ConfigError, SmartboxError, SourceError
from smartbox.mqtt import LinkError, Mqtt, MqttSettings
from smartbox.sources import http
from tests import tiny

ours = settings(max_examples=60, suppress_health_check=list(HealthCheck))
CONNACK = b"\x20\x03\x00\x00\x00"
DEADLINE = 20.0


class Server:
    """Answers each connection with the same bytes, then hangs up."""

    def __init__(self) -> None:
        self.says = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, suppress(OSError):
                    client.recv(65536)
                    client.sendall(self.says)
                    client.shutdown(socket.SHUT_WR)
                    client.settimeout(5)
                    while client.recv(65536):
                        pass

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def packets() -> st.SearchStrategy[bytes]:
    """Bytes, and what looks like MQTT from afar: a type, a length that may lie, a body."""
    lying = st.builds(
        lambda kind, length, body: bytes([kind, length % 128]) + body,
        st.integers(0, 255),
        st.integers(0, 40),
        st.binary(max_size=40),
    )
    honest = st.builds(lambda kind, body: bytes([kind, len(body)]) + body, st.integers(0, 255), st.binary(max_size=60))
    return st.lists(lying | honest | st.binary(max_size=20), max_size=5).map(b"".join)


@pytest.mark.row(35)
@ours
@given(said=packets(), let_in=st.booleans())
def test_a_broker_that_says_anything(server: Server, said: bytes, let_in: bool) -> None:
    server.says = CONNACK * let_in + said
    link = Mqtt(MqttSettings(url=f"mqtt://127.0.0.1:{server.port}", connect_timeout=2), "box")
    began = time.monotonic()
    with pytest.raises(LinkError) as refused:
        link.connect()
        link.subscribe(["smartbox/v1/a/b/cmd/+"])
        while time.monotonic() - began < DEADLINE:
            link.publish("a/b", b"{}")
            link.poll(0.05)
    assert str(refused.value).strip() and len(str(refused.value)) < 500
    assert time.monotonic() - began < DEADLINE
    link.close()


HEADS = st.sampled_from(
    [
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n--b\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 99999999999\r\n\r\n\xff\xd8",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n",
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        b"",
    ]
)


@pytest.mark.row(35)
@settings(ours, max_examples=25)
@given(head=HEADS, body=st.binary(max_size=200))
def test_a_camera_that_says_anything(server: Server, head: bytes, body: bytes) -> None:
    server.says = head + body
    source = http.Plugin.model_validate({"url": f"http://127.0.0.1:{server.port}/x", "timeout": "2s"})
    stop = threading.Event()
    with pytest.raises(SourceError) as refused:
        for i, _ in enumerate(source.read("gate", SystemClock(), stop)):
            assert i < 1000, "a stream without end from a few bytes"
        raise SourceError("it ended")
    assert str(refused.value).strip() and "passwd" not in str(refused.value)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny.write(tmp_path_factory.mktemp("bundle") / "tiny", "onnxruntime")


@pytest.mark.row(35)
@pytest.mark.parametrize(
    "path", ["../../../etc/passwd", "/etc/passwd", "a/../../x", "link", "", ".", "a\x00b", "manifest.yaml/x"]
)
def test_a_bundle_does_not_lead_out_of_its_directory(bundle: Bundle, tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    manifest: dict[str, Any] = yaml.safe_load((bundle.path / "manifest.yaml").read_text())
    manifest["files"]["onnxruntime"]["path"] = path
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    with pytest.raises(SmartboxError) as refused:
        Bundle.open(tmp_path).weights("onnxruntime")
    assert "root:" not in str(refused.value)


@pytest.mark.row(35)
@ours
@given(data=st.data())
def test_a_flipped_bit_or_a_cut_in_a_bundle_is_noticed(bundle: Bundle, tmp_path: Path, data: st.DataObject) -> None:
    name = next(iter(bundle.manifest.files.values())).path
    whole = (bundle.path / name).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    torn = whole[:at] if data.draw(st.booleans()) else whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    (tmp_path / "manifest.yaml").write_bytes((bundle.path / "manifest.yaml").read_bytes())
    (tmp_path / name).write_bytes(torn)
    with pytest.raises(SmartboxError, match=name):
        Bundle.open(tmp_path).weights("onnxruntime")


POLYGONS = {
    "without end": [[i % 9 / 10, i // 9 % 9 / 10] for i in range(2000)],
    "huge": [[-1e308, 0], [1e308, 0], [0, 1e308]],
    "no numbers": [[float("nan"), 0], [1, float("inf")], [0, 1]],
    "a point": [[0.5, 0.5]] * 50,
    "a line": [[0, 0], [1, 1], [0.5, 0.5]],
    "deep": [[[[[[0, 0]]]]]],
}


@pytest.mark.row(35)
@pytest.mark.parametrize("name", POLYGONS)
def test_a_polygon_without_sense_is_refused_at_once(tmp_path: Path, name: str) -> None:
    document = {
        "version": 1,
        "box": {"site": "a", "id": "b", "state_dir": str(tmp_path)},
        "models": {"eyes": {"bundle": "lrssd-park"}},
        "sources": {"gate": {"type": "simulator", "scene": "gate", "model": "eyes"}},
        "zones": {"yard": {"source": "gate", "polygon": POLYGONS[name]}},
        "rules": {"closed": {"type": "intrusion", "zones": ["yard"]}},
    }
    path = tmp_path / "smartbox.yaml"
    path.write_text(yaml.safe_dump(document))
    began = time.monotonic()
    with pytest.raises(ConfigError) as refused:
        config.load(path)
    assert time.monotonic() - began < 60
    said = str(refused.value)
    assert ("zones.yard" in said or "larger than" in said) and len(said) < 5000
