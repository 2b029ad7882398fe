"""The demo's broker (amqtt, extra `demo`): MQTT 3.1.1, RAM only, loopback only."""


class Broker:
    """amqtt in a thread of its own, on 127.0.0.1:18830."""

    def start(self) -> None:
        """Listen. ConfigError when amqtt is not installed or the port is taken."""
        raise NotImplementedError

    def stop(self) -> None:
        """Close every connection and end the thread."""
        raise NotImplementedError
