"""What the publisher does with the messages that come down: an inbox says when they are safe."""

from collections.abc import Sequence
from typing import Protocol

from smartbox.mqtt import Received


class Inbox(Protocol):
    """What reads the messages that come down. topics: full names, which may end in wildcards."""

    @property
    def topics(self) -> Sequence[str]: ...

    def connected(self) -> None:
        """A connection begins, and everything retained is sent anew."""

    def receive(self, message: Received) -> bool:
        """True: it is safe here and may be acknowledged. False: offer it again in a few seconds."""


class NoInbox:
    """Nothing comes down."""

    topics: Sequence[str] = ()

    def connected(self) -> None:
        pass

    def receive(self, message: Received) -> bool:
        return bool(message)
