"""What systemd is told about this process: ready, alive, what it does, stopping (the sd_notify protocol).

A datagram over the Unix socket that $NOTIFY_SOCKET names; outside systemd every call does nothing.
Protocol: sd_notify(3) and sd_watchdog_enabled(3).
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state to the service manager. Never raises: losing a message is no reason to stop watching."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # "@name" is Linux' abstract namespace, whose addresses begin with a zero byte.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_s = watchdog_interval(environ)
        self._reloading = False

    def ready(self, status: str = "") -> None:
        """Start-up is finished, or a reload is."""
        self._reloading = False
        self._send("READY=1", *_status(status))

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(*_status(status))

    def alive(self) -> None:
        """Feeds the watchdog; call it only while the workers make progress."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it, also that of another program in the same process."""
        self._reloading = True
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """An orderly stop has begun; not said while reloading, because systemd would kill what then goes on."""
        if not self._reloading:
            self._send("STOPPING=1", *_status(status))

    def extend_timeout(self, seconds: float) -> None:
        """Asks for more time to start, reload or stop, counted from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel,
        ):
            # A manager that does not read must not stall the loop that feeds its watchdog.
            channel.settimeout(1.0)
            channel.sendto("\n".join(lines).encode(), self._address)


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds after which systemd kills an unfed service; None when it does not watch this process."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(usec) / 1e6


def _status(status: str) -> list[str]:
    return [f"STATUS={' '.join(status.split())}"] if status else []
