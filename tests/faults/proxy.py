"""A TCP proxy before a broker that loses, delays and counts what it understands of MQTT."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

PUBLISH, PUBACK = 3, 4


class Proxy:
    """Listens on `port`. Set `hole` to swallow everything, `eat` to drop packets of these types from the broker."""

    def __init__(self, target: int, delay: float = 0.0) -> None:
        self.hole = False
        self.eat: frozenset[int] = frozenset()
        self.delay = delay
        self.accepted = 0
        self.most_unacked = 0
        self._unacked = 0
        self._target = target
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._start(self._accept)

    def _start(self, work: object, *args: object) -> None:
        self._threads.append(threading.Thread(target=work, args=args, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self.accepted += 1
                self._unacked = 0
                self._open += [near, far]
                self._start(self._up, near, far)
                self._start(self._down, far, near)

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        self._pass(near, far, PUBLISH, 1)

    def _down(self, far: socket.socket, near: socket.socket) -> None:
        self._pass(far, near, PUBACK, -1)

    def _pass(self, source: socket.socket, sink: socket.socket, counted: int, step: int) -> None:
        with suppress(OSError):
            for packet in packets(source):
                if self.hole or (step < 0 and packet[0] >> 4 in self.eat):
                    continue
                # Counted where the box sends and where it is answered: what it believes to be in flight.
                sure = packet[0] >> 4 == counted and (step < 0 or packet[0] & 0b110)
                if self.delay:
                    time.sleep(self.delay / 20)
                if sure:
                    with self._lock:
                        self._unacked += step
                        self.most_unacked = max(self.most_unacked, self._unacked)
                sink.sendall(packet)
        if not self.hole:
            for sock in (source, sink):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.hole = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in self._open:
            sock.close()


def packets(sock: socket.socket) -> Iterator[bytes]:
    """Whole MQTT packets from a socket, until it ends."""
    buffer = b""
    while chunk := sock.recv(65536):
        buffer += chunk
        while (size := _size(buffer)) and len(buffer) >= size:
            yield buffer[:size]
            buffer = buffer[size:]


def _size(buffer: bytes) -> int:
    """Length of the packet that begins the buffer; 0 when that cannot be told yet."""
    length = shift = 0
    for i, byte in enumerate(buffer[1:5]):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return length + i + 2
    return 0
