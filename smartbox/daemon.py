"""The daemon: builds everything, starts the workers, watches them, stops them. The composition root."""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from smartbox import __version__
from smartbox.announcements import Announcements
from smartbox.announcer import Announcer
from smartbox.broker import Broker
from smartbox.build import Parts, keyring, library, parts, tapes, watched
from smartbox.capabilities import birth, capabilities
from smartbox.clips import Clip, Clips
from smartbox.clock import Clock, SystemClock
from smartbox.cloud.desired import Desired
from smartbox.config import Config
from smartbox.errands import Errands
from smartbox.errors import ConfigError, StorageError
from smartbox.evidence import EvidenceLimits, EvidenceStore, PictureSeal
from smartbox.health import clock_synchronised
from smartbox.ids import Uuid7
from smartbox.inference import Committed, Inference
from smartbox.live import ended, only_rules, swap
from smartbox.mailbox import Mailboxes
from smartbox.model import Model
from smartbox.notices import Notices
from smartbox.notify import Notifier
from smartbox.occupancy import Occupancy
from smartbox.orders import Orders
from smartbox.outbox import Outbox
from smartbox.pipeline import Pipeline
from smartbox.publisher import Publisher
from smartbox.remote import Remote
from smartbox.secrets import redact
from smartbox.silences import Silences
from smartbox.statedir import StateDir
from smartbox.statefile import StateFile
from smartbox.supervise import Heartbeats, chain, supervise
from smartbox.types import Event, Sample
from smartbox.vitals import Vitals
from smartbox.voice import acknowledged

log = logging.getLogger(__name__)

STALE_S = 5.0
WARM_LIMIT_S = 120.0
READY_BY_S = 8.0
TRIM_EVERY_S = 60.0
IDLE_AFTER_S = 1.0


class Daemon:
    """One box. `run(stop)` returns when `stop` is set and everything is put away."""

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        notifier: Notifier | None = None,
        restart: Callable[[], None] = lambda: None,
        desired: Desired | None = None,
    ) -> None:
        """restart: stops this box and begins it anew, with `desired` as it is by then."""
        self.config = config
        self.clock = clock or SystemClock()
        self._notifier = notifier or Notifier()
        self._new_id = Uuid7(self.clock.utc, random.Random())
        self._parts: Parts = parts(config, self._new_id, clock_synchronised)
        self._pipelines = dict(self._parts.pipelines)
        state = config.box.state_dir
        limits = EvidenceLimits(bytes=config.evidence.bytes, age=config.evidence.keep, free=config.evidence.free)
        seal = PictureSeal(keyring(config), config.evidence.readers) if config.evidence.encrypt else None
        self.evidence = EvidenceStore(state / "evidence", limits, seal)
        self.outbox = Outbox(
            state, self.clock, self._new_id, config.box.site, config.box.id, make_room=self.evidence.make_room
        )
        self.beats = Heartbeats(self.clock)
        self.mailboxes = Mailboxes(list(config.sources))
        self._notices = Notices(self._new_id, self.clock)
        self._backends: list[str] = []
        self._latest: dict[str, Sample] = {}
        self._errands = Errands()
        self.silences = Silences(state, self.clock, self._pipelines)
        self.vitals = Vitals(
            config.sources, self.clock, self._notices, self.outbox, self.mailboxes, self.silences, state
        )
        self._stopping = threading.Event()
        shelf = library(config).shelf
        self.models = {
            name: Model(
                bundle,
                config.backends(name),
                state,
                clock=self.clock,
                on_change=partial(self.vitals.fell_back, name),
                on_open=partial(shelf.ran, bundle),
            )
            for name, bundle in self._parts.bundles.items()
        }
        settings = config.evidence
        self.tapes = tapes(config)
        self.clips = Clips(self.tapes, self.evidence, self.clock, settings.before, settings.after, self._clip_made)
        self.announcer = Announcer(config.outputs, self.clock)
        self.inference = Inference(
            self.mailboxes,
            self._pipelines,
            self.models,
            self.outbox,
            self.evidence,
            self.clock,
            thumbnails=config.evidence.thumbnail,
            beat=lambda: self.beats.beat("inference"),
            on_step=self._stepped,
            on_tick=self._tick,
            clips=self.clips if self.tapes else None,
        )
        self.remote = Remote(config, self.clock, restart, desired, self.apply)
        self.publisher = Publisher(
            self.outbox,
            config.mqtt,
            self.clock,
            config.box.site,
            config.box.id,
            new_id=self._new_id,
            random=random.Random(),
            birth=self.birth,
            health=lambda: self.vitals.report(self.inference),
            heartbeat=lambda: self.beats.beat("publisher"),
            active=[(rule, source) for rule in config.rules for source in watched(config, rule)],
            inbox=self.remote,
            letters=self.remote.letters,
            identity=self.remote.identity,
        )
        self.orders = Orders(
            current=lambda: self.config,
            clock=self.clock,
            new_id=self._new_id,
            outbox=self.outbox,
            evidence=self.evidence,
            clips=self.clips,
            publisher=self.publisher,
            pipelines=self._pipelines,
            latest=self._latest,
            silences=self.silences,
            errands=self._errands,
            key=self.remote.key,
            desired=desired,
            progress=self.remote.progress,
            restart=restart,
            stop=self._stopping,
        ).handlers()
        self.remote.bind(self.publisher, self.orders)
        self._abilities = capabilities(config, self.orders)
        self._occupancy = Occupancy(self.publisher.retained, self.clock)
        self._trimmed = self.clock.monotonic()
        self._state = StateDir(state)
        self._announcements = Announcements(StateFile(state / "announcements.json"), self.remote.letters)

    def run(self, stop: threading.Event) -> None:
        """Start, watch until `stop`, then put everything away. StorageError when the state directory is unusable."""
        self._state.lock()
        self.outbox.open()
        self._announcements.resume()
        unclean = self._state.mark()
        broker = Broker() if self.config.mqtt.embedded else None
        if broker is not None:
            try:
                broker.start()
            except ConfigError:
                self._close(None)
                raise
        self.inference.commit(self._resume(unclean))
        working, sending = threading.Event(), threading.Event()
        self.vitals.begin()
        self._tell_slots()
        readers = [
            self._thread(f"source.{s}", self._reader(s), working) for s, h in self.vitals.sources.items() if h.enabled
        ]
        if self.config.outputs:
            self._thread("announcer", self.announcer.run, working)
        clips = [self._thread("clips", self.clips.run, working)] if self.tapes else []
        inference = self._thread("inference", self.inference.run, working)
        self.remote.open()
        helpers = [self._thread(worker.name, worker.run, self._stopping) for worker in self.remote.workers()]
        publisher = self._thread("publisher", self._publish, sending)
        try:
            self._watch(stop)
        finally:
            self._notifier.stopping("putting everything away")
            working.set()
            self._stopping.set()
            self.mailboxes.ring()
            for worker in (inference, *clips):
                worker.join(5.0)
            for helper in helpers:
                helper.join(2.0)
            sending.set()
            publisher.join(5.0)
            for reader in readers:
                reader.join(1.0)
            self._close(broker)
            log.info("stopped")

    def _resume(self, unclean: bool) -> list[Event]:
        """Take up open episodes; ends for those whose rule is gone."""
        now, utc = self.clock.monotonic(), self.clock.utc()
        before = self.outbox.open_episodes()
        events: list[Event] = list(self._notices.after_restart(before))
        for source, pipeline in self._pipelines.items():
            events += pipeline.restore([e for e in before if e.camera == source and e.cls != "system"], now, utc)
        self.silences.open()
        known = {(r.rule_id, r.source) for p in self._pipelines.values() for r in p.runners}
        gone = [e for e in before if e.cls != "system" and (e.rule, e.camera) not in known]
        events += [ended(e, self._new_id(), now, utc) for e in gone]
        detail = {"version": __version__, "after": "crash" if unclean else "stop", "resumed": len(before)}
        events.append(self._notices.once("start", "medium" if unclean else "info", detail))
        for model, reason in self._parts.refused.items():
            log.error("model %s: an earlier one runs, because %s", model, reason)
            events.append(self._notices.once("model_refused", "high", {"model": model, "reason": reason}))
        return events

    def _close(self, broker: Broker | None) -> None:
        self.outbox.close()
        self.remote.close()
        if broker is not None:
            broker.stop()
        for model in self.models.values():
            model.close()  # late: one that is still measured may go on to the next engine until the process ends
        self._state.release()

    def _thread(self, name: str, run: Callable[[threading.Event], bool], stop: threading.Event) -> threading.Thread:
        source = name.removeprefix("source.") if name.startswith("source.") else None

        def failed(error: Exception) -> None:
            if source:
                self.vitals.sources[source].broke(redact(chain(error)))

        most = self.config.sources[source].retry_most if source else 60.0
        options = {"on_error": failed, "most": most}
        thread = threading.Thread(
            target=supervise, args=(name, run, stop, self.clock), kwargs=options, name=name, daemon=True
        )
        thread.start()
        return thread

    def _reader(self, source: str) -> Callable[[threading.Event], bool]:
        settings, health = self.config.sources[source], self.vitals.sources[source]

        def read(stop: threading.Event) -> bool:
            sample: Sample
            tape = {"tape": self.tapes[source]} if source in self.tapes else {}
            for sample in settings.read(source, self.clock, stop, **tape):
                health.sample(self.clock.monotonic())
                self._latest[source] = sample
                self.mailboxes.put(sample)
                if stop.is_set():
                    return False
            health.ended = not stop.is_set()
            if health.ended:
                log.info("source %s: the recording has ended", source)
            return False

        return read

    def _publish(self, stop: threading.Event) -> bool:
        self.publisher.run(stop)
        return False

    def _watch(self, stop: threading.Event) -> None:
        """Feed systemd while the workers make progress; a stuck one is a reason to be restarted."""
        began, ready = self.clock.monotonic(), False
        while not self.clock.wait(stop, 1.0):
            waited = self.clock.monotonic() - began
            warm = self.inference.warm.is_set()
            if not ready and (warm or waited > READY_BY_S):
                ready = True
                self._notifier.ready(self._status())
                log.info("ready: %s", self._status())
            watched_workers = ["publisher", "inference"] if warm else ["publisher"]
            stuck = self.beats.stale(watched_workers, STALE_S)
            if not warm and waited > WARM_LIMIT_S:
                stuck.append("model loading")
            if stuck:
                log.error("no progress in %s; the watchdog is not fed", ", ".join(stuck))
                continue
            self._notifier.alive()
            self._notifier.status(self._status())

    def _status(self) -> str:
        link = self.publisher.status
        broker = "broker connected" if link.connected else f"no broker ({link.reason or 'connecting'})"
        state = "" if self.inference.warm.is_set() else "warming, "
        return f"{state}{self.vitals.online()}, {broker}, {link.depth} events waiting"

    def _clip_made(self, clip: Clip) -> None:
        """The clip of an alarm is on the disk: say so. Its episode's end names it, too."""
        self._announcements.post(f"media/{clip.id}", clip.document())

    def _stepped(self, step: Committed) -> None:
        source = step.pipeline.source
        self.announcer.tell(step.events)
        now, utc = self.clock.monotonic(), self.clock.utc()
        self.inference.commit(acknowledged(step.events, self.config.rules, self._pipelines.values(), now, utc))
        self.vitals.sources[source].faults = step.result.scene.picture
        self._occupancy.tell(source, step.pipeline.occupancy)

    def _tick(self) -> Sequence[Event]:
        """Judge sources and models twice a second; what changed becomes system events and retained documents."""
        now, utc = self.clock.monotonic(), self.clock.utc()
        self.silences.tend()
        self._errands.run()
        self.remote.tend()
        self._occupancy.tick()
        events = self.vitals.judge(self.inference, self.publisher.retained)
        for source in self.vitals.silent(IDLE_AFTER_S):
            events += self._pipelines[source].idle(now, utc)
        backends = [model.ref.backend for model in self.models.values()]
        if backends != self._backends:
            self._backends = backends
            self.publisher.tell_birth()
        if now - self._trimmed > TRIM_EVERY_S:
            self._trimmed = now
            self._trim(utc)
        self.publisher.set_state("degraded" if self.vitals.troubles(self.inference) else "ready")
        return events

    def apply(self, config: Config) -> bool:
        """Go over to a configuration that differs in rules and zones only; False: it needs a restart. Any thread."""
        if not only_rules(self.config, config):
            return False
        made = parts(config, self._new_id, clock_synchronised).pipelines
        self._errands.ask(lambda: self._swap(config, made), "the new rules")
        return True

    def _swap(self, config: Config, made: Mapping[str, Pipeline]) -> None:
        now, utc, episodes = self.clock.monotonic(), self.clock.utc(), self.outbox.open_episodes()
        self.inference.commit(swap(self._pipelines, made, self.config, config, episodes, self._new_id, now, utc))
        self.silences.tell()
        self._tell_slots()
        self.config = config
        self.publisher.watch([(rule, source) for rule in config.rules for source in watched(config, rule)])
        self.remote.reconfigured(config)
        self.publisher.tell_birth()

    def _tell_slots(self) -> None:
        for source, pipeline in self._pipelines.items():
            self._occupancy.begin(source, pipeline.occupancy)

    def _trim(self, utc: float) -> None:
        try:
            self.evidence.trim(utc)
        except StorageError as error:
            log.error("evidence: %s", chain(error))

    def birth(self) -> dict[str, Any]:
        """What this box is and has (the publisher adds session, version and depth)."""
        models = {name: model.ref for name, model in self.models.items()}
        return {**birth(self.config, models, self._abilities), "config_version": self.remote.config_version}
