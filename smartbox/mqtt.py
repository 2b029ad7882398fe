"""The MQTT client: a thin adapter over paho, the only file that imports it."""

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from smartbox.mqttsettings import EMBEDDED, Credentials, LinkError, MqttSettings, as_file

__all__ = [
    "EMBEDDED",
    "Ack",
    "Attempt",
    "Credentials",
    "LinkError",
    "Mqtt",
    "MqttSettings",
    "Received",
    "Will",
    "greet",
]

SESSION_TAKEN_OVER = 0x8E
_UNSPECIFIED = 0x80
CONNECT_LIMITS = 3  # TCP, TLS and CONNACK may each take connect_timeout
LARGEST = 300_000  # bytes of a packet that may come down; `desired` is the largest, 256 KiB
_UNACKNOWLEDGED = 20  # messages that may come down before we have acknowledged one

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this connection dies."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to publish number `mid`: reason < 0x80 means that it has it."""

    mid: int
    reason: int
    text: str

    @property
    def ok(self) -> bool:
        return self.reason < 0x80


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came down; `Mqtt.acknowledge` it when it is safe, else the broker sends it again."""

    topic: str
    payload: bytes
    retained: bool
    mid: int = 0
    qos: int = 0


class _Client(paho.Client):
    """paho's, which forgets to close the socket when TLS fails, and to listen when it can no longer speak."""

    broken = False
    """Nothing more can be sent; what the other end said before it hung up may still lie in the socket."""

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError as error:
            # paho would close the socket here, and with it the PUBACK that says why.
            self.broken = True
            raise BlockingIOError from error

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        context = self._ssl_context
        if context is None:
            raise LinkError("TLS without certificates to check it by")
        sock = context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
        try:
            sock.settimeout(self.connect_timeout)
            sock.do_handshake()
        except OSError:  # ssl.SSLError is one
            sock.close()
            raise
        return sock


class Mqtt:
    """One connection, used once: connect, then poll until LinkError, then forget it. One thread at a time.

    What paho keeps for later (its queue, its reconnect) never comes into play: nothing is published without a
    connection, and each connection has a client of its own.
    """

    def __init__(self, settings: MqttSettings, client_id: str, will: Will | None = None, session: float = 0.0) -> None:
        """session: seconds for which the broker keeps what comes down while we are away (MQTT 5)."""
        self._settings = settings
        self._keep = int(session)
        self._client_id = client_id
        self._will = will
        self._client: _Client | None = None
        self._answer: tuple[int, str] | None = None
        self._reason = LinkError("connection lost")
        self._outstanding: set[int] = set()
        self.acks: list[Ack] = []
        self.received: list[Received] = []
        self.receive_maximum = 65535
        self.maximum_packet = 0
        """Bytes the broker takes in one packet; 0: no limit."""

    def connect(self) -> None:
        """TCP, TLS, CONNECT, CONNACK. LinkError says which of them failed; there is no second way in."""
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            protocol=_protocol(settings),  # type: ignore[arg-type]
            clean_session=True if _protocol(settings) == paho.MQTTv311 else None,
            reconnect_on_failure=False,
        )
        client.connect_timeout = settings.connect_timeout
        client.max_inflight_messages_set(65535)  # the publisher keeps the window
        client.manual_ack_set(True)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        self._client = client
        if settings.credentials:
            client.username_pw_set(settings.credentials.username, settings.credentials.secret())
        self._reach(client)
        deadline = time.monotonic() + settings.connect_timeout
        while self._answer is None:
            if time.monotonic() > deadline:
                raise LinkError(f"{self._where}: no CONNACK within {settings.connect_timeout:g} s")
            try:
                self.poll(0.2)
            except LinkError:  # after a refusal the line is closed; the refusal says more
                if self._answer is None:
                    raise
        code, text = self._answer
        if code:
            raise LinkError(f"{self._where} refuses the connection: {text}", code)

    def _reach(self, client: _Client) -> None:
        settings = self._settings
        try:
            if settings.tls:
                client.tls_set_context(self._tls())
            if _protocol(settings) == paho.MQTTv311:
                client.connect(settings.host, settings.port, int(settings.keepalive))
                return
            wanted = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            wanted.SessionExpiryInterval = self._keep
            wanted.ReceiveMaximum = _UNACKNOWLEDGED
            wanted.MaximumPacketSize = LARGEST
            keepalive = int(settings.keepalive)
            client.connect(settings.host, settings.port, keepalive, clean_start=not self._keep, properties=wanted)
        except ssl.SSLCertVerificationError as error:
            raise LinkError(f"{self._where}: certificate refused: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise LinkError(f"{self._where}: TLS failed: {error.reason or error}") from error
        except socket.gaierror as error:
            raise LinkError(f"{self._where}: name not found: {error.strerror}") from error
        except TimeoutError as error:
            raise LinkError(f"{self._where}: no answer within {settings.connect_timeout:g} s") from error
        except OSError as error:
            raise LinkError(f"{self._where}: {error.strerror or error}") from error

    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            with as_file(settings.ca) as ca:
                context = ssl.create_default_context(cafile=ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.cert and settings.key:
                with as_file(settings.cert) as cert, as_file(settings.key) as key:
                    context.load_cert_chain(cert or "", key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(f) for f in (settings.ca, settings.cert, settings.key) if f)
            raise LinkError(f"mqtt.ca, cert or key ({files}): {error}") from error
        return context

    @property
    def _where(self) -> str:
        return f"{self._settings.host}:{self._settings.port}"

    def subscribe(self, topics: Sequence[str]) -> None:
        """QoS 1; with MQTT 5 a message that is retained is known by that from the first time on."""
        if not topics:
            return
        if _protocol(self._settings) == paho.MQTTv5:
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            self._live.subscribe([(topic, options) for topic in topics])
        else:
            self._live.subscribe([(topic, 1) for topic in topics])

    def acknowledge(self, message: Received) -> None:
        """The message is safe with us: the broker may forget it."""
        self._live.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False, content_type: str = "") -> int:
        """Hand one message to the socket; its number, which the Ack repeats (QoS 1)."""
        properties = None
        if content_type and _protocol(self._settings) == paho.MQTTv5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.ContentType = content_type
        try:
            info = self._live.publish(topic, payload, qos, retain, properties)
        except ValueError as error:
            raise LinkError(f"{topic}: {error}") from error
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._reason
        if qos:
            self._outstanding.add(info.mid)
        return info.mid

    def fits(self, topic: str, payload: bytes) -> bool:
        """Whether the broker takes a message of this size; it hangs up on a larger one."""
        return not self.maximum_packet or len(payload) + len(topic) + 100 <= self.maximum_packet

    def poll(self, seconds: float, wake: socket.socket | None = None) -> None:
        """Wait for the network or `wake`, at most `seconds`, and deal with what came. LinkError when it is gone."""
        client = self._live
        sock = client.socket()
        if sock is None:
            raise self._reason
        waiter = select.poll()
        waiter.register(sock, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        if wake is not None:
            waiter.register(wake, select.POLLIN)
        ready = dict(waiter.poll(0 if _buffered(sock) else max(0.0, seconds) * 1000))
        if wake is not None and wake.fileno() in ready:
            with suppress(BlockingIOError):
                wake.recv(4096)
        if client.want_write():
            client.loop_write()
        if sock.fileno() in ready or _buffered(sock):
            client.loop_read()
            while client.socket() is not None and _buffered(sock):
                client.loop_read()
        if client.broken:
            self._last_words(client)
        client.loop_misc()
        if client.socket() is None:
            raise self._reason

    def _last_words(self, client: _Client) -> None:
        """Read what is left of a line that takes nothing more. LinkError."""
        while (sock := client.socket()) is not None and (_buffered(sock) or _readable(sock)):
            client.loop_read()
        raise self._reason

    @property
    def _live(self) -> _Client:
        if self._client is None:
            raise LinkError("not connected")
        return self._client

    def disconnect(self) -> None:
        """Say goodbye: the broker will not publish the will."""
        with suppress(LinkError):
            self._live.disconnect()
            for _ in range(10):
                self.poll(0.1)

    def close(self) -> None:
        """Drop the connection as it is."""
        sock = self._client.socket() if self._client else None
        if sock is not None:
            with suppress(OSError):
                sock.close()
        self._client = None

    # -- paho calls these inside poll --

    def _on_connect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: Any, properties: Properties | None
    ) -> None:
        self._answer = (reason.value if reason.is_failure else 0, str(reason))
        limits = properties.json() if properties else {}  # type: ignore[no-untyped-call]
        self.receive_maximum = limits.get("ReceiveMaximum", 65535)
        self.maximum_packet = limits.get("MaximumPacketSize", 0)

    def _on_disconnect(self, _client: paho.Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = LinkError(f"{self._where}: the broker disconnects us: {reason}", reason.value)
        else:
            why = "closed by the other end" if reason.value == _UNSPECIFIED else str(reason).lower()
            self._reason = LinkError(f"{self._where}: connection lost: {why}")

    def _on_publish(self, _client: paho.Client, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        if mid in self._outstanding:
            self._outstanding.remove(mid)
            self.acks.append(Ack(mid, reason.value, str(reason)))

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no topic that we subscribe to
            self._live.ack(message.mid, message.qos)
            return
        self.received.append(Received(topic, bytes(message.payload), message.retain, message.mid, message.qos))


def greet(settings: MqttSettings, client_id: str) -> None:
    """Connect with everything that a publisher would use, and leave again. LinkError says what is wrong."""
    link = Mqtt(settings, client_id)
    try:
        link.connect()
        link.disconnect()
    finally:
        link.close()


def _buffered(sock: Any) -> bool:
    """Whether TLS has bytes that the socket does not show any more."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _readable(sock: Any) -> bool:
    waiter = select.poll()
    waiter.register(sock, select.POLLIN)
    return bool(waiter.poll(0))


class Attempt:
    """`link.connect()` in a thread, which may be left to itself."""

    def __init__(self, link: Mqtt) -> None:
        self.done = threading.Event()
        self.error: LinkError | None = None
        self._link = link
        self._lock = threading.Lock()
        self._abandoned = False
        threading.Thread(target=self._run, name="connect", daemon=True).start()

    def _run(self) -> None:
        try:
            self._link.connect()
        except LinkError as error:
            self.error = error
        finally:
            with self._lock:
                self.done.set()
                if self._abandoned:
                    self._link.close()

    def abandon(self) -> None:
        with self._lock:
            self._abandoned = True
            if self.done.is_set():
                self._link.close()


def _protocol(settings: MqttSettings) -> int:
    """paho's number; the embedded broker speaks 3.1.1 only."""
    return int(paho.MQTTv311 if settings.embedded or settings.version == "3.1.1" else paho.MQTTv5)
