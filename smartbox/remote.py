"""Everything that comes down to a box, and who acts on it: commands, the wanted configuration, Home Assistant."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from smartbox.build import watched
from smartbox.clock import Clock
from smartbox.cloud import homeassistant
from smartbox.cloud.command import Command
from smartbox.cloud.commands import Commands, Handler
from smartbox.cloud.desired import Desired
from smartbox.cloud.follow import Follower, Ways
from smartbox.cloud.known import Known
from smartbox.cloud.ledger import Ledger
from smartbox.cloud.linkkey import LinkKey
from smartbox.cloudevent import dump, root
from smartbox.config import Config, load
from smartbox.configured import check
from smartbox.letters import Letter, Letters
from smartbox.mqtt import MqttSettings, Received
from smartbox.publisher import Publisher

# What takes minutes, and what waits for its pictures, which are forgotten soon.
LANES = {"slow": ("upload", "rotate-key", "model-update"), "clip": ("clip",)}
_AGAIN_AFTER = 10.0  # s; by then Home Assistant listens to what it has just discovered


@dataclass(frozen=True, slots=True)
class Worker:
    """A loop for a thread of its own."""

    name: str
    run: Callable[[threading.Event], bool]


class Remote:
    """The publisher's inbox. Made before the publisher, which `bind` then names."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        restart: Callable[[], None],
        desired: Desired | None = None,
        apply: Callable[[Config], bool] = lambda config: not config,
    ) -> None:
        """desired: None when there is no file that a configuration could lie over.
        apply: go over to a configuration without a restart; False when it needs one.
        """
        self._config = config
        self._clock = clock
        self.letters = Letters()
        self.key = LinkKey(config.box.state_dir)
        self._restart = restart
        self._desired = desired
        self._apply = apply
        self._root = root(config.box.site, config.box.id)
        self._publisher: Publisher | None = None
        self._commands: Commands | None = None
        self._follower: Follower | None = None
        self._again_at = float("inf")
        self._known = Known(config.box.state_dir)
        self._reached = False

    def bind(self, publisher: Publisher, handlers: dict[str, Handler]) -> None:
        """Who sends, and what is done for each command."""
        self._publisher = publisher
        box = self._config.box
        self._commands = Commands(
            Ledger(box.state_dir / "commands.jsonl"), self.letters, handlers, self._clock, tuple(LANES.values())
        )
        if self._desired is not None:
            ways = Ways(
                check=lambda sections: check(self._config.path, sections),
                link=lambda: publisher.status,
                report=lambda document: publisher.retained.set("reported", document),
                apply=lambda sections: self._apply(load(self._config.path, above=sections)),
                restart=self._restart,
            )
            self._follower = Follower(self._desired, self._config.cloud, f"{box.site}/{box.id}", self._clock, ways)

    @property
    def config_version(self) -> int:
        """Of the configuration from above that is in force, on trial or not; 0: the box' file alone."""
        state = self._desired.state if self._desired else None
        wanted = state and (state.trial or state.active)
        return wanted.version if wanted else 0

    def progress(self, command: Command, detail: Mapping[str, Any]) -> None:
        """How far a running command is."""
        if self._commands is not None:
            self._commands.progress(command, detail)

    def reconfigured(self, config: Config) -> None:
        """Other rules and zones are in force. Any thread."""
        assert self._publisher is not None
        self._config = config
        self._known.begin(topics(config), self._publisher.retained)
        if config.homeassistant.enabled and self._reached:
            self._discover()

    def open(self) -> None:
        """When the state directory is there: answer what the last run began."""
        self.key.load()
        if self._publisher is not None:
            self._known.begin(topics(self._config), self._publisher.retained)
        if self._commands is not None:
            self._commands.open()

    def close(self) -> None:
        if self._reached:
            self._known.settled()
        if self._commands is not None:
            self._commands.close()

    def workers(self) -> list[Worker]:
        """To be run, each in a thread, between `open` and `close`."""
        assert self._commands is not None
        run = self._commands.run
        found = [Worker("commands", run)]
        found += [Worker(f"commands.{name}", partial(run, lane=lane)) for lane, name in enumerate(LANES, 1)]
        return found + ([Worker("desired", self._follower.run)] if self._follower else [])

    # -- the publisher's inbox --

    @property
    def topics(self) -> Sequence[str]:
        settings = self._config.homeassistant
        status = [f"{settings.prefix}/status"] if settings.enabled else []
        return [f"{self._root}/cmd/+", f"{self._root}/desired", *status]

    def identity(self, settings: MqttSettings) -> MqttSettings:
        """What to connect with."""
        return self.key.identity(settings)

    def connected(self) -> None:
        self._reached = True
        self.key.connected()
        if self._config.homeassistant.enabled:
            self._discover()

    def receive(self, message: Received) -> bool:
        kind, _, name = message.topic.removeprefix(f"{self._root}/").partition("/")
        if kind == "cmd" and self._commands is not None:
            return self._commands.receive(name, message)
        if kind == "desired" and self._follower is not None:
            return self._follower.receive(message)
        if message.payload == b"online" and message.topic == f"{self._config.homeassistant.prefix}/status":
            self._discover()
        return True

    # -- Home Assistant --

    def _discover(self) -> None:
        """The box' description, then its availability, which Home Assistant wants to hear after it."""
        assert self._publisher is not None
        config = self._config
        place = f"/{homeassistant.topic(config.homeassistant.prefix, config.box.id)}"
        self.letters.post(Letter(place, dump(homeassistant.document(shown(config))), retain=True))
        self._publisher.tell_state()
        self._again_at = self._clock.monotonic() + _AGAIN_AFTER

    def tend(self) -> None:
        """Call now and then: an entity that was just discovered is told what is open, and that nothing is."""
        if self._publisher is not None and self._clock.monotonic() >= self._again_at:
            self._again_at = float("inf")
            self._publisher.retained.all_again()


def topics(config: Config) -> list[str]:
    """The retained topics that hang on the configuration; a leading slash: outside of the box' root."""
    found = [f"source/{source}" for source in config.sources]
    found += [f"active/{rule}/{source}" for rule in config.rules for source in watched(config, rule)]
    found += [f"occupancy/{source}" for source in shown(config).parking]
    if config.homeassistant.enabled:
        found.append(f"/{homeassistant.topic(config.homeassistant.prefix, config.box.id)}")
    return found


def shown(config: Config) -> homeassistant.Shown:
    """What a configuration has to show."""
    kinds = {rule: config.kinds[f"rules.{rule}"] for rule in config.rules}
    watches = [(rule, source, kind) for rule, kind in kinds.items() for source in watched(config, rule)]
    return homeassistant.Shown(
        site=config.box.site,
        box=config.box.id,
        name=config.homeassistant.name or config.box.id,
        sources=tuple(config.sources),
        watches=tuple(watches),
        parking=tuple(dict.fromkeys(source for _, source, kind in watches if kind == "parking")),
    )
