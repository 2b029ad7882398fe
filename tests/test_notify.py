"""The protocol is checked on a real Unix datagram socket, path and abstract."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from smartbox.notify import Notifier, watchdog_interval


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, Notifier]]:
    """The receiving end that systemd holds, and a notifier that knows its address."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@smartbox-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(name.replace("@", "\0", 1))
        receiver.settimeout(5)
        yield receiver, Notifier({"NOTIFY_SOCKET": name})


def test_each_state_is_one_datagram(manager: tuple[socket.socket, Notifier]) -> None:
    receiver, notifier = manager
    notifier.ready("2 of 2 sources online")
    notifier.alive()
    notifier.status("degraded:\nbroker unreachable")
    notifier.extend_timeout(2.5)
    notifier.stopping()
    got = [receiver.recv(4096).decode() for _ in range(5)]
    assert got == [
        "READY=1\nSTATUS=2 of 2 sources online",
        "WATCHDOG=1",
        "STATUS=degraded: broker unreachable",
        "EXTEND_TIMEOUT_USEC=2500000",
        "STOPPING=1",
    ]


def test_reloading_carries_the_monotonic_clock(manager: tuple[socket.socket, Notifier]) -> None:
    receiver, notifier = manager
    notifier.reloading()
    first, second = receiver.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    assert int(second.removeprefix("MONOTONIC_USEC=")) > 0


def test_a_reload_is_no_stop(manager: tuple[socket.socket, Notifier]) -> None:
    receiver, notifier = manager
    notifier.reloading()
    notifier.stopping()
    notifier.ready()
    notifier.stopping()
    got = [receiver.recv(4096).decode().split("\n")[0] for _ in range(3)]
    assert got == ["RELOADING=1", "READY=1", "STOPPING=1"]


def test_outside_systemd_nothing_happens() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.alive()
    assert notifier.watchdog_s is None


def test_a_manager_that_is_gone_is_survived(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).alive()


def test_a_manager_that_does_not_read_does_not_block(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        filler.setblocking(False)
        with filler, pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"x", str(tmp_path / "notify"))
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).alive()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "15000000"}, 15.0),
        ({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "15000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_interval(environ) == seconds
