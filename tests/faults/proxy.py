"""A TCP proxy before a broker that loses, delays, cuts and counts what it understands of MQTT."""

import queue
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

PUBLISH, PUBACK = 3, 4
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes close() send a RST


class Proxy:
    """Listens on `port`. Set `hole` to swallow everything, `eat` to drop packets of these types from the broker.

    delay: round trip in s. loss: share of packets that TCP had to send again; as in TCP they come a round trip and
    200 ms later, and everything behind them waits. raw: no MQTT inside (TLS), bytes are passed on as they come and
    those of the boxes kept in `heard`.
    """

    def __init__(self, target: int, delay: float = 0.0, loss: float = 0.0, raw: bool = False) -> None:
        self.hole = False
        self.eat: frozenset[int] = frozenset()
        self.delay = delay
        self.loss = loss
        self.raw = raw
        self.accepted = 0
        self.lost = 0
        self.most_unacked = 0
        self.heard = bytearray()
        self.dice = random.Random(4)
        self._target = target
        self._lines: list[_Line] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.accepted += 1
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # no broker: what a box sees behind a load balancer
                    near.close()
                    continue
                self._lines.append(_Line(self, near, far))

    def cut(self) -> None:
        """A RST on every open connection."""
        for line in self._lines:
            line.cut()

    def close(self) -> None:
        self.hole = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for line in self._lines:
            line.close()


class _Line:
    """One connection through the proxy: two threads read, two write when it is time."""

    def __init__(self, proxy: Proxy, near: socket.socket, far: socket.socket) -> None:
        self._proxy = proxy
        self._near, self._far = near, far
        self._unacked = 0
        self._lock = threading.Lock()
        up: queue.Queue[tuple[float, bytes] | None] = queue.Queue()
        down: queue.Queue[tuple[float, bytes] | None] = queue.Queue()
        works = (
            (self._read, near, up, False),
            (self._write, up, far, False),
            (self._read, far, down, True),
            (self._write, down, near, True),
        )
        self._threads = [threading.Thread(target=work, args=args, daemon=True) for work, *args in works]
        for thread in self._threads:
            thread.start()

    def _read(self, source: socket.socket, line: "queue.Queue[tuple[float, bytes] | None]", answers: bool) -> None:
        proxy, due = self._proxy, 0.0
        with suppress(OSError):
            for packet in chunks(source) if proxy.raw else packets(source):
                if proxy.hole or (answers and packet[0] >> 4 in proxy.eat):
                    continue
                if proxy.raw and not answers:
                    proxy.heard += packet
                # Counted where the box sends and where it is answered: what it believes to be in flight.
                if not answers and packet[0] >> 4 == PUBLISH and packet[0] & 0b110:
                    self._count(1)
                due = max(due, time.monotonic() + proxy.delay / 2)
                if proxy.loss and proxy.dice.random() < proxy.loss:
                    proxy.lost += 1
                    due += proxy.delay + 0.2
                line.put((due, packet))
        line.put(None)

    def _write(self, line: "queue.Queue[tuple[float, bytes] | None]", sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while (item := line.get()) is not None:
                due, packet = item
                time.sleep(max(0.0, due - time.monotonic()))
                if answers and packet[0] >> 4 == PUBACK:
                    self._count(-1)
                sink.sendall(packet)
        if not self._proxy.hole:
            self._shut()

    def _count(self, step: int) -> None:
        with self._lock:
            self._unacked += step
            if not self._proxy.raw:
                self._proxy.most_unacked = max(self._proxy.most_unacked, self._unacked)

    def _shut(self) -> None:
        for sock in (self._near, self._far):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        for sock in (self._near, self._far):
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._shut()
        self._near.close()

    def close(self) -> None:
        self._shut()
        for thread in self._threads:
            thread.join(5)
        for sock in (self._near, self._far):
            sock.close()


def chunks(sock: socket.socket) -> Iterator[bytes]:
    while chunk := sock.recv(65536):
        yield chunk


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
