"""A broker that answers each publish with the reason code it is told to: real brokers rarely say 0x97."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.faults.proxy import packets

CONNECT, PUBLISH, PINGREQ = 1, 3, 12


class ScriptedBroker:
    """MQTT 5, one client at a time. `reason(topic, payload)` -> PUBACK reason; `taken`: what it said yes to."""

    def __init__(self, reason: Callable[[str, bytes], int]) -> None:
        self._reason = reason
        self.taken: list[tuple[str, bytes]] = []
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                self._client, _ = self._listener.accept()
                with self._client as client, suppress(OSError):
                    for packet in packets(client):
                        self._answer(client, packet)

    def _answer(self, client: socket.socket, packet: bytes) -> None:
        kind = packet[0] >> 4
        if kind == CONNECT:
            client.sendall(b"\x20\x03\x00\x00\x00")
        elif kind == PINGREQ:
            client.sendall(b"\xd0\x00")
        elif kind == PUBLISH and packet[0] & 0b110:
            body = packet[2:] if packet[1] < 0x80 else packet[3:] if packet[2] < 0x80 else packet[4:]
            size = int.from_bytes(body[:2])
            topic, mid, rest = body[2 : 2 + size].decode(), body[2 + size : 4 + size], body[4 + size :]
            payload = rest[1 + rest[0] :]  # properties are short here
            reason = self._reason(topic, payload)
            self.asked += 1
            if reason < 0x80:
                self.taken.append((topic, payload))
            client.sendall(b"\x40\x04" + mid + bytes([reason, 0]))

    def close(self) -> None:
        for sock in filter(None, (self._client, self._listener)):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
