"""Ports for the servers of tests that run side by side."""

import random
import socket


def free_port() -> int:
    """A port of 127.0.0.1 that nobody else is given while this process lives, so that a server may leave and return.

    An abstract Unix socket stands for each port that was given: it goes with its process. The ports lie below those
    that the kernel gives to whoever connects or asks for any.
    """
    dice = random.SystemRandom()  # Hypothesis seeds the common one
    while True:
        port = dice.randrange(20_000, 32_000)
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0smartbox-test-port-{port}")
            with socket.socket() as tried:
                tried.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        claim.detach()  # open until the process ends
        return port
