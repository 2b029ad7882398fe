"""The demo's broker (amqtt, extra `demo`): MQTT 3.1.1, RAM only, loopback only. A product uses mosquitto."""

import asyncio
import logging
import threading
from typing import Any

from smartbox.errors import ConfigError, Problem
from smartbox.mqtt import EMBEDDED

_DEADLINE = 10.0


class Broker:
    """amqtt in a thread with a loop of its own."""

    def __init__(self, port: int = EMBEDDED[1]) -> None:
        self._bind = f"{EMBEDDED[0]}:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._broker: Any = None

    def start(self) -> None:
        """Listen. ConfigError when amqtt is not installed or the port is taken."""
        try:
            from amqtt.broker import Broker as Amqtt
            from amqtt.errors import BrokerError
        except ImportError as error:
            raise _refused("the embedded broker is not installed: pip install 'smartbox[demo]'") from error
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        self._thread.start()
        try:
            self._run(self._listen(Amqtt))
        except (BrokerError, OSError) as error:
            self._end()
            raise _refused(f"the embedded broker cannot listen on {self._bind}: {error}") from error

    async def _listen(self, amqtt: Any) -> None:
        config = {
            "listeners": {"default": {"type": "tcp", "bind": self._bind}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        self._broker = amqtt(config, loop=self._loop)
        await self._broker.start()

    def stop(self) -> None:
        """Close every connection and end the thread."""
        if not self._thread.is_alive():
            return
        try:
            if self._broker is not None:
                self._run(self._shut())
        finally:
            self._end()

    async def _shut(self) -> None:
        await self._broker.shutdown()
        rest = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_DEADLINE)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE)
        if not self._thread.is_alive():
            self._loop.close()


def _refused(message: str) -> ConfigError:
    return ConfigError([Problem("mqtt.url", message)])
